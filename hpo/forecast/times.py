"""What epochs take on this device: some configurations are timed, the others follow from these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.cost import epoch_cost
from hpo.training.device import Device
from hpo.training.processes import seconds_side_by_side
from hpo.training.timing import FOLD, seconds_per_epoch

_MOST_TIMED: Final = 12

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EpochTimes:
    """The seconds of an epoch where all processes are at work.

    `timed` are those of what was timed, by their kinds; `scale` is what they are to their costs by
    `hpo.training.cost.epoch_cost`.
    """

    n_train: int
    timed: Mapping[str, float]
    scale: float

    def seconds(self, config: TrainingConfig) -> float:
        """Return the seconds of an epoch: as timed, or by its cost."""
        known = self.timed.get(_kind(config))
        return self.scale * epoch_cost(config, n_train=self.n_train) if known is None else known


def time_epochs(
    data: TrainingData, configs: Sequence[TrainingConfig], *, device: Device, n_processes: int
) -> EpochTimes:
    """Time an epoch of each kind of configuration; of many kinds an even choice, by their cost."""
    n_train = len(data.fold(FOLD).train)
    kinds = {_kind(config): config for config in configs}
    ranked = sorted(kinds, key=lambda kind: epoch_cost(kinds[kind], n_train=n_train))
    chosen = even_choice(ranked, _MOST_TIMED)
    timed = [kinds[kind] for kind in chosen]
    if n_processes > 1 and timed:
        seconds = seconds_side_by_side(data, timed, device=device, n_processes=n_processes)
    else:
        seconds = [seconds_per_epoch(data, config, device=device) for config in timed]
    costs = [epoch_cost(config, n_train=n_train) for config in timed]
    return EpochTimes(
        n_train=n_train,
        timed=dict(zip(chosen, seconds, strict=True)),
        scale=sum(seconds) / sum(costs) if timed else 1.0,
    )


def even_choice(items: Sequence[T], n: int) -> list[T]:
    """Return so many of the items, or all, from the middles of equal parts."""
    n = min(n, len(items))
    return [items[(2 * part + 1) * len(items) // (2 * n)] for part in range(n)]


def _kind(config: TrainingConfig) -> str:
    """Return what decides the time of an epoch, as one text."""
    return config.replace(epochs=1, learning_rate=1.0, early_stopping=0).identity()
