"""Weights of others and of studies: reading them, finding their network, running it."""

from hpo.weights.load import SUFFIXES, notes_of, open_model, open_winner, text_of
from hpo.weights.network import Network, Unseen, open_network, read_unseen
from hpo.weights.predict import Prediction, image_files, predict

__all__ = [
    "SUFFIXES",
    "Network",
    "Prediction",
    "Unseen",
    "image_files",
    "notes_of",
    "open_model",
    "open_network",
    "open_winner",
    "predict",
    "read_unseen",
    "text_of",
]
