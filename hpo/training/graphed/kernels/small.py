"""The layers behind the first product, forward and backward: one program.

What `hpo.training.stacked.layers` does in some seventy launches. A layer takes a few microseconds,
so launches, and not what is computed, would be most of the time. It serves networks whose layers
fit into one multiprocessor. What passes from layer to layer goes through `TRACE`, in memory next
to the program: kept in registers, the compiler works it out anew for everybody who reads it.

The optimizer's step is a launch of its own (`updates.update_row`): in here, where numbers lie in
matrices, it took minutes to compile.
"""

import triton
from triton import language as tl

from hpo.training import randomness
from hpo.training.graphed.kernels.codes import BCE
from hpo.training.graphed.kernels.functions import (
    activate,
    compare,
    cross_entropy,
    derive_activation,
)
from hpo.training.stacked import layers

_EPSILON: tl.constexpr = tl.constexpr(layers.EPSILON)
_MOMENTUM: tl.constexpr = tl.constexpr(layers.MOMENTUM)
# Three products of tensor cores instead of one make up for what they round off.
PRECISION: tl.constexpr = tl.constexpr("tf32x3")
# Here without a sign.
_GOLDEN_GAMMA: tl.constexpr = tl.constexpr(randomness.GOLDEN_GAMMA % 2**64)
_MIX_1: tl.constexpr = tl.constexpr(randomness.MIX_1 % 2**64)
_MIX_2: tl.constexpr = tl.constexpr(randomness.MIX_2 % 2**64)

# What the trace has of a layer: what came in, what BatchNorm made of it, what the activation saw,
# the factors of dropout, the gradient of what went out, and in a row the scale of BatchNorm.
INPUTS: tl.constexpr = tl.constexpr(0)
_NORMAL: tl.constexpr = tl.constexpr(1)
_BEFORE: tl.constexpr = tl.constexpr(2)
_MASK: tl.constexpr = tl.constexpr(3)
_DELTA: tl.constexpr = tl.constexpr(4)
_SCALE: tl.constexpr = tl.constexpr(5)
N_TRACES: tl.constexpr = tl.constexpr(6)

# What `PLACES` says of a layer: where its weights (none: -1), gains (none: -1), biases and
# running means begin, its width filled up and used, and the width of what comes in. Of the output
# layer: weights, none, biases, none, the outputs twice, and what comes in.
N_PLACES: tl.constexpr = tl.constexpr(7)


@triton.jit(do_not_specialize=("start", "n", "n_measured", "n_hidden", "n_units"))
def small_step(
    PRODUCT,
    SCALES,
    LABELS,
    POSITIONS,
    SETTINGS,
    STREAMS,
    PLACES,
    CODES,
    PARAMETERS,
    GRADIENTS,
    STATISTICS,
    TRACE,
    DELTA,
    MEASURED,
    start,
    n,
    n_measured,
    n_hidden,
    n_units,
    IMAGES: tl.constexpr,
    UNITS: tl.constexpr,
):
    """Leave the gradients of the small layers by n images, and in `DELTA` that of the product.

    `PRODUCT` and `DELTA` are `(IMAGES, filled)`, without and with the factor of `SCALES`;
    `POSITIONS` names the images of the epoch in order, this batch from `start` on. `SETTINGS` are
    label smoothing, focal gamma and the dropout of each layer, `STREAMS` the keys that its random
    numbers are counted from. `MEASURED` `(2, n_measured)` takes losses and right answers,
    `STATISTICS` `(2, n_units)` holds running means and variances. `CODES` are those of activation
    and loss.
    """
    rows = tl.arange(0, IMAGES)
    units = tl.arange(0, UNITS)
    positions = tl.load(POSITIONS + start + rows, mask=rows < n, other=0)
    scales = tl.load(SCALES + positions, mask=rows < n, other=0.0)
    activation = tl.load(CODES)
    memory = (PARAMETERS, GRADIENTS)
    filled = tl.load(PLACES + 4)
    near = rows[:, None] * filled + units[None, :]
    inside = (rows < n)[:, None] & (units < filled)[None, :]
    product = tl.load(PRODUCT + near, mask=inside, other=0.0) * scales[:, None]
    _leave(TRACE, INPUTS, product, IMAGES, UNITS)
    size: tl.constexpr = N_TRACES * IMAGES * UNITS
    for index in range(n_hidden):
        layer = PLACES + index * N_PLACES
        stream = tl.load(STREAMS + index)
        drop = tl.load(SETTINGS + 2 + index)
        mask = _mask(stream, drop, start, n, tl.load(layer + 5), IMAGES, UNITS)
        trace = TRACE + index * size
        y = _forward(trace, mask, memory, STATISTICS, n, n_units, layer, activation, IMAGES, UNITS)
        _leave(trace + size, INPUTS, y, IMAGES, UNITS)
    labels = tl.load(LABELS + positions, mask=rows < n, other=0).to(tl.float32)
    output = PLACES + n_hidden * N_PLACES
    x = _take(TRACE + n_hidden * size, INPUTS, IMAGES, UNITS)
    code = tl.load(CODES + 1)
    delta = _output(x, labels, memory, SETTINGS, MEASURED + start, n, n_measured, output, code)
    for back in range(n_hidden):
        index = n_hidden - 1 - back
        trace = TRACE + index * size
        _leave(trace, _DELTA, delta, IMAGES, UNITS)
        layer = PLACES + index * N_PLACES
        delta = _backward(trace, memory, n, layer, activation, IMAGES, UNITS)
    tl.store(DELTA + near, delta * scales[:, None], mask=inside)


@triton.jit
def _mask(stream, drop, start, n, width, IMAGES: tl.constexpr, UNITS: tl.constexpr):
    """Return the factors of a layer's units: of dropout, and 0 where nothing is.

    The numbers are those of `hpo.training.randomness`.
    """
    rows = tl.arange(0, IMAGES)[:, None]
    units = tl.arange(0, UNITS)[None, :]
    place = ((start + rows) * width + units).to(tl.uint64)
    bits = stream.to(tl.uint64, bitcast=True) + place * _GOLDEN_GAMMA
    bits = (bits ^ (bits >> 30)) * _MIX_1
    bits = (bits ^ (bits >> 27)) * _MIX_2
    bits = bits ^ (bits >> 31)
    is_kept = (bits >> 40).to(tl.float32) * (1.0 / 16777216) >= drop
    return tl.where(is_kept & (rows < n) & (units < width), 1 / (1 - drop), 0.0)


@triton.jit
def _forward(
    trace,
    mask,
    memory,
    STATISTICS,
    n,
    n_units,
    layer,
    activation,
    IMAGES: tl.constexpr,
    UNITS: tl.constexpr,
):
    """Return what a hidden layer makes of its inputs; leave what the way back needs."""
    units = tl.arange(0, UNITS)
    filled = tl.load(layer + 4)
    inside = units < filled
    weights = tl.load(layer)
    x = _take(trace, INPUTS, IMAGES, UNITS)
    if weights >= 0:
        places, is_weight = _matrix(filled, tl.load(layer + 6), UNITS)
        weight = tl.load(memory[0] + weights + places, mask=is_weight, other=0.0)
        x = tl.dot(x, tl.trans(weight), input_precision=PRECISION)
    gains = tl.load(layer + 1)
    if gains >= 0:
        mean = tl.sum(x, 0) / n
        is_image = (tl.arange(0, IMAGES) < n)[:, None]
        centered = tl.where(is_image, x - mean[None, :], 0.0)
        variance = tl.sum(centered * centered, 0) / n
        running = STATISTICS + tl.load(layer + 3) + units
        _remember(running, mean, inside)
        _remember(running + n_units, variance * (n / (n - 1)), inside)
        scale = tl.rsqrt(variance + _EPSILON)
        x = centered * scale[None, :]
        tl.store(trace + _SCALE * IMAGES * UNITS + units, scale)
        _leave(trace, _NORMAL, x, IMAGES, UNITS)
        x *= tl.load(memory[0] + gains + units, mask=inside, other=0.0)[None, :]
    x += tl.load(memory[0] + tl.load(layer + 2) + units, mask=inside, other=0.0)[None, :]
    _leave(trace, _MASK, mask, IMAGES, UNITS)
    _leave(trace, _BEFORE, x, IMAGES, UNITS)
    before = _take(trace, _BEFORE, IMAGES, UNITS)
    return activate(before, activation) * _take(trace, _MASK, IMAGES, UNITS)


@triton.jit
def _remember(running, value, inside):
    """Move running statistics towards those of a batch."""
    before = tl.load(running, mask=inside, other=0.0)
    tl.store(running, before + _MOMENTUM * (value - before), mask=inside)


@triton.jit
def _output(x, labels, memory, SETTINGS, MEASURED, n, n_measured, output, code):
    """Compare with the labels; return the gradient of what came into the output layer."""
    rows = tl.arange(0, x.shape[0])
    smoothing = tl.load(SETTINGS)
    gamma = tl.load(SETTINGS + 1)
    target = labels * (1 - smoothing) + smoothing / 2
    is_two = tl.load(output + 5) == 2
    z = _logit(x, memory, 0, output)
    odds = z
    ill = z
    if is_two:
        ill = _logit(x, memory, 1, output)
        odds = ill - z
    loss, slope = compare(odds, target, gamma, code)
    slope_ill = slope
    if is_two:
        slope = -slope
        if code == BCE:
            # Two outputs, each with a question of its own.
            loss_normal, slope_normal = cross_entropy(z, 1 - target)
            loss_ill, slope_of_ill = cross_entropy(ill, target)
            loss = (loss_normal + loss_ill) / 2
            slope = slope_normal / 2
            slope_ill = slope_of_ill / 2
    is_right = (tl.sigmoid(odds) > 0.5) == (labels > 0.5)
    tl.store(MEASURED + rows, loss, mask=rows < n)
    tl.store(MEASURED + n_measured + rows, is_right.to(tl.float32), mask=rows < n)
    delta = _derive_output(x, tl.where(rows < n, slope / n, 0.0), memory, 0, output)
    if is_two:
        delta += _derive_output(x, tl.where(rows < n, slope_ill / n, 0.0), memory, 1, output)
    return delta


@triton.jit
def _logit(x, memory, number, output):
    """Return one of the outputs `(IMAGES,)`."""
    units = tl.arange(0, x.shape[1])
    before = tl.load(output + 6)
    place = tl.load(output) + number * before + units
    weight = tl.load(memory[0] + place, mask=units < before, other=0.0)
    bias = tl.load(memory[0] + tl.load(output + 2) + number)
    return tl.sum(x * weight[None, :], 1) + bias


@triton.jit
def _derive_output(x, slope, memory, number, output):
    """Leave the gradients of one output; `slope` is that of its logits."""
    units = tl.arange(0, x.shape[1])
    before = tl.load(output + 6)
    place = tl.load(output) + number * before + units
    gradient = tl.sum(x * slope[:, None], 0)
    tl.store(memory[1] + place, gradient, mask=units < before)
    tl.store(memory[1] + tl.load(output + 2) + number, tl.sum(slope))
    weight = tl.load(memory[0] + place, mask=units < before, other=0.0)
    return slope[:, None] * weight[None, :]


@triton.jit
def _backward(trace, memory, n, layer, activation, IMAGES: tl.constexpr, UNITS: tl.constexpr):
    """Leave the gradients of a hidden layer; return that of what came in."""
    units = tl.arange(0, UNITS)
    filled = tl.load(layer + 4)
    inside = units < filled
    slope = derive_activation(_take(trace, _BEFORE, IMAGES, UNITS), activation)
    slope *= _take(trace, _MASK, IMAGES, UNITS)
    delta = _take(trace, _DELTA, IMAGES, UNITS) * slope
    bias = tl.sum(delta, 0)
    tl.store(memory[1] + tl.load(layer + 2) + units, bias, mask=inside)
    gains = tl.load(layer + 1)
    if gains >= 0:
        normal = _take(trace, _NORMAL, IMAGES, UNITS)
        gain = tl.sum(delta * normal, 0)
        tl.store(memory[1] + gains + units, gain, mask=inside)
        factor = tl.load(memory[0] + gains + units, mask=inside, other=0.0)
        factor *= tl.load(trace + _SCALE * IMAGES * UNITS + units)
        delta = delta - (bias / n)[None, :] - normal * (gain / n)[None, :]
        is_image = (tl.arange(0, IMAGES) < n)[:, None]
        delta = tl.where(is_image, delta * factor[None, :], 0.0)
    weights = tl.load(layer)
    if weights >= 0:
        _leave(trace, _DELTA, delta, IMAGES, UNITS)
        delta = _take(trace, _DELTA, IMAGES, UNITS)
        inputs = _take(trace, INPUTS, IMAGES, UNITS)
        gradient = tl.dot(tl.trans(delta), inputs, input_precision=PRECISION)
        places, is_weight = _matrix(filled, tl.load(layer + 6), UNITS)
        tl.store(memory[1] + weights + places, gradient, mask=is_weight)
        weight = tl.load(memory[0] + weights + places, mask=is_weight, other=0.0)
        delta = tl.dot(delta, weight, input_precision=PRECISION)
    return delta


@triton.jit
def _matrix(width, before, UNITS: tl.constexpr):
    """Return where the weights `(width, before)` lie, from the first on, and which there are."""
    units = tl.arange(0, UNITS)
    inside = (units < width)[:, None] & (units < before)[None, :]
    return units[:, None] * before + units[None, :], inside


@triton.jit
def _leave(trace, kind: tl.constexpr, x, IMAGES: tl.constexpr, UNITS: tl.constexpr):
    """Write to the trace, once every thread has read what was there; wait until all have."""
    tl.debug_barrier()
    tl.store(trace + kind * IMAGES * UNITS + _all(IMAGES, UNITS), x)
    tl.debug_barrier()


@triton.jit
def _take(trace, kind: tl.constexpr, IMAGES: tl.constexpr, UNITS: tl.constexpr):
    return tl.load(trace + kind * IMAGES * UNITS + _all(IMAGES, UNITS))


@triton.jit
def _all(IMAGES: tl.constexpr, UNITS: tl.constexpr):
    return tl.arange(0, IMAGES)[:, None] * UNITS + tl.arange(0, UNITS)[None, :]
