"""Activations and losses with their derivatives; `hpo.training.stacked` has them for tensors."""

import triton
from triton import language as tl

from hpo.training.graphed.kernels.codes import (
    BCE,
    FOCAL,
    GELU,
    L1,
    LEAKY_RELU,
    MSE,
    RELU,
    SIGMOID,
    TANH,
)

_LEAK: tl.constexpr = tl.constexpr(0.01)
_SQRT_HALF: tl.constexpr = tl.constexpr(0.7071067811865476)
_DENSITY: tl.constexpr = tl.constexpr(0.3989422804014327)


@triton.jit
def activate(x, activation):
    """Return the activation of x; what is not a number stays so."""
    y = x
    if activation == RELU:
        y = tl.where(x < 0, 0.0, x)
    elif activation == LEAKY_RELU:
        y = tl.where(x < 0, _LEAK * x, x)
    elif activation == SIGMOID:
        y = tl.sigmoid(x)
    elif activation == TANH:
        y = 2 * tl.sigmoid(2 * x) - 1
    elif activation == GELU:
        y = 0.5 * x * (1 + _erf(x * _SQRT_HALF))
    else:
        y = x * tl.sigmoid(x)
    return y


@triton.jit
def derive_activation(x, activation):
    """Return the derivative of the activation at x."""
    slope = x
    if activation == RELU:
        slope = tl.where(x > 0, 1.0, 0.0)
    elif activation == LEAKY_RELU:
        slope = tl.where(x > 0, 1.0, _LEAK)
    elif activation == SIGMOID:
        y = tl.sigmoid(x)
        slope = y * (1 - y)
    elif activation == TANH:
        y = 2 * tl.sigmoid(2 * x) - 1
        slope = 1 - y * y
    elif activation == GELU:
        density = _DENSITY * tl.exp(-0.5 * x * x)
        slope = 0.5 * (1 + _erf(x * _SQRT_HALF)) + x * density
    else:
        y = tl.sigmoid(x)
        slope = y * (1 + x * (1 - y))
    return slope


@triton.jit
def _erf(x):
    """Abramowitz and Stegun 1964, 7.1.26: off by at most 1.5e-7, and far shorter than tl.erf."""
    t = 1 / (1 + 0.3275911 * tl.abs(x))
    powers = -1.453152027 + t * 1.061405429
    powers = 0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * powers))
    size = 1 - t * powers * tl.exp(-x * x)
    return tl.where(x < 0, -size, size)


@triton.jit
def log_sigmoid(z):
    """Return the logarithm of the sigmoid, also where that is next to nothing."""
    return tl.where(z < 0, z, 0.0) - tl.log(1 + tl.exp(-tl.abs(z)))


@triton.jit
def cross_entropy(z, target):
    """Return the binary cross entropy of log-odds z, and its derivative."""
    loss = -(target * log_sigmoid(z) + (1 - target) * log_sigmoid(-z))
    return loss, tl.sigmoid(z) - target


@triton.jit
def compare(z, target, gamma, code):
    """Return the loss of log-odds z, and its derivative."""
    p = tl.sigmoid(z)
    difference = p - target
    slope = p * (1 - p)
    loss = difference
    if code <= BCE:
        loss, slope = cross_entropy(z, target)
    elif code == FOCAL:
        loss, slope = _focal(z, p, target, gamma)
    elif code == L1:
        loss = tl.abs(difference)
        slope *= tl.where(difference > 0, 1.0, tl.where(difference < 0, -1.0, 0.0))
    elif code == MSE:
        loss = difference * difference
        slope *= 2 * difference
    else:
        # Two probabilities are never further apart than where smooth L1 becomes straight.
        loss = 0.5 * difference * difference
        slope *= difference
    return loss, slope


@triton.jit
def _focal(z, p, target, gamma):
    log_ill = log_sigmoid(z)
    log_normal = log_sigmoid(-z)
    ill = target * tl.exp(gamma * log_normal)
    normal = (1 - target) * tl.exp(gamma * log_ill)
    by_ill = ill * (1 - p - gamma * p * log_ill)
    by_normal = normal * (gamma * (1 - p) * log_normal - p)
    return -(ill * log_ill + normal * log_normal), -(by_ill + by_normal)
