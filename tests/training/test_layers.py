"""The rows of small parameters, the first weights, and the scratch memory."""

import numpy as np
import pytest
import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device
from hpo.training.images import Images
from hpo.training.lane import open_lane
from hpo.training.layers import PACKET, Scratch, layout_of

BASE = TrainingConfig(
    image_size=16, hidden=(12, 7, 33), dropout=0.2, batch_size=16, learning_rate=0.01
)
CPU = torch.device("cpu")


def test_slots_begin_at_whole_packets_and_writing_to_one_changes_no_other() -> None:
    layout = layout_of(BASE)
    assert all(
        n % PACKET == 0 for n in (layout.size, *(slot.place.start for slot in layout.slots()))
    )
    assert [layer.units.start for layer in layout.hidden] == [0, 32, 64]
    assert layout.n_units == 128
    rows = torch.zeros(2, layout.size)
    for number, slot in enumerate(layout.slots(), start=1):
        slot.used(rows[1]).fill_(number)
    for number, slot in enumerate(layout.slots(), start=1):
        assert slot.used(rows[1]).shape == slot.shape
        assert slot.of(rows)[1].sum() == number * np.prod(slot.shape)
    assert (rows[0] == 0).all()


def test_first_weights_are_those_of_linear_layers(data: TrainingData, cpu: Device) -> None:
    config = BASE.replace(image_size=12, batch_norm=False, hidden=(144, 144), dropout=0.0)
    lane = open_lane(
        config, Images(data, cpu).place(config, 0), seed=4, device=cpu, scratch=Scratch(CPU)
    )
    drawn = {slot.name: slot.used(lane.parameters.row[0]) for slot in lane.layout.slots()}
    first, second = lane.parameters.first.flatten(), drawn["4.weight"].flatten()
    for weights, bias in ((first, drawn["1.bias"]), (second, drawn["4.bias"])):
        both = torch.cat([weights, bias])
        assert both.abs().max() <= 1 / 12
        # The deviation of a uniform distribution, within five standard errors.
        assert both.std() == pytest.approx(1 / 12 / 3**0.5, rel=5 * len(both) ** -0.5)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 144


def test_scratch_gives_the_same_memory_again_for_the_same_name_and_type() -> None:
    scratch = Scratch(CPU)
    large = scratch.take("a", (4, 6), torch.float32).fill_(1)
    small = scratch.take("a", (5, 2), torch.float32)
    assert small.shape == (5, 2)
    assert small.is_contiguous()
    assert small.data_ptr() == large.data_ptr()
    assert scratch.take("a", (5, 6), torch.float32).shape == (5, 6)
    scratch.take("b", (24,), torch.float32).fill_(2)
    scratch.take("a", (24,), torch.float64).fill_(3)
    scratch.clear()
    scratch.take("a", (24,), torch.float32).fill_(4)
    assert (large == 1).all()
