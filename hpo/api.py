"""The public API: the commands as functions that return records."""

import contextlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import optuna
from pydantic import TypeAdapter, ValidationError

from hpo.config import did_you_mean, faults
from hpo.data.manifest import Manifest, read_manifest
from hpo.errors import DataError, UsageError, fault_list
from hpo.evaluate.records import Evaluation
from hpo.evaluate.test import open_test
from hpo.evaluate.thresholds import DEFAULT
from hpo.export import export
from hpo.models import entry_of
from hpo.run.loop import TrialDone
from hpo.run.plan import Plan, Settings, plan_grid, plan_search
from hpo.run.session import Session, open_session, training_events
from hpo.stats import Interval
from hpo.storage.url import default_storage
from hpo.study.gathering import StoredStudy, read_study
from hpo.study.record import LIBRARY
from hpo.study.study import open_recorded_data
from hpo.study.summary import StudySummary
from hpo.views.answer import answer, finding

_OF_GRIDS: Final = {"values", "until_decided", "max_repeats", "weights"}
_OF_SEARCHES: Final = {
    *("trials", "sampler", "start_from", "require", "pruner", "finalists", "final_repeats"),
    *("with_baselines", "window", "patience"),
}


class Study(StudySummary):
    """The state of a study when it was read, with methods to use it.

    A notebook shows its answer and its table.
    """

    def __repr__(self) -> str:
        return f"<Study {self.name}: {self.headline}>"

    @property
    def headline(self) -> str:
        """The answer in one sentence, as in the title of the page."""
        return finding(self)

    def _repr_html_(self) -> str:
        from hpo.report.page import render_table

        return render_table(self, answer(self, None))

    def figure(self, name: str) -> Any:
        """Return a figure of the page, such as `sweep`, `curves` or `history`, from plotly.

        Raises:
            UsageError: the study has no figure of this name.
        """
        from hpo.plots.sweep import plot_differences
        from hpo.report.page import plots_of

        stored = read_study(self.name, self.url)
        differences = plot_differences(self.last_verdict)
        plots = [*plots_of(self, stored.study, stored.runs), differences]
        figures = {p.key: p.figures[0] for p in plots if p and len(p.figures) == 1}
        if name not in figures:
            raise UsageError(f"{self.name} has no figure {name!r}. It has {', '.join(figures)}.")
        return figures[name].update_layout(template="plotly_white")

    def evaluate(self, threshold: str | float = DEFAULT, *, is_all: bool = False) -> Evaluation:
        """Open the sealed test, on record, like `hpo evaluate`."""
        stored, rule = read_study(self.name, self.url), str(threshold)
        return open_test(stored.study, threshold=rule, is_all=is_all, command=LIBRARY)

    def predict(
        self,
        paths: str | Path | Sequence[str | Path],
        threshold: str | float | None = None,
        *,
        model: str | Callable[..., Any] | None = None,
    ) -> list[Any]:
        """Classify image files, folders or patterns: one `Prediction` per file.

        `model` is the custom network of the study, if it has one.
        """
        from hpo.weights.load import open_winner
        from hpo.weights.predict import image_files, predict

        paths = [paths] if isinstance(paths, str | Path) else paths
        rule, custom = _as_typed(threshold, model)
        networks = open_winner(self.name, self.url, custom, rule)
        return list(predict(networks, image_files([Path(path) for path in paths])))

    def export(
        self,
        out: str | Path | None = None,
        *,
        threshold: str | float | None = None,
        is_all: bool = False,
        model: str | Callable[..., Any] | None = None,
    ) -> Path:
        """Write the best model and the tables, like `hpo export`; return the folder.

        `model` is the custom network of the study, if it has one. Slow steps, and a model that
        torch.export cannot write, are reported on standard error.
        """
        stored = read_study(self.name, self.url)
        folder = Path(out) if out else stored.folder / "export"
        rule, custom = _as_typed(threshold, model)
        for line in export(stored, folder, threshold=rule, is_all=is_all, model=custom):
            print(line, file=sys.stderr)
        return folder

    def to_dataframe(self) -> Any:
        """Return a pandas.DataFrame with a row per configuration.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UsageError("to_dataframe needs pandas: pip install pandas") from None
        rows = []
        for c in self.configurations:
            score = c.judged_score or Interval(mean=None, low=None, high=None, deviation=None, n=0)
            scores = {"score": score.mean, "low": score.low, "high": score.high, "n": score.n}
            rows.append({"number": c.number, **c.params, "state": c.state, **scores})
        return pandas.DataFrame(rows)


def grid(names: str | Sequence[str], settings: Settings | None = None, **options: Any) -> Study:
    """Run the sweep of one parameter, or of all combinations of several.

    `options` are the fields of the settings and of the manifest: `grid("batch_size=16,32",
    data="chest_xray", model=cnn, positive="covid")`. A page is written too: `report` is its path.

    Raises:
        HpoError: the request, the data or the storage cannot be used.
    """
    checked = _settings(settings, options, of_others=_OF_SEARCHES)
    pairs = [text.partition("=") for text in _names(names)]
    values = {name: value for name, sign, value in pairs if sign}
    if twice := values.keys() & checked.values.keys():
        raise UsageError(f"The values of {min(twice)} are given twice. Keep one of them.")
    checked = replace(checked, values={**checked.values, **values})
    return _finish(plan_grid([name for name, *_ in pairs], checked))


def search(
    names: str | Sequence[str] = (), settings: Settings | None = None, **options: Any
) -> Study:
    """Search the space, or only the named parameters, and write a page.

    `options` are as in `grid`: `search(data="chest_xray", trials=20, model=cnn)`.

    Raises:
        HpoError: the request, the data or the storage cannot be used.
    """
    checked = _settings(settings, options, of_others=_OF_GRIDS)
    return _finish(plan_search(_names(names), checked))


def open_study(name: str | int, storage: str | None = None) -> Study:
    """Return an existing study by its name, the start of it, its number, or `latest`.

    `storage` None is HPO_STORAGE, or studies/hpo.db.

    Raises:
        StudyError: no study has this name.
        StorageError: the database cannot be read.
    """
    return _as_study(read_study(str(name), str(storage or default_storage())).summary)


def with_page(
    session: Session, summary: StudySummary, *, is_new: bool, has_images: bool = True
) -> StudySummary:
    """Write the page of the study if it is outdated, and return the summary with its path.

    Drawing the page takes a second.
    """
    path = session.folder / "report.html"
    # This call may have changed the scores that are compared.
    is_new = is_new or (session.record.margin, session.record.weights) != (None, None)
    if summary.count("complete") and (is_new or not path.exists()):
        from hpo.report.page import write_report

        summary = replace(summary, report=str(path))
        dataset = session.plan.dataset if has_images else None
        write_report(summary, session.study, session.runs, session.folder, dataset=dataset)
        _note_for_dashboard(session.study, summary, path)
    return replace(summary, report=str(path) if path.exists() else None)


def _note_for_dashboard(study: optuna.Study, summary: StudySummary, page: Path) -> None:
    """Add the answer, the path of the page and the finalists' trials to optuna-dashboard."""
    from optuna_dashboard import save_note

    lines = [finding(summary), f"Page: `{page.resolve()}`"]
    for c in summary.finalists.members if summary.finalists else ():
        trials = ", ".join(str(r.trial) for r in c.judged)
        lines.append(f"Finalist {c.tag}, retrained in trials {trials}: {c.label}")
    save_note(study, "\n\n".join(lines))


def write_page(stored: StoredStudy, *, has_images: bool = True) -> Path:
    """Write the page of a study, with X-rays if its data have not changed."""
    from hpo.report.page import write_report

    dataset = None
    if has_images:
        with contextlib.suppress(DataError):
            dataset = open_recorded_data(stored.study, stored.summary.record)
    return write_report(stored.summary, stored.study, stored.runs, stored.folder, dataset=dataset)


def _as_typed(
    threshold: str | float | None, model: str | Callable[..., Any] | None
) -> tuple[str | None, str | None]:
    """Return a threshold and a custom network as the command line writes them."""
    rule = None if threshold is None else str(threshold)
    return rule, None if model is None else entry_of(model)


def _as_study(summary: StudySummary) -> Study:
    return Study(**{field.name: getattr(summary, field.name) for field in fields(summary)})


def _names(names: str | Sequence[str]) -> list[str]:
    """Return the names of hyperparameters, or raise UsageError."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise UsageError(
            f"names must be a name or a list of names, but is {names!r}. Give values as "
            '"dropout=0,0.5" or values={"dropout": [0, 0.5]}.'
        )
    return [*listed]


def _settings(
    settings: Settings | None, options: Mapping[str, Any], *, of_others: Collection[str]
) -> Settings:
    """Return the settings with these options, which may be fields of the manifest.

    Raises:
        UsageError: unknown options, those `of_others`, or values of another type; all at once.
    """
    if not isinstance(settings, Settings | None):
        raise UsageError(f"settings must be a Settings, but is {settings!r}. Use keywords.")
    base, given = settings or Settings(), dict(options)
    valid = [field.name for field in fields(Settings) if field.name not in of_others]
    of_data = {name: given.pop(name) for name in options if name in Manifest.model_fields}
    if of_data:
        old = base.manifest.model_dump(exclude_defaults=True)
        given["manifest"] = read_manifest(old | of_data, source="The description of the data")
    problems = []
    for name in [name for name in given if name not in valid]:
        hint = did_you_mean(name, [*valid, *Manifest.model_fields])
        if name in of_others:
            hint = f"It is for hpo.{'search' if name in _OF_SEARCHES else 'grid'}."
        hint = hint or "help(hpo.Settings) lists the options."
        problems.append(f"Unknown option {name!r}. {hint}")
    try:
        checked = TypeAdapter(Settings).validate_python({n: given[n] for n in given if n in valid})
    except ValidationError as error:
        problems += faults(error)
    if problems:
        raise UsageError(fault_list("The settings are invalid:", problems))
    return replace(base, **{name: getattr(checked, name) for name in given})


def _finish(plan: Plan) -> Study:
    from tqdm.auto import tqdm

    # None: no bar unless standard error is a terminal; a notebook shows its own.
    with open_session(plan) as session, tqdm(unit="training", disable=None) as bar:
        bar.reset(total=session.source.n_left())
        done = []
        for event in training_events(session):
            if isinstance(event, TrialDone):
                done.append(event)
                bar.update()
        bar.total = bar.n + session.source.n_left()  # A search with patience may end earlier.
        n_reused = sum(event.is_reused for event in done)
        summary = session.summary()
        summary = replace(summary, n_trained=len(done) - n_reused, n_reused=n_reused)
        return _as_study(with_page(session, summary, is_new=bool(done)))
