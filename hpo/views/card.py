"""The card of an exported model: what it is, its data, its results and its limits."""

from collections.abc import Iterator

from hpo.data.dataset import SYNTHETIC
from hpo.evaluate.records import Evaluation
from hpo.storage.url import named
from hpo.study.summary import Configuration, StudySummary, sentences
from hpo.study.test_access import statements
from hpo.training.machine import versions
from hpo.views.evaluations import metric_cells
from hpo.views.studies import baselines_text


def model_card(
    summary: StudySummary,
    best: Configuration,
    *,
    threshold: float,
    evaluation: Evaluation | None,
    has_program: bool,
) -> str:
    """Return the model card as Markdown. `has_program`: model.pt2 and predict.py exist."""
    data = summary.record.data
    rule = "None: the prediction is the most likely class."
    if len(data.class_names) == 2:
        rule = f"A probability above {threshold:.6g} means {data.class_names[1]}. To change it: "
        rule += "`hpo export STUDY --threshold`."
    parts = {
        f"# Model of {summary.name}": _what(summary, best, has_program),
        "## How it was chosen": _chosen(summary, best),
        "## Data": [
            f"{data.title} (fingerprint {data.fingerprint[:8]}): {data.n_train:,} training, "
            f"{data.n_validation:,} validation and {data.n_test:,} test images.",
            *filter(None, [data.makeup]),
            *data.notes,
        ],
        "## Metrics": _metrics(summary, best, evaluation),
        "## Threshold": [rule],
        "## Limits": _limits(summary, best),
        "## Made with": [
            ", ".join(f"{name} {version}" for name, version in versions().items()) + ".",
            f"`{summary.whole_command}`",
        ],
    }
    return "\n\n".join("\n\n".join((title, *lines)) for title, lines in parts.items()) + "\n"


def _what(summary: StudySummary, best: Configuration, has_program: bool) -> Iterator[str]:
    n, side = len(best.judged), best.config.image_size
    *others, last = summary.record.data.class_names
    whose = last if len(others) == 1 else "each class"
    model = "One model" if n == 1 else f"The mean probability of {n} models of one configuration"
    yield f"{model}: it classifies a gray chest X-ray as {', '.join(others)} or {last}."
    if (custom := best.config.model) and custom.kind != "network":
        yield f"{custom.entry} is an estimator, whose weights are not exported."
        return
    if has_program:
        yield (
            f"- `model.pt2` (`torch.export.load`) takes one gray image, uint8 (1, {side}, "
            f"{side}), and returns the probability of {whose}.\n"
            "- `predict.py` classifies image files: `python predict.py x.jpeg`. It needs torch, "
            "numpy and Pillow, not hpo."
        )
    yield (
        "- `hpo predict` accepts this folder as MODEL.\n"
        "- `weights-repeat-*` are the state dicts of the individual networks."
    )


def _chosen(summary: StudySummary, best: Configuration) -> Iterator[str]:
    record, n = summary.record, len(summary.configurations)
    how = f"The best of {n} configurations" if n > 1 else "The only configuration"
    of = "of a sweep over" if record.kind == "grid" else "of a search over"
    yield f"{how} {of} {', '.join(record.varied)}, by {record.score.title}: {best.label}."
    yield from sentences(summary)
    fields = (f"{name} {value}" for name, value in best.config.to_mapping().items())
    yield f"All hyperparameters: {', '.join(fields)}."


def _metrics(
    summary: StudySummary, best: Configuration, evaluation: Evaluation | None
) -> Iterator[str]:
    score, found = summary.record.score, best.judged_score
    if found and found.mean is not None:
        text = score.text(found.mean)
        if interval := score.range_text(found):
            text += f" (95 % interval {interval})"
        yield f"Validation, mean of {found.n} repeats: {score.title} {text}."
    if summary.baselines:
        yield baselines_text(summary)
    evaluated = evaluation.of(best) if evaluation else None
    if evaluation is None or evaluated is None:
        yield (
            "The test set was not used for this model. "
            f"`hpo evaluate {named(summary.name, summary.storage)}` uses it; then export again."
        )
        return
    rule = f", threshold {evaluation.threshold}" if len(evaluation.classes) == 2 else ""
    # If patients are unknown, each image counts as one.
    n, n_patients = evaluation.n_images, evaluation.n_patients
    title = f"Test, {n:,} images{f' of {n_patients:,} patients' * (n_patients < n)}{rule}"
    cells = metric_cells((evaluated.ensemble or evaluated).metrics, "{} | {} to {}")
    rows = (f"| {m} | {cell if '|' in cell else f'{cell} | '} |" for m, cell in cells.items())
    yield "\n".join([f"| {title} | | 95 % interval |", "|---|---|---|", *rows])
    if regression := evaluation.regression:
        means = [x.metrics["accuracy"].mean or 0.0 for x in (regression, evaluated)]
        ours, theirs = (f"{100 * mean:.1f} %" for mean in reversed(means))
        yield (
            f"A logistic regression on the same folds has {theirs} accuracy on these images, the "
            f"networks have {ours} on average."
        )
    yield from statements(summary.openings, n_complete=summary.count("complete"))


def _limits(summary: StudySummary, best: Configuration) -> Iterator[str]:
    side = best.config.image_size
    yield (
        "- For research only. It is not a medical device and gives no diagnosis.\n"
        "- It was trained on a single collection of images. Other hospitals, devices, ages and "
        "diseases may give much worse results: test it there first.\n"
        f"- Every image is stretched to {side} x {side} pixels. It classifies any image, even one "
        "that is not a chest X-ray.\n"
        "- The threshold and the probabilities suit the share of ill patients in its data."
    )
    if summary.record.data.is_phantom:
        yield f"- {SYNTHETIC}"
