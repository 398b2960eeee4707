import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.training.losses import LOSSES, mean_loss, probabilities

LABELS = torch.tensor([0, 1, 1, 0, 1])
ONE = torch.tensor([[-2.0], [0.3], [4.0], [1.5], [-0.7]], dtype=torch.float64)
TWO = torch.tensor(
    [[0.2, -1.0], [3.0, 1.0], [-0.5, 0.5], [2.0, 2.0], [-4.0, 1.0]], dtype=torch.float64
)
PROBABILITY_LOSSES = {"l1": F.l1_loss, "mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}
SMOOTHINGS = [0.0, 0.1, 0.6]

every_loss_and_output = pytest.mark.parametrize(
    ("loss", "outputs"), list(product(LOSSES, [1, 2])), ids=lambda value: str(value)
)
smoothings = pytest.mark.parametrize("smoothing", SMOOTHINGS)


def loss_of(logits: Tensor, labels: Tensor = LABELS, **fields: float | str) -> Tensor:
    config = TrainingConfig.from_mapping({"outputs": logits.shape[1], **fields})
    return mean_loss(config, logits, labels)


def targets(smoothing: float) -> Tensor:
    return F.one_hot(LABELS, 2).double() * (1 - smoothing) + smoothing / 2


@smoothings
def test_ce_with_two_outputs_is_that_of_torch(smoothing: float) -> None:
    expected = F.cross_entropy(TWO, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(loss_of(TWO, loss="ce", label_smoothing=smoothing), expected)


@smoothings
def test_ce_with_one_output_has_a_zero_as_its_first(smoothing: float) -> None:
    both = torch.cat([torch.zeros_like(ONE), ONE], 1)
    expected = F.cross_entropy(both, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(loss_of(ONE, loss="ce", label_smoothing=smoothing), expected)


@smoothings
def test_bce_is_that_of_torch(smoothing: float) -> None:
    target = targets(smoothing)
    one = F.binary_cross_entropy_with_logits(ONE[:, 0], target[:, 1])
    two = F.binary_cross_entropy_with_logits(TWO, target)
    torch.testing.assert_close(loss_of(ONE, loss="bce", label_smoothing=smoothing), one)
    torch.testing.assert_close(loss_of(TWO, loss="bce", label_smoothing=smoothing), two)


@smoothings
@pytest.mark.parametrize("loss", PROBABILITY_LOSSES)
def test_losses_of_probabilities_are_those_of_torch(loss: str, smoothing: float) -> None:
    compare: Callable[[Tensor, Tensor], Tensor] = PROBABILITY_LOSSES[loss]
    target = targets(smoothing)
    one = compare(ONE.sigmoid(), target[:, 1:])
    two = compare(TWO.softmax(1), target)
    torch.testing.assert_close(loss_of(ONE, loss=loss, label_smoothing=smoothing), one)
    torch.testing.assert_close(loss_of(TWO, loss=loss, label_smoothing=smoothing), two)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_follows_its_formula(gamma: float) -> None:
    # Lin et al. 2017, equation 4, one image at a time.
    p = [math.exp(b) / (math.exp(a) + math.exp(b)) for a, b in TWO.tolist()]
    right = [q if y else 1 - q for q, y in zip(p, LABELS.tolist(), strict=True)]
    expected = -sum((1 - q) ** gamma * math.log(q) for q in right) / len(right)
    assert float(loss_of(TWO, loss="focal", focal_gamma=gamma)) == pytest.approx(expected, 1e-12)
    difference = TWO[:, 1:] - TWO[:, :1]
    assert float(loss_of(difference, loss="focal", focal_gamma=gamma)) == pytest.approx(expected)


def test_focal_loss_of_gamma_zero_is_cross_entropy() -> None:
    for logits, smoothing in product((ONE, TWO), SMOOTHINGS):
        focal = loss_of(logits, loss="focal", focal_gamma=0, label_smoothing=smoothing)
        torch.testing.assert_close(focal, loss_of(logits, loss="ce", label_smoothing=smoothing))


@every_loss_and_output
def test_gradients_are_those_of_differences(loss: str, outputs: int) -> None:
    logits = (ONE if outputs == 1 else TWO).clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: loss_of(z, loss=loss, label_smoothing=0.1), (logits,)
    )


@every_loss_and_output
def test_large_logits_give_finite_losses_and_gradients(loss: str, outputs: int) -> None:
    logits = torch.tensor([[1e4], [-1e4], [1e4], [-1e4], [0.0]]).repeat(1, outputs)
    logits = (logits * torch.tensor([1.0, -1.0])[:outputs]).requires_grad_()
    value = loss_of(logits, loss=loss)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@every_loss_and_output
def test_a_loss_falls_towards_the_right_answer(loss: str, outputs: int) -> None:
    sign = (2.0 * LABELS - 1)[:, None]
    right = sign if outputs == 1 else torch.cat([-sign, sign], 1)
    values = [float(loss_of(scale * right, loss=loss)) for scale in (-2, -1, 0, 1, 2)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 5


@every_loss_and_output
@given(z=st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=2))
def test_the_threshold_agrees_with_the_higher_output(
    loss: str, outputs: int, z: list[float]
) -> None:
    config = TrainingConfig.from_mapping({"loss": loss, "outputs": outputs})
    p = float(probabilities(config, torch.tensor([z[:outputs]])))
    margin = z[0] if outputs == 1 else z[1] - z[0]
    if abs(margin) > 1e-5:
        assert (p > 0.5) == (margin > 0)


def test_bce_with_two_outputs_averages_two_estimates_of_one_probability() -> None:
    config = TrainingConfig(loss="bce", outputs=2)
    log_odds = math.log(0.8 / 0.2)
    p = probabilities(config, torch.tensor([[-log_odds, log_odds]]))
    assert float(p) == pytest.approx(0.8)
