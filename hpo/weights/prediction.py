"""The probability of pneumonia for image files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from hpo.data.images import decode_all, resize
from hpo.data.source import bits_in_use, to_8_bits
from hpo.errors import DataError
from hpo.weights.network import Network


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What networks tell of a file: `probability` is the mean of `repeats`, one per network.

    A file that cannot be read has a `problem` instead, and no repeats.
    """

    file: Path
    probability: float | None = None
    repeats: tuple[float, ...] = ()
    problem: str | None = None

    @property
    def lowest(self) -> float | None:
        """The lowest probability that one network alone tells."""
        return min(self.repeats, default=None)

    @property
    def highest(self) -> float | None:
        """The highest probability that one network alone tells."""
        return max(self.repeats, default=None)


def predict(networks: Sequence[Network], files: Sequence[Path]) -> Iterator[Prediction]:
    """Yield the prediction for each file, in order; a broken one does not end it."""
    for file in files:
        try:
            (image,) = decode_all([file])
        except DataError as problem:
            yield Prediction(file=file, problem=str(problem))
            continue
        # Brighter than any image of the training: then its own bits are the better guess.
        bits = max(bits_in_use(int(image.max())), *(network.bits for network in networks))
        pixels = to_8_bits(image, bits)
        repeats = tuple(
            float(network.probabilities(resize(pixels, network.side)[None])[0])
            for network in networks
        )
        yield Prediction(file=file, probability=fmean(repeats), repeats=repeats)
