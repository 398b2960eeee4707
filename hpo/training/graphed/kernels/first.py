"""One pass over the first layer's weights and their moments: all that a step needs of them."""

import triton
from triton import language as tl

from hpo.training.graphed.kernels.updates import update

# Batches of all sizes are one kernel, and so are all widths.
_VARIES = ("n_now", "n_next", "n_first", "n_second", "width")


@triton.jit(do_not_specialize=_VARIES)
def first_pass(
    PIXELS,
    OFFSETS,
    NOW,
    NEXT,
    DELTA,
    WEIGHTS,
    FIRST,
    SECOND,
    NUMBERS,
    n_first,
    n_second,
    PARTIAL,
    n_now,
    n_next,
    n_pixels,
    width,
    filled,
    HAS_NOW: tl.constexpr,
    OPTIMIZER: tl.constexpr,
    IS_BF16: tl.constexpr,
    IMAGES: tl.constexpr,
    UNITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradient of a batch, the optimizer's step, and the next batch's product with the result.

    `PIXELS` uint8 `(images, n_pixels)` less `OFFSETS` `(images,)` are whole numbers, which bf16
    holds. `NOW` and `NEXT` are rows of it, n_now and n_next of them, at most `IMAGES`; the first
    batch has none before it (`HAS_NOW`), the last none after it. `DELTA` `(IMAGES, filled)` is the
    gradient of this batch's product; `WEIGHTS` are `(width, n_pixels)`, and so are the moments,
    n_first and n_second numbers, as far as there are any.

    A program takes `UNITS` units and every so many-th `BLOCK` of pixels, and leaves its share of
    the product in `PARTIAL` `(programs, IMAGES, filled)`: whoever adds these up does so in one
    order, whatever else runs.
    """
    units = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    rows = tl.arange(0, IMAGES)
    product = tl.zeros((IMAGES, UNITS), tl.float32)
    near = (rows * filled)[:, None] + units[None, :]
    is_now = (rows < n_now)[:, None] & (units < filled)[None, :]
    delta = tl.load(DELTA + near, mask=is_now, other=0.0)
    memory = (WEIGHTS, FIRST, SECOND, NUMBERS, n_first, n_second)
    start = tl.program_id(1) * BLOCK
    for first_pixel in range(start, n_pixels, tl.num_programs(1) * BLOCK):
        pixels = first_pixel + tl.arange(0, BLOCK)
        places = units.to(tl.int64)[:, None] * n_pixels + pixels[None, :]
        inside = (units < width)[:, None] & (pixels < n_pixels)[None, :]
        if HAS_NOW:
            values = _values(PIXELS, OFFSETS, NOW, n_now, pixels, n_pixels, IMAGES)
            gradient = _multiply(tl.trans(delta), values, IS_BF16)
            weight = update(memory, places, inside, gradient, OPTIMIZER)
        else:
            weight = tl.load(WEIGHTS + places, mask=inside, other=0.0)
        values = _values(PIXELS, OFFSETS, NEXT, n_next, pixels, n_pixels, IMAGES)
        product += _multiply(values, tl.trans(weight), IS_BF16)
    place = tl.program_id(1) * IMAGES * filled + near
    tl.store(PARTIAL + place, product, mask=(units < filled)[None, :])


@triton.jit
def _values(PIXELS, OFFSETS, POSITIONS, n, pixels, n_pixels, IMAGES: tl.constexpr):
    """Return whole numbers `(IMAGES, pixels)` of a batch, zeros after its n images."""
    rows = tl.arange(0, IMAGES)
    positions = tl.load(POSITIONS + rows, mask=rows < n, other=0)
    inside = (rows < n)[:, None] & (pixels < n_pixels)[None, :]
    offsets = tl.load(OFFSETS + positions, mask=rows < n, other=0.0)
    found = tl.load(PIXELS + positions[:, None] * n_pixels + pixels[None, :], mask=inside, other=0)
    return tl.where(inside, found.to(tl.float32) - offsets[:, None], 0.0)


@triton.jit
def _multiply(a, b, IS_BF16: tl.constexpr):
    if IS_BF16:
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    return tl.dot(a, b, input_precision="tf32x3")
