import pytest
import torch
from torch import Tensor, nn

from hpo.config import TrainingConfig
from hpo.training.model import (
    NORMALIZE,
    plain_model,
    scale_pixels,
)

SIDE = 12
BASE = TrainingConfig(image_size=SIDE, hidden=(9, 5), dropout=(0.5, 0.25))


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (40, SIDE * SIDE), dtype=torch.uint8, generator=generator)


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


def test_normalization_is_what_its_name_says_in_whole_numbers_that_bf16_holds(
    pixels: Tensor,
) -> None:
    pixels[0] = 77
    assert torch.equal(scale_pixels(pixels, "none"), pixels.float())
    torch.testing.assert_close(scale_pixels(pixels, "unit"), pixels / 255)
    gray, *found = scale_pixels(pixels, "image")
    assert not gray.any()
    for image, deviation in zip(found, pixels[1:].double().std(1, correction=0), strict=True):
        # The mean is taken out to the nearest gray level.
        assert abs(image.mean()) <= 0.5 / deviation + 1e-6
        assert image.std(correction=0) == pytest.approx(1, rel=1e-5)
    for normalize in NORMALIZE:
        values, scale = NORMALIZE[normalize](pixels)
        assert torch.equal(values.to(torch.bfloat16).double(), values.double())
        assert torch.equal(values.double(), values.double().round())
        torch.testing.assert_close(values * scale, scale_pixels(pixels, normalize))
