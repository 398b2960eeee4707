"""What fields and options choose from. Light to import: the help of the command line needs it."""

from typing import Literal

Activation = Literal["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "silu"]
Loss = Literal["bce", "ce", "focal", "l1", "mse", "smooth_l1"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Scheduler = Literal["none", "cosine", "step", "multistep", "polynomial", "plateau"]
Normalize = Literal["unit", "none", "image"]
