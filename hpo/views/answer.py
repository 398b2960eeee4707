"""The plain answer of a study: the finding, its quality, and the next step."""

import shlex
from collections.abc import Sequence
from itertools import repeat
from statistics import fmean
from typing import Final

from hpo.choices import DEFAULT_SPACE
from hpo.config import TrainingConfig, Value, toml
from hpo.errors import StudyError
from hpo.evaluate.records import Evaluation
from hpo.space import load_space
from hpo.space.records import value_text
from hpo.stats import mean_interval
from hpo.stats.intervals import WIDEST
from hpo.stats.sentences import longest
from hpo.storage.url import named, storage_option
from hpo.study.baselines import MAJORITY, REGRESSION
from hpo.study.record import LIBRARY, DataInfo, StudyRecord
from hpo.study.summary import StudySummary
from hpo.tables import Answer, count, duration
from hpo.training import machine
from hpo.views.evaluations import evaluation_sentence

# Never advise more repeats than this: another configuration decides sooner.
_MOST_REPEATS: Final = 50
# Two repeats never prove a difference.
_FEW: Final = 3
_FLAGS: Final = ("--until-decided", "--test", "--dry-run", "--json", "--quiet", "--open")
_OF_ONE_CALL: Final = ("--repeats", "--max-repeats", "--timeout", *_FLAGS)
_OF_DATA: Final = (
    *("positive", "negative", "patient_regex"),
    *("merge_val", "allow_shared_patients", "skip_broken"),
)
_OF_A_SWEEP: Final = ("--param", "--values", "--study", "--metric", "--margin", "--weights")


def answer(summary: StudySummary, evaluation: Evaluation | None = None) -> Answer:
    """Return the answer of a study, including its last evaluation on the test set."""
    verdict = summary.verdict
    pairs = verdict.pairs if verdict else ()
    is_open = any(pair.answer in ("undecided", "untested") for pair in pairs)
    quality, is_good = _quality(summary)
    if evaluation and evaluation.regression and quality:
        quality = f"On validation, {quality[0].lower()}{quality[1:]}"
    on_test = (evaluation and evaluation_sentence(evaluation, summary)) or ""
    purpose, command = _next(summary, is_tested=bool(on_test))
    return Answer(
        finding=finding(summary),
        quality=quality,
        settings=_settings(summary) if summary.record.kind == "search" else "",
        on_test=on_test,
        purpose=purpose,
        command=command,
        is_clear=not (is_open or summary.n_left)
        and summary.best is not None
        and not summary.shortfall(summary.best),
        is_good=is_good,
    )


def _settings(summary: StudySummary) -> str:
    """Write the best configuration as options to paste."""
    if summary.best is None:
        return ""
    return _options(summary.record, summary.best.config)


def _options(record: StudyRecord, config: TrainingConfig) -> str:
    """Write a configuration as options: the model, and the differences from the default space."""
    default, custom = load_space(DEFAULT_SPACE).base, config.model
    of_default = default.to_mapping() | {d.name: d.default for d in config.signature or ()}
    values = config.to_mapping() | config.custom_params
    names = {*_fields(config), *_fields(default)} - {*(custom.idle_fields if custom else ())}
    changed = (n for n, value in values.items() if n in names and value != of_default[n])
    pairs = (shlex.quote(f"{name}={value_text(values[name])}") for name in changed)
    return (record.model_option + "".join(f" --set {pair}" for pair in pairs)).strip()


def best_toml(summary: StudySummary) -> str:
    """Write the best configuration as the base of a space file."""
    if summary.best is None:
        raise StudyError(f"No configuration of {summary.name} is complete yet.")
    title = f"# {summary.best.tag} of {summary.name}"
    lines = (f"{name} = {toml(value)}" for name, value in _fields(summary.best.config).items())
    custom = summary.best.config.model
    model = ["[model]", f"entry = {toml(summary.record.model or custom.entry)}"] if custom else []
    return "\n".join([title, *model, "[base]", *lines])


def _fields(config: TrainingConfig) -> dict[str, Value]:
    """Return the fields that have an effect, and those of a custom model."""
    active = config.active_fields()
    fields = {n: v for n, v in config.to_mapping().items() if n in active and n != "model"}
    return fields | config.custom_params


def finding(summary: StudySummary) -> str:
    """Return the answer in one sentence."""
    best, interval, score = summary.best, summary.best_score, summary.record.score
    if best is None or interval is None or interval.mean is None:
        return f"No answer yet: {count(summary.n_left, 'training')} missing."
    if summary.sweep_headline and best.state == "complete":
        return summary.sweep_headline
    n, n_failed = len(summary.configurations), summary.n_failed
    tried = count(n, "configuration") + (f" ({n_failed} failed)" if n_failed else "")
    name = best.label if summary.record.kind == "grid" else best.tag
    start = f"The best of {tried} is {name}:"
    if is_short := summary.shortfall(best) > 0:
        start = f"{summary.requirement} It has"
    text = f"{start} {score.text(interval.mean)} {score.title}"
    if summary.finalists:
        text += f", retrained {count(interval.n, 'time')}."
    else:
        text += f" (mean of {interval.n} repeats)." if interval.n > 1 else "."
        text += " The best of many scores is partly due to luck." if n - n_failed > 1 else ""
    return text if is_short else f"{text} {summary.requirement}".strip()


def _quality(summary: StudySummary) -> tuple[str, bool]:
    """Compare the best, on unchanged images, with the baselines."""
    best, score = summary.best, summary.baseline_score
    majority, regression = map(summary.baseline_values.get, (MAJORITY, REGRESSION))
    measured = [r.validation(score.metric) for r in best.judged] if best else []
    values = [x for x in measured if x is not None]
    if best is None or majority is None or regression is None or not values:
        return "", True
    is_grid, mean = summary.record.kind == "grid", fmean(values)
    name, noun = best.label if is_grid else best.tag, summary.record.noun
    margin = (100 if score.kind.is_share else 1) * (score.kind.margin or 0.0)

    def ahead_of(other: float) -> float:
        """Return the advantage of the best, in points or in units of the score, as displayed."""
        difference = score.difference(mean, other)
        return difference if score.kind.direction == "maximize" else -difference

    if ahead_of(majority) < margin:
        how = "no better than always answering the most common class"
        if not score.kind.is_share:
            how = "hardly better than answering every image with the shares of the classes"
        return (
            f"The best {noun} ({name}) is {how}: {score.text(mean)} {score.title} against "
            f"{score.text(majority)} (docs/checks.md#majority)."
        ), False
    apart, (is_clear, spread) = ahead_of(regression), _certainty(summary, measured, regression)
    way = "better" if apart > 0 else "worse"
    how = "is about as good as a plain logistic regression"
    against = f"{score.text(mean)} {score.title} against {score.text(regression)}"
    if abs(apart) >= margin and is_clear:
        how = f"is {way} than a plain logistic regression"
    elif abs(apart) >= margin:
        how = f"scored {way} than a plain logistic regression, but not clearly"
        against += spread
    text = f"The best {noun} ({name}) {how}: {against}."
    if apart <= -margin:
        more = "A search" if is_grid else "A longer search"
        text += f" {more} may find a better one (docs/checks.md#baseline)."
    return text, apart >= margin


def _certainty(
    summary: StudySummary, measured: Sequence[float | None], regression: float
) -> tuple[bool, str]:
    """Return whether repeats clearly differ from the regression, and the interval."""
    score = summary.baseline_score
    by_fold = summary.baseline_scores.get(REGRESSION, {}).get(score.metric) or [regression]
    # A single one is the mean of an older study, or that of its validation split.
    of_repeats = repeat(by_fold[0]) if len(by_fold) == 1 else by_fold
    pairs = zip(measured, of_repeats, strict=False)
    overlap = summary.record.data.overlap
    interval = mean_interval([x - y for x, y in pairs if x is not None], overlap=overlap)
    if interval.low is None or interval.high is None:
        return False, ", in one training"
    is_wide = score.kind.is_share and interval.high - interval.low > WIDEST
    if interval.n < _FEW or is_wide:
        return False, f", from {interval.n} repeats: too few for a useful interval"
    factor, form, unit = (100, "+z.1f", " points") if score.kind.is_share else (1, "+z.3f", "")
    ends = f"{factor * interval.low:{form}} to {factor * interval.high:{form}}{unit}"
    return not interval.low <= 0 <= interval.high, f" (95 % interval of the difference {ends})"


def _next(summary: StudySummary, *, is_tested: bool) -> tuple[str, str]:
    """Return the purpose of the next step, and its command."""
    study, record, goal = named(summary.name, summary.storage), summary.record, summary.goal
    model = record.model_option
    if summary.driver:
        return "To see how far it is", f"hpo show {study}"
    if summary.n_left:
        purpose = f"To finish the {count(summary.n_left, 'missing training')}"
        if summary.finalists:  # They may stay as they are.
            purpose = f"To finish it, with at most {count(summary.n_left, 'more training')}"
        return purpose, summary.to_resume
    if record.kind == "search" and summary.best:
        if is_tested:
            what = "the model and its results" if record.has_weights else "its results"
            return f"To write {what} as files", f"hpo export {study}{model}"
        return "To evaluate it on the sealed test, once and on record", f"hpo evaluate {study}"
    pairs = summary.verdict.pairs if summary.verdict else ()
    is_compared = len(summary.configurations) > 1
    n_repeats, high = 5 if goal.n_repeats < 2 and is_compared else None, None
    if spans := [p.repeats for p in pairs if p.answer == "undecided" and p.repeats]:
        low, high = longest(spans)
        n_repeats = high or low
    words = _words(summary.command)
    if n_repeats and goal.n_repeats < n_repeats <= _MOST_REPEATS and words:
        shared_words = [word for group in words if group[0] not in _OF_ONE_CALL for word in group]
        more = n_repeats - goal.n_repeats
        means = [
            fmean(seconds)
            for c in summary.configurations
            if (seconds := [r.seconds for r in c.repeats if r.seconds is not None])
        ]
        time = ""
        if means and record.device == "cpu":
            time = f", about {duration(more * sum(means) / machine.n_cores())} more"
        purpose = "To decide" if high else "To come closer to a decision"
        # Looks that are planned from the start have a limit.
        limit = ["--until-decided", "--max-repeats"] if goal.most_repeats else ["--repeats"]
        return f"{purpose}{time}", shlex.join([*shared_words, *limit, str(n_repeats)])
    if words:
        others = (*_OF_ONE_CALL, *_OF_A_SWEEP)
        options = [group for group in words if group[0].startswith("--")]
        shared = [word for group in options if group[0] not in others for word in group]
        command = shlex.join(["hpo", "search", "--trials", "50", *shared])
    elif not (data := _data_options(record.data)) and record.data.path:
        return "", ""
    else:
        parts = ("hpo search --trials 50", *data, _options(record, record.space.base))
        command = " ".join(filter(None, parts)) + storage_option(summary.storage)
    return "To search all hyperparameters at once", command


def _data_options(data: DataInfo) -> list[str]:
    """Write the path of data and their manifest as options; [] if that is not possible."""
    words = [["--data", data.path]] if data.path else []
    for name, value in data.manifest.model_dump(mode="json", exclude_defaults=True).items():
        if name not in _OF_DATA:
            return []
        values = value if isinstance(value, list) else [value]
        option = f"--{name.replace('_', '-')}"
        words += [[option] if one is True else [option, one] for one in values]
    return [shlex.join(group) for group in words]


def _words(command: str) -> list[list[str]]:
    """Split a recorded command into words, each option with its value if it has one."""
    groups: list[list[str]] = []
    try:
        words = [] if command == LIBRARY else shlex.split(command)
    except ValueError:
        return []
    for word in words:
        name, sign, value = word.partition("=")
        last = groups[-1] if groups else [""]
        if name.startswith("--") and sign:
            groups.append([name, value])
        elif last[0].startswith("--") and len(last) == 1 and last[0] not in _FLAGS:
            last.append(word)
        else:
            groups.append([word])
    return groups
