"""RESULTS.md: nothing in it changes from call to call, so the same runs give the same bytes."""

from collections.abc import Sequence
from typing import Final

from hpo.training.engine import NUMERICS_VERSION
from studies.results.claims import MEASURES
from studies.results.evidence import Result
from studies.results.levels import distinct_cells
from studies.results.rows import overview
from studies.results.search import Searched
from studies.results.search import section as beside
from studies.results.sections import section
from studies.results.takeaways import takeaways
from studies.results.words import bullets, count, listed

_INTERVALS: Final = (
    "Validation is what decides: repeat i has the same seed and fold under every value, pairs of "
    "values are compared by their repeats (Student's t with Nadeau and Bengio's correction for "
    "folds that share training images), p-values are corrected for the number of pairs of a sweep "
    "(Holm). A difference is called real where its corrected p-value is below 0.05. Intervals are "
    "of 95 %.",
    "The test was opened after a sweep was complete, on record, at the fixed threshold 0.5; "
    "nothing was chosen by it. Its intervals count both other trainings and other patients.",
)


def document(results: Sequence[Result], searched: Searched | None = None) -> str:
    """Write the file; with what a search found beside the reports where there was one."""
    n_repeats = results[0].summary.goal.n_repeats
    lines = [
        f"# {count(len(results), 'sweep')} of five reports, run again",
        "",
        *_warning(results),
        "## What to take from it",
        "",
        *takeaways(results),
        "## The sweeps",
        "",
        f"Accuracies in percent: means of {count(n_repeats, 'repeat')} with their 95 % intervals.",
        "",
        *overview(results),
        "",
        "## Sweep by sweep",
        "",
        *(line for result in results for line in section(result)),
        *(["## A search beside the reports", "", *beside(searched)] if searched else []),
        "## How it was made",
        "",
        *bullets(_facts(results)),
    ]
    return "\n".join(lines) + "\n"


def _warning(results: Sequence[Result]) -> list[str]:
    if not results[0].summary.record.data.is_phantom:
        return []
    return ["These are synthetic images (the phantom): this says nothing of real X-rays.", ""]


def _facts(results: Sequence[Result]) -> list[str]:
    record = results[0].summary.record
    data = record.data
    margins = [f"{m.amount(m.margin)} {m.unit} ({m.name})" for m in MEASURES]
    devices = sorted({f"{r.summary.record.device} {r.summary.record.precision}" for r in results})
    cells = distinct_cells(results)
    n_runs = sum(len(cell.configuration.scores) for cell in cells)
    return [
        f"Data: {data.name}, {data.n_train + data.n_validation:,} images in five folds by patient "
        f"and class{_test(results)}; fingerprint `{data.fingerprint}`.",
        f"{count(n_runs, 'training')} of {count(len(cells), 'configuration')}; a configuration "
        "that several sweeps share was trained once for all.",
        f"Device and precision: {listed(devices)}. Versions: {_versions(results)}; numerics "
        f"{NUMERICS_VERSION}.",
        *_INTERVALS,
        "A claim of a report is *seen here* where the difference is real and in the claimed "
        "direction; *not seen here* where it is real the other way, or where the interval leaves "
        f"no room for a difference that matters: {', '.join(margins)}. All else *can't be told*. "
        "Two values are alike where the whole interval lies within that margin.",
        "To oscillate strongly is to fluctuate by more than a point from epoch to epoch; to "
        "overfit is to have a training accuracy, measured like validation, more than a point "
        "above it.",
        f"Made by `make results DATA={data.name}`. It goes on where it stopped, and what the run "
        "store has is not trained again.",
    ]


def _test(results: Sequence[Result]) -> str:
    found = next((r.evaluation for r in results if r.evaluation), None)
    if found is None:
        return ""
    return (
        f"; {found.n_normal} normal and {found.n_pneumonia} pneumonia test images of "
        f"{found.n_patients} patients"
    )


def _versions(results: Sequence[Result]) -> str:
    """Name the versions of the runs themselves; several where they were made with several."""
    found: dict[str, set[str]] = {}
    for result in results:
        for versions in result.versions:
            for name, version in versions.items():
                found.setdefault(name, set()).add(version)
    return (
        ", ".join(f"{name} {listed(sorted(v))}" for name, v in sorted(found.items())) or "unknown"
    )
