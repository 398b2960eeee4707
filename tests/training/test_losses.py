import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.training.losses import LOSSES, mean_loss, probabilities, train_losses

LABELS = torch.tensor([0, 1, 1, 0, 1])
ONE = torch.tensor([[-2.0], [0.3], [4.0], [1.5], [-0.7]], dtype=torch.float64)
TWO = torch.tensor(
    [[0.2, -1.0], [3.0, 1.0], [-0.5, 0.5], [2.0, 2.0], [-4.0, 1.0]], dtype=torch.float64
)
THREE = torch.tensor(
    [[0.2, -1.0, 0.4], [3.0, 1.0, 2.0], [-0.5, 0.5, 0.0], [2.0, 2.0, -1.0], [-4.0, 1.0, 5.0]]
).double()
LABELS_OF_THREE = torch.tensor([0, 2, 1, 0, 2])
BOTH = torch.cat([torch.zeros_like(ONE), ONE], 1)


def loss_of(logits: Tensor, labels: Tensor = LABELS, **fields: float | str) -> Tensor:
    config = TrainingConfig.from_mapping({"outputs": logits.shape[1], **fields})
    return mean_loss(config, logits, labels, torch.ones(3, dtype=logits.dtype))


def of_torch(loss: str, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return what torch has for one output and for two."""
    targets = F.one_hot(LABELS, 2).double() * (1 - smoothing) + smoothing / 2
    if loss == "ce":
        one, two = (F.cross_entropy(z, LABELS, label_smoothing=smoothing) for z in (BOTH, TWO))
        return one, two
    if loss == "bce":
        compare: Callable[[Tensor, Tensor], Tensor] = F.binary_cross_entropy_with_logits
        return compare(ONE[:, 0], targets[:, 1]), compare(TWO, targets)
    compare = {"l1": F.l1_loss, "mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}[loss]
    return compare(ONE.sigmoid(), targets[:, 1:]), compare(TWO.softmax(1), targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
@pytest.mark.parametrize("loss", sorted(LOSSES.keys() - {"focal"}))
def test_a_loss_is_that_of_torch(loss: str, smoothing: float) -> None:
    for logits, expected in zip((ONE, TWO), of_torch(loss, smoothing), strict=True):
        found = loss_of(logits, loss=loss, label_smoothing=smoothing)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
@pytest.mark.parametrize("loss", sorted(LOSSES.keys() - {"focal"}))
def test_a_loss_of_three_classes_is_that_of_torch(loss: str, smoothing: float) -> None:
    targets = F.one_hot(LABELS_OF_THREE).double() * (1 - smoothing) + smoothing / 3
    p = THREE.softmax(1)
    expected = {
        "ce": F.cross_entropy(THREE, LABELS_OF_THREE, label_smoothing=smoothing),
        "bce": F.binary_cross_entropy_with_logits(THREE, targets),
        "l1": F.l1_loss(p, targets),
        "mse": F.mse_loss(p, targets),
        "smooth_l1": F.smooth_l1_loss(p, targets),
    }[loss]
    found = loss_of(THREE, LABELS_OF_THREE, loss=loss, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_of_three_classes_follows_its_formula(gamma: float) -> None:
    p = THREE.softmax(1)[torch.arange(5), LABELS_OF_THREE]
    found = loss_of(THREE, LABELS_OF_THREE, loss="focal", focal_gamma=gamma)
    torch.testing.assert_close(found, -((1 - p) ** gamma * p.log()).mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_of_three_classes_sum_to_one_in_the_order_of_the_outputs(loss: str) -> None:
    logits = torch.cat([THREE.float(), torch.tensor([[-500.0, -400.0, -600.0]])])
    p = probabilities(TrainingConfig(loss=loss, outputs=3), logits)
    torch.testing.assert_close(p.sum(1), torch.ones(6))
    assert p.argmax(1).tolist() == logits.argmax(1).tolist()
    if loss == "bce":  # One class against the rest: the two estimates of each are one.
        p = torch.tensor([0.2, 0.7, 0.1])
        found = probabilities(TrainingConfig(loss=loss, outputs=3), p.logit()[None])
        torch.testing.assert_close(found[0], p)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_follows_its_formula(gamma: float) -> None:
    # Lin et al. 2017, equation 4, one image at a time.
    p = [math.exp(b) / (math.exp(a) + math.exp(b)) for a, b in TWO.tolist()]
    right = [q if y else 1 - q for q, y in zip(p, LABELS.tolist(), strict=True)]
    expected = -sum((1 - q) ** gamma * math.log(q) for q in right) / len(right)
    assert float(loss_of(TWO, loss="focal", focal_gamma=gamma)) == pytest.approx(expected, 1e-12)
    difference = TWO[:, 1:] - TWO[:, :1]
    assert float(loss_of(difference, loss="focal", focal_gamma=gamma)) == pytest.approx(expected)


@pytest.mark.parametrize(("loss", "outputs"), list(product(LOSSES, [1, 2, 3])), ids=str)
def test_large_logits_give_finite_losses_and_gradients(loss: str, outputs: int) -> None:
    logits = torch.tensor([[1e4], [-1e4], [1e4], [-1e4], [0.0]]).repeat(1, outputs)
    logits = logits * torch.tensor([1.0, -1.0, 0.5])[:outputs]
    zeros = torch.zeros(1, 1)
    ones = torch.ones(1, 3)
    measured, gradient = train_losses(loss, logits[None], LABELS[None], ones, zeros, zeros + 2)
    for values in (measured, gradient, loss_of(logits, loss=loss)):
        assert values.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_class_weights_are_factors_of_every_loss_and_its_gradient(loss: str) -> None:
    weights, config = torch.tensor([0.25, 3.0]).double(), TrainingConfig(loss=loss, outputs=2)
    each = [loss_of(TWO[i : i + 1], LABELS[i : i + 1], loss=loss) for i in range(5)]
    expected = (torch.stack(each) * weights[LABELS]).mean()
    torch.testing.assert_close(mean_loss(config, TWO, LABELS, weights), expected)
    zeros, leaf = torch.zeros(1, 1).double(), TWO.clone().requires_grad_()
    mean_loss(config, leaf, LABELS, weights).backward()
    measured, gradient = train_losses(
        config.loss, TWO[None], LABELS[None], weights[None], zeros, zeros + 2
    )
    torch.testing.assert_close(measured[0].mean(), expected)
    torch.testing.assert_close(gradient[0], leaf.grad)


def test_bce_with_two_outputs_averages_two_estimates_of_one_probability() -> None:
    log_odds = math.log(0.8 / 0.2)
    config = TrainingConfig(loss="bce", outputs=2)
    p = probabilities(config, torch.tensor([[-log_odds, log_odds]]))
    assert float(p) == pytest.approx(0.8)
