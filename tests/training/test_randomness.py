import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpo.training import randomness
from hpo.training.device import Device
from hpo.training.randomness import (
    bits,
    fill_uniform,
    keep_mask,
    order,
    seeds_of,
    uniform,
    uniform_at,
)

SEEDS = st.integers(0, 2**62)
TAGS = st.lists(st.integers(0, 2**40), max_size=3).map(tuple)


def splitmix64(state: int) -> int:
    """The finalizer of splitmix64 in whole numbers, after Vigna's splitmix64.c."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def hash_by_hand(seed: int, tags: tuple[int, ...], position: int) -> int:
    gamma = 0x9E3779B97F4A7C15
    key = splitmix64((seed * gamma + 1) % 2**64)
    for tag in tags:
        key = splitmix64((key + (tag + 1) * gamma) % 2**64)
    stream = splitmix64(key ^ 0x94D049BB133111EB)
    return splitmix64((stream + position * gamma) % 2**64)


def test_the_finalizer_is_that_of_splitmix64() -> None:
    # splitmix64.c seeded with 1234567: first outputs, as published with many ports of it.
    gamma = 0x9E3779B97F4A7C15
    outputs = [splitmix64((1234567 + i * gamma) % 2**64) for i in (1, 2, 3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(SEEDS, TAGS, st.integers(0, 2**40))
def test_bits_equal_the_hash_in_whole_numbers(
    seed: int, tags: tuple[int, ...], position: int
) -> None:
    found = int(bits(seeds_of(seed), torch.tensor([position]), *tags))
    assert found % 2**64 == hash_by_hand(seed, tags, position)


def test_golden_bits() -> None:
    # From this function, 2026: a change here changes every result (raise NUMERICS_VERSION).
    found = bits(seeds_of(0, 1), torch.arange(3), 1, 7)
    assert found.tolist() == [
        [4478431414384359733, -2702602969340032657, -1652492441062651813],
        [-5020297939610050996, -2969066042792808821, 1198402962255800173],
    ]


def test_lanes_draw_what_each_draws_alone() -> None:
    together = uniform(seeds_of(5, 6, 7), 1000, 2, torch.tensor([0, 4, 9]))
    for lane, (seed, epoch) in enumerate([(5, 0), (6, 4), (7, 9)]):
        assert torch.equal(together[lane], uniform(seeds_of(seed), 1000, 2, epoch)[0])


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    seeds, drop = seeds_of(1, 2), torch.tensor([0.3, 0.8])
    whole = uniform(seeds, 100, 3), keep_mask(seeds, 100, drop, 3)
    monkeypatch.setattr(randomness, "_CHUNK", chunk)
    assert torch.equal(uniform(seeds, 100, 3), whole[0])
    assert torch.equal(keep_mask(seeds, 100, drop, 3), whole[1])


def test_single_positions_have_the_numbers_of_the_row() -> None:
    positions = torch.tensor([[90, 3], [0, 41]])
    found = uniform_at(seeds_of(1, 2), positions, 5)
    assert torch.equal(found, uniform(seeds_of(1, 2), 100, 5).gather(1, positions))


def test_uniform_is_uniform() -> None:
    n = 400_000
    x = uniform(seeds_of(11), n, 0).double().numpy()[0]
    assert x.min() >= 0
    assert x.max() < 1
    # Five standard errors of mean, variance and of the share in each of 64 bins.
    assert abs(x.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / n)
    assert abs(x.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    counts = np.histogram(x, 64, (0, 1))[0]
    assert (np.abs(counts - n / 64) < 5 * np.sqrt(n / 64)).all()
    assert np.abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("tag", ["seed", "use", "epoch", "layer"])
def test_neighbors_are_not_correlated(tag: str) -> None:
    n, rows = 20_000, []
    for i in range(8):
        use, epoch, layer = (i if tag == name else 0 for name in ("use", "epoch", "layer"))
        rows.append(uniform(seeds_of(i if tag == "seed" else 0), n, use, epoch, layer)[0])
    correlations = np.corrcoef(torch.stack(rows).numpy()) - np.eye(8)
    assert np.abs(correlations).max() < 5 / np.sqrt(n)


def test_a_stream_is_not_the_keys_of_its_tags() -> None:
    position = int(bits(seeds_of(0), torch.tensor([4]), 1))
    assert position not in bits(seeds_of(0), torch.arange(100), 1, 4).tolist()[0]


@given(SEEDS, st.integers(1, 300))
def test_an_order_is_a_permutation(seed: int, n: int) -> None:
    assert sorted(order(seeds_of(seed), n, 1).tolist()[0]) == list(range(n))


def test_every_place_in_the_order_is_equally_likely() -> None:
    firsts = order(seeds_of(*range(6000)), 6, 1)[:, 0]
    counts = torch.bincount(firsts, minlength=6)
    assert (counts - 1000).abs().max() < 5 * np.sqrt(1000)


def test_each_lane_drops_with_its_own_probability() -> None:
    n = 100_000
    kept = keep_mask(seeds_of(1, 2, 3), n, torch.tensor([0.0, 0.5, 0.9]), 2)
    shares = kept.double().mean(1)
    assert shares[0] == 1
    assert abs(shares[1] - 0.5) < 5 * np.sqrt(0.25 / n)
    assert abs(shares[2] - 0.1) < 5 * np.sqrt(0.09 / n)


def test_fill_uniform_stays_within_its_bound() -> None:
    out = torch.full((2, 50_000), torch.nan)
    fill_uniform(out, seeds_of(1, 2), 0, bound=0.25)
    assert out.abs().max() <= 0.25
    assert out.abs().max() > 0.2499
    assert out.mean().abs() < 0.005


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    before = torch.get_rng_state()
    first = uniform(seeds_of(1), 100, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(uniform(seeds_of(1), 100, 2), first)


@pytest.mark.gpu
def test_a_gpu_draws_the_same_bits(cuda: Device) -> None:
    here, there = seeds_of(3, 2**40), seeds_of(3, 2**40, device=cuda.torch)
    positions = torch.arange(100_000)
    at_gpu = bits(there, positions.to(cuda.torch), 2, 17)
    assert torch.equal(bits(here, positions, 2, 17), at_gpu.cpu())
    assert torch.equal(uniform(here, 100_000, 1), uniform(there, 100_000, 1).cpu())
    assert torch.equal(order(here, 5000, 1), order(there, 5000, 1).cpu())
