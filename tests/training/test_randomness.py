from itertools import product

import numpy as np
import pytest
import torch

from hpo.training import randomness
from hpo.training.device import Device
from hpo.training.randomness import bits, fill_uniform, keep_mask, order, seeds_of, uniform_at


def uniform(seeds: torch.Tensor, n: int, *tags: int | torch.Tensor) -> torch.Tensor:
    return uniform_at(seeds, torch.arange(n, device=seeds.device), *tags)


def test_golden_bits() -> None:
    # From this function, 2026: a change here changes every result (raise NUMERICS_VERSION).
    assert bits(seeds_of(0, 1), torch.arange(3), 1, 7).tolist() == [
        [4478431414384359733, -2702602969340032657, -1652492441062651813],
        [-5020297939610050996, -2969066042792808821, 1198402962255800173],
    ]


@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_the_chunk_size_does_not_matter(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(randomness, "_CHUNK", chunk)
    seeds, drop, out = seeds_of(1, 2), torch.tensor([0.3, 0.8]), torch.empty(2, 100)
    whole = torch.cat([uniform(seeds_of(seed), 100, 3) for seed in (1, 2)])
    assert torch.equal(keep_mask(seeds, 100, drop, 3), whole >= drop[:, None])
    fill_uniform(out, seeds, 3, bound=0.25)
    assert torch.equal(out, (whole * 2 - 1) * 0.25)


def test_orders_are_uniform_permutations_and_tags_are_uncorrelated() -> None:
    orders = order(seeds_of(*range(6000)), 6, 1)
    assert (orders.sort(1).values == torch.arange(6)).all()
    # Five standard errors of the counts, and of a correlation.
    assert (torch.bincount(orders[:, 0]) - 1000).abs().max() < 5 * 1000**0.5
    rows = [
        uniform(seeds_of(seed), 20_000, use, epoch, layer)[0].numpy()
        for seed, use, epoch, layer in product((0, 1), repeat=4)
    ]
    assert np.abs(np.corrcoef(rows) - np.eye(16)).max() < 5 / 20_000**0.5


@pytest.mark.gpu
def test_a_gpu_draws_the_same_bits(cuda: Device) -> None:
    here, there = seeds_of(3, 2**40), seeds_of(3, 2**40, device=cuda.torch)
    assert torch.equal(uniform(here, 100_000, 2, 17), uniform(there, 100_000, 2, 17).cpu())
    assert torch.equal(order(here, 5000, 1), order(there, 5000, 1).cpu())
