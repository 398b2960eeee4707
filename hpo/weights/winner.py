"""The model that a study hands over: the kept weights of its best configuration."""

from pathlib import Path

from hpo.errors import StudyError, WeightsError
from hpo.storage.opening import open_storage
from hpo.storage.paths import study_folder
from hpo.storage.url import named
from hpo.study.gathering import summarize
from hpo.study.study import open_study
from hpo.study.summary import Configuration, StudySummary
from hpo.weights.exported import Description, open_described
from hpo.weights.network import Network


def open_winner(name: str, storage_url: str) -> tuple[Network, ...]:
    """Open the network of every repeat of a study's best configuration.

    Raises:
        StudyError: there is no study of this name, or nothing in it is complete.
        WeightsError: weights were not kept, or cannot be read.
    """
    study = open_study(open_storage(storage_url, create=False), name)
    summary = summarize(study, storage_url=storage_url)
    best = summary.best
    if best is None:
        raise StudyError(
            f"No configuration of {name} is complete yet: hpo resume {named(name, storage_url)}"
        )
    bits = summary.record.data.bits
    described = Description(best.config, f"{name} (its best configuration, {best.label})", bits)
    folder = study_folder(storage_url, name) / "weights"
    return tuple(open_described(file, described) for file in _kept(summary, best, folder))


def _kept(summary: StudySummary, best: Configuration, folder: Path) -> list[Path]:
    """Return the file of every complete repeat of the best configuration.

    Raises:
        WeightsError: one of them was told from the run store, which holds no weights, or names
            no run.
    """
    unnamed = [str(r.number) for r in best.judged if r.run is None]
    if unnamed:
        raise WeightsError(
            f"The record of {summary.name} is damaged: repeat {', '.join(unnamed)} of "
            f"{best.label} names no run, so its weights cannot be found. `hpo export "
            f"{named(summary.name, summary.storage)} --out FOLDER` trains it again: then "
            f"give the folder of {best.label} in FOLDER instead of {summary.name}."
        )
    files = {r.number: folder / f"{r.run}.safetensors" for r in best.judged}
    gone = [str(number) for number, file in files.items() if not file.is_file()]
    if gone:
        raise WeightsError(
            f"The weights of {len(gone)} of {len(files)} repeats of the best configuration of "
            f"{summary.name} ({best.label}) are not kept: repeat {', '.join(gone)}. `hpo export "
            f"{named(summary.name, summary.storage)}` trains them again, bit for bit, "
            "and keeps them: then the same command works."
        )
    return list(files.values())
