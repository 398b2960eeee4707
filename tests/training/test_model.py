import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hpo.config import TrainingConfig
from hpo.training.model import (
    ACTIVATIONS,
    build_network,
    compute_logits,
    exact_values,
    export_weights,
    finish_logits,
    plain_model,
    scale_pixels,
)
from hpo.training.randomness import seeds_of
from tests.training.conftest import as_tensors

SIDE = 12
BASE = TrainingConfig(image_size=SIDE, hidden=(9, 5), dropout=(0.5, 0.25))
NORMALIZATIONS = ["unit", "none", "image"]


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (40, SIDE * SIDE), dtype=torch.uint8, generator=generator)


def network_of(config: TrainingConfig, *, seed: int = 4) -> nn.Sequential:
    return build_network(config, seed=seeds_of(seed))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_plain_model_is_the_one_of_the_reports(batch_norm: bool) -> None:
    model = plain_model(BASE.replace(batch_norm=batch_norm, outputs=2))
    block = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    if not batch_norm:
        block.remove(nn.BatchNorm1d)
    assert [type(module) for module in model] == [nn.Flatten, *block, *block, nn.Linear]
    assert [module.p for module in model if isinstance(module, nn.Dropout)] == [0.5, 0.25]
    widths = [m.weight.shape for m in model if isinstance(m, nn.Linear)]
    assert widths == [(9, SIDE * SIDE), (5, 9), (2, 5)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_exported_weights_give_the_same_logits_in_the_plain_model(
    pixels: Tensor, activation: str, normalize: str, batch_norm: bool
) -> None:
    config = BASE.replace(activation=activation, normalize=normalize, batch_norm=batch_norm)
    network = network_of(config)
    # A training step, so that BatchNorm has something to remember.
    compute_logits(network.train(), pixels, config)
    plain = plain_model(config)
    plain.load_state_dict(as_tensors(export_weights(network)))
    scaled = scale_pixels(pixels, config.normalize).view(-1, SIDE, SIDE)
    torch.testing.assert_close(
        plain.eval()(scaled),
        compute_logits(network.eval(), pixels, config),
        rtol=1e-4,
        atol=1e-4,
    )


def test_exported_weights_have_the_layout_of_the_plain_model() -> None:
    weights = export_weights(network_of(BASE))
    expected = plain_model(BASE).state_dict()
    assert list(weights) == list(expected)
    assert [w.shape for w in weights.values()] == [w.shape for w in expected.values()]
    assert [w.dtype for w in weights.values()] == [w.numpy().dtype for w in expected.values()]
    assert not weights["1.bias"].any()
    assert weights["9.bias"].any()


def test_exported_weights_do_not_follow_further_training() -> None:
    network = network_of(BASE)
    weights = export_weights(network)
    before = weights["1.weight"].copy()
    with torch.no_grad():
        network[1].weight.zero_()
    assert np.array_equal(weights["1.weight"], before)


def test_first_weights_are_those_of_a_linear_layer() -> None:
    config = BASE.replace(batch_norm=False, hidden=[64, 64], dropout=0.0)
    linears = [m for m in network_of(config) if isinstance(m, nn.Linear)]
    for linear in linears:
        bound = linear.in_features**-0.5
        both = torch.cat([linear.weight.flatten(), linear.bias]).detach()
        assert both.abs().max() <= bound
        # The deviation of a uniform distribution, within five standard errors.
        assert both.std() == pytest.approx(bound / 3**0.5, rel=5 * len(both) ** -0.5)


def test_first_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    first = export_weights(network_of(BASE))
    torch.manual_seed(123)
    state = torch.get_rng_state()
    again = export_weights(network_of(BASE))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    other = export_weights(network_of(BASE, seed=5))
    assert not np.array_equal(first["1.weight"], other["1.weight"])


def test_layers_do_not_share_first_weights() -> None:
    network = network_of(BASE.replace(hidden=[144, 144], dropout=0.0))
    first, second = (network[i].weight.detach().flatten() for i in (1, 5))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 144


def test_normalization_is_what_its_name_says(pixels: Tensor) -> None:
    assert torch.equal(scale_pixels(pixels, "none"), pixels.float())
    torch.testing.assert_close(scale_pixels(pixels, "unit"), pixels / 255)
    found = scale_pixels(pixels, "image")
    # The mean is taken out to the nearest gray level.
    levels = pixels.double().std(1, correction=0)
    assert (found.mean(1).abs() <= 0.5 / levels + 1e-6).all()
    torch.testing.assert_close(found.std(1, correction=0), torch.ones(40), rtol=1e-5, atol=0)


def test_an_image_of_one_gray_level_is_normalized_to_zero() -> None:
    gray = torch.full((2, SIDE * SIDE), 77, dtype=torch.uint8)
    assert not scale_pixels(gray, "image").any()


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_values_are_whole_numbers_that_bf16_holds(pixels: Tensor, normalize: str) -> None:
    pixels[0] = 0
    pixels[0, 0] = 255
    values, scale = exact_values(pixels, normalize)
    assert torch.equal(values.to(torch.bfloat16).double(), values.double())
    assert torch.equal(values.double(), values.double().round())
    torch.testing.assert_close(values * scale, scale_pixels(pixels, normalize))


def product_of(network: nn.Sequential, pixels: Tensor) -> Tensor:
    return scale_pixels(pixels, "unit") @ network[1].weight.T


def test_dropout_scales_what_it_keeps(pixels: Tensor) -> None:
    config = BASE.replace(hidden=[6], dropout=0.75, batch_norm=False)
    network = network_of(config)
    product, bias = product_of(network, pixels), network[4].bias
    only = torch.eye(6, dtype=torch.bool)
    parts = [finish_logits(network, product, keep=[only[i].expand(40, 6)]) for i in range(6)]
    whole = finish_logits(network, product)
    # Every unit kept alone, four times as strong, adds up to four times the whole.
    torch.testing.assert_close(sum(parts) - 6 * bias, 4 * (whole - bias), rtol=1e-4, atol=1e-5)


def test_a_layer_without_dropout_takes_no_mask(pixels: Tensor) -> None:
    network = network_of(BASE.replace(dropout=[0.0, 0.5])).eval()
    product, mask = product_of(network, pixels), torch.ones(40, 5, dtype=torch.bool)
    doubled = network_of(BASE.replace(dropout=[0.0, 0.0])).eval()
    with torch.no_grad():
        doubled[9].weight *= 2
    torch.testing.assert_close(
        finish_logits(network, product, keep=[mask]), finish_logits(doubled, product)
    )
