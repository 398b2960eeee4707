"""Weights of others and of studies: reading them, finding their network, running it.

files         the tensors of a file, without running what else it holds
layers        Linear and BatchNorm1d from the keys
architecture  the network from their shapes and numbers
network       running it
exported      weights of `hpo export`, whose configuration is known
model         a file, or a folder of several as an ensemble
winner        the kept weights of a study's best configuration
prediction    image files
evaluation    test images
saving        weights for other programs
"""

from hpo.weights.model import SUFFIXES, notes_of, open_model, text_of
from hpo.weights.network import Network, Unseen, open_network
from hpo.weights.prediction import Prediction, predict
from hpo.weights.winner import open_winner

__all__ = [
    "SUFFIXES",
    "Network",
    "Prediction",
    "Unseen",
    "notes_of",
    "open_model",
    "open_network",
    "open_winner",
    "predict",
    "text_of",
]
