import pytest
import torch

from hpo.training.model import NORMALIZE, scale_pixels


def test_normalization_matches_its_name_in_integers_that_fit_into_bf16() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 12 * 12), dtype=torch.uint8, generator=generator)
    pixels[0] = 77
    assert torch.equal(scale_pixels(pixels, "none"), pixels.float())
    torch.testing.assert_close(scale_pixels(pixels, "unit"), pixels / 255)
    gray, *found = scale_pixels(pixels, "image")
    assert not gray.any()
    for image, deviation in zip(found, pixels[1:].double().std(1, correction=0), strict=True):
        # The mean is subtracted as a whole gray level.
        assert abs(image.mean()) <= 0.5 / deviation + 1e-6
        assert image.std(correction=0) == pytest.approx(1, rel=1e-5)
    for normalize in NORMALIZE:
        values, scale = NORMALIZE[normalize](pixels)
        assert torch.equal(values.to(torch.bfloat16).double(), values.double())
        assert torch.equal(values.double(), values.double().round())
        torch.testing.assert_close(values * scale, scale_pixels(pixels, normalize))
