"""The step of an optimizer on single numbers; `hpo.training.stacked.updates` has it for tensors.

Every kernel that changes weights calls `take_step` on what it holds in registers.
"""

import triton
from triton import language as tl

from hpo.training.graphed.kernels.codes import ADAMW, RMSPROP
from hpo.training.stacked import updates

_BETA_1: tl.constexpr = tl.constexpr(updates.BETAS[0])
_BETA_2: tl.constexpr = tl.constexpr(updates.BETAS[1])
_ALPHA: tl.constexpr = tl.constexpr(updates.ALPHA)
_EPSILON: tl.constexpr = tl.constexpr(updates.EPSILON)


@triton.jit
def take_step(weight, first, second, gradient, NUMBERS, optimizer):
    """Return weight, first and second moment after a step.

    `NUMBERS` points to the learning rate divided by the first bias correction, 1 over the root of
    the second, the learning rate, the weight decay and the momentum. `optimizer` is one of
    `codes`, known while compiling or not. A moment that it does not have is passed through.
    """
    rate = tl.load(NUMBERS + 2)
    decay = tl.load(NUMBERS + 3)
    if optimizer == ADAMW:
        weight *= 1 - rate * decay
    else:
        gradient += decay * weight
    if optimizer <= ADAMW:
        first += (1 - _BETA_1) * (gradient - first)
        second = _BETA_2 * second + (1 - _BETA_2) * gradient * gradient
        root = tl.sqrt_rn(second) * tl.load(NUMBERS + 1) + _EPSILON
        weight -= tl.load(NUMBERS) * tl.div_rn(first, root)
    else:
        if optimizer == RMSPROP:
            second = _ALPHA * second + (1 - _ALPHA) * gradient * gradient
            gradient = tl.div_rn(gradient, tl.sqrt_rn(second) + _EPSILON)
        # Without momentum the first moment is 0 before, and forgotten.
        first = tl.load(NUMBERS + 4) * first + gradient
        weight -= rate * first
    return weight, first, second


@triton.jit
def update(memory, places, inside, gradient, optimizer):
    """Take a step of the parameters at these places; return them.

    `memory` points to parameters, first and second moments, and the numbers of the step, and says
    how many moments there are of each kind: of what an optimizer lacks, none.
    """
    is_first = inside & (places < memory[4])
    is_second = inside & (places < memory[5])
    weight = tl.load(memory[0] + places, mask=inside, other=0.0)
    first = tl.load(memory[1] + places, mask=is_first, other=0.0)
    second = tl.load(memory[2] + places, mask=is_second, other=0.0)
    weight, first, second = take_step(weight, first, second, gradient, memory[3], optimizer)
    tl.store(memory[0] + places, weight, mask=inside)
    tl.store(memory[1] + places, first, mask=is_first)
    tl.store(memory[2] + places, second, mask=is_second)
    return weight


@triton.jit(do_not_specialize=("n", "n_first", "n_second"))
def update_row(
    PARAMETERS,
    FIRST,
    SECOND,
    NUMBERS,
    n_first,
    n_second,
    GRADIENTS,
    n,
    OPTIMIZER: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Take a step of n parameters in a row."""
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    gradient = tl.load(GRADIENTS + places, mask=places < n, other=0.0)
    memory = (PARAMETERS, FIRST, SECOND, NUMBERS, n_first, n_second)
    update(memory, places, places < n, gradient, OPTIMIZER)
