"""Weights of others: reading them, finding their network, running it.

files         the tensors of a file, without running what else it holds
layers        Linear and BatchNorm1d from the keys
architecture  the network from their shapes and numbers
network       running it
exported      the folders of `hpo export`
prediction    image files
saving        weights for other programs
"""

from hpo.weights.exported import open_model
from hpo.weights.network import Network, Unseen, open_network
from hpo.weights.prediction import Prediction, predict

__all__ = ["Network", "Prediction", "Unseen", "open_model", "open_network", "predict"]
