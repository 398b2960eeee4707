"""Numbers for what a kernel chooses among while it runs.

A name that were a constant of the kernel would be compiled anew for each of its values: seconds
each, for microseconds a step.
"""

from typing import Final

from triton import language as tl

from hpo.config import Activation, Loss, Optimizer

RELU: tl.constexpr = tl.constexpr(0)
LEAKY_RELU: tl.constexpr = tl.constexpr(1)
SIGMOID: tl.constexpr = tl.constexpr(2)
TANH: tl.constexpr = tl.constexpr(3)
GELU: tl.constexpr = tl.constexpr(4)
SILU: tl.constexpr = tl.constexpr(5)

# With one output these two are the same.
CE: tl.constexpr = tl.constexpr(0)
BCE: tl.constexpr = tl.constexpr(1)
FOCAL: tl.constexpr = tl.constexpr(2)
L1: tl.constexpr = tl.constexpr(3)
MSE: tl.constexpr = tl.constexpr(4)
SMOOTH_L1: tl.constexpr = tl.constexpr(5)

# Those up to the second have both moments, corrected for how they begin.
ADAM: tl.constexpr = tl.constexpr(0)
ADAMW: tl.constexpr = tl.constexpr(1)
SGD: tl.constexpr = tl.constexpr(2)
RMSPROP: tl.constexpr = tl.constexpr(3)

ACTIVATIONS: Final[dict[Activation, int]] = {
    "relu": RELU.value,
    "leaky_relu": LEAKY_RELU.value,
    "sigmoid": SIGMOID.value,
    "tanh": TANH.value,
    "gelu": GELU.value,
    "silu": SILU.value,
}
LOSSES: Final[dict[Loss, int]] = {
    "ce": CE.value,
    "bce": BCE.value,
    "focal": FOCAL.value,
    "l1": L1.value,
    "mse": MSE.value,
    "smooth_l1": SMOOTH_L1.value,
}
OPTIMIZERS: Final[dict[Optimizer, int]] = {
    "adam": ADAM.value,
    "adamw": ADAMW.value,
    "sgd": SGD.value,
    "rmsprop": RMSPROP.value,
}
