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


def loss_of(logits: Tensor, labels: Tensor = LABELS, **fields: float | str) -> Tensor:
    config = TrainingConfig.from_mapping({"outputs": logits.shape[1], **fields})
    return mean_loss(config, logits, labels, torch.ones(3, dtype=logits.dtype))


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
@pytest.mark.parametrize("loss", sorted(LOSSES.keys() - {"focal"}))
def test_losses_match_torch(loss: str, smoothing: float) -> None:
    for logits, labels in ((ONE, LABELS), (TWO, LABELS), (THREE, LABELS_OF_THREE)):
        full = torch.cat([torch.zeros_like(ONE), ONE], 1) if logits is ONE else logits
        n = full.shape[1]
        targets = F.one_hot(labels, n).double() * (1 - smoothing) + smoothing / n
        if loss == "ce":
            expected = F.cross_entropy(full, labels, label_smoothing=smoothing)
        elif loss == "bce":
            of_one = (ONE, targets[:, 1:])
            pair = of_one if logits is ONE else (logits, targets)
            expected = F.binary_cross_entropy_with_logits(*pair)
        else:
            compare = {"l1": F.l1_loss, "mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}[loss]
            expected = compare(full.softmax(1), targets)
        found = loss_of(logits, labels, loss=loss, label_smoothing=smoothing)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_follows_its_formula(gamma: float) -> None:
    # Lin et al. 2017, equation 4.
    for logits, labels in ((TWO, LABELS), (THREE, LABELS_OF_THREE)):
        p = logits.softmax(1)[torch.arange(5), labels]
        found = loss_of(logits, labels, loss="focal", focal_gamma=gamma)
        torch.testing.assert_close(found, -((1 - p) ** gamma * p.log()).mean())
    one = loss_of(TWO[:, 1:] - TWO[:, :1], loss="focal", focal_gamma=gamma)
    torch.testing.assert_close(one, loss_of(TWO, loss="focal", focal_gamma=gamma))


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_of_three_classes_sum_to_one_in_the_output_order(loss: str) -> None:
    logits = torch.cat([THREE.float(), torch.tensor([[-500.0, -400.0, -600.0]])])
    p = probabilities(TrainingConfig(loss=loss, outputs=3), logits)
    torch.testing.assert_close(p.sum(1), torch.ones(6))
    assert p.argmax(1).tolist() == logits.argmax(1).tolist()


def test_bce_of_several_outputs_combines_their_estimates() -> None:
    for p in ([0.2, 0.8], [0.2, 0.7, 0.1]):
        config = TrainingConfig(loss="bce", outputs=len(p))
        found = probabilities(config, torch.tensor([p]).logit())
        torch.testing.assert_close(found, torch.tensor([p] if len(p) > 2 else [0.8]))


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
def test_class_weights_are_factors_of_every_loss(loss: str) -> None:
    weights, config = torch.tensor([0.25, 3.0]).double(), TrainingConfig(loss=loss, outputs=2)
    each = [loss_of(TWO[i : i + 1], LABELS[i : i + 1], loss=loss) for i in range(5)]
    expected = (torch.stack(each) * weights[LABELS]).mean()
    torch.testing.assert_close(mean_loss(config, TWO, LABELS, weights), expected)
