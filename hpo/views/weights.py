"""The predictions of networks from files, and the results of testing them."""

from collections.abc import Sequence
from typing import Any

from hpo.evaluate.records import n_right
from hpo.stats import Interval
from hpo.tables import DASH, Column, Row, Table
from hpo.views.evaluations import confusion_text, metric_cells
from hpo.weights.load import notes_of, text_of
from hpo.weights.network import Network
from hpo.weights.predict import Prediction, WeightsEvaluation


def weights_table(evaluation: WeightsEvaluation) -> Table:
    """Return a row per metric; for an ensemble with the range of its members."""
    result, classes, n = evaluation.result, evaluation.classes, len(evaluation.members)
    n_images = sum(classes.values())
    units = "patients" if evaluation.n_patients < n_images else "images"
    model = (evaluation.path.name or str(evaluation.path)) + f", ensemble of {n}," * (n > 1)
    data = f"{evaluation.data} (synthetic)" if evaluation.is_phantom else evaluation.data
    by_metric = {key: sorted(m[key] for _, m in evaluation.members) for key in result.metrics}
    alone = {key: Interval(v[0], v[0], v[-1], None, n) for key, v in by_metric.items()}
    values = metric_cells(result.metrics, "{}")
    bounds, ranges = (metric_cells(metrics, "{1} to {2}") for metrics in (result.metrics, alone))
    rows = []
    for name, value in values.items():
        interval = DASH if bounds[name] == value else bounds[name]
        rows.append(Row((name, value, interval, *[ranges[name]] * (n > 1))))
    threshold = f", threshold {result.threshold:g}" if len(classes) == 2 else ""
    columns = ["value", "95 % interval", *["range of members"] * (n > 1)]
    return Table(
        columns=(Column("", "text"), *map(Column, columns)),
        rows=tuple(rows),
        notes=(
            f"{result.n_right} of {n_images} correct: "
            f"{confusion_text(classes, result.confusion)}. Intervals: bootstrap over "
            f"{evaluation.n_patients} {units}.",
            *(f"Warning: {sign}" for sign in evaluation.signs),
        ),
        title=f"{model} tested on {data}{threshold}",
    )


def weights_document(evaluation: WeightsEvaluation) -> dict[str, Any]:
    """Return the document of `hpo evaluate --weights --json`."""
    result, n_images = evaluation.result, sum(evaluation.classes.values())
    members = evaluation.members if len(evaluation.members) > 1 else ()
    return {
        "weights": str(evaluation.path),
        "architecture": evaluation.architecture,
        "data": {
            "name": evaluation.data,
            "is_phantom": evaluation.is_phantom,
            "n_test": n_images,
            "n_patients": evaluation.n_patients,
        },
        "threshold": result.threshold,
        "metrics": {
            name: {"value": i.mean, "low": i.low, "high": i.high}
            for name, i in result.metrics.items()
        },
        "classes": dict(evaluation.classes),
        "confusion": result.confusion,
        "n_right": n_right(result.confusion),
        "n_images": n_images,
        "members": [
            {"weights": str(network.path), "architecture": network.text, "metrics": metrics}
            for network, metrics in members
        ],
        "notes": list(evaluation.notes),
        "signs": list(evaluation.signs),
    }


def prediction_document(
    networks: Sequence[Network], predictions: Sequence[Prediction], threshold: float
) -> dict[str, Any]:
    """Return the document of `hpo predict --json`, except the name of the model."""
    notes, names = list(notes_of(networks)), networks[0].class_names
    if len(networks) > 1:
        notes.append(f"Ensemble: the mean of {len(networks)} networks.")
    if len(names) == 2:
        notes.append(f"Threshold: a probability above {threshold:.4g} means {names[1]}.")
    images: list[dict[str, Any]] = []
    for prediction in predictions:
        image: dict[str, Any] = {"file": str(prediction.file)}
        if prediction.problem:
            image |= {"error": prediction.problem}
        elif len(names) == 2:
            alone = [second for _, second in prediction.repeats]
            image |= {"probability": prediction.probabilities[1]}
            image |= {"lowest": min(alone), "highest": max(alone), "repeats": alone}
        else:
            image["probabilities"] = dict(zip(names, prediction.probabilities, strict=True))
            image["repeats"] = prediction.repeats
        images.append(image | ({} if prediction.problem else {"label": prediction.label}))
    return {
        "weights": [str(network.path) for network in networks],
        "architecture": text_of(networks),
        "notes": notes,
        "threshold": threshold,
        "images": images,
    }


def prediction_rows(
    networks: Sequence[Network], predictions: Sequence[Prediction]
) -> tuple[list[str], list[list[Any]]]:
    """Return the header of a table of predictions, and a row for each file that was read.

    With two classes it has the probability of the second class, and for an ensemble the range of
    its members; with more classes, the probability of each.
    """
    names, rows = networks[0].class_names, []
    header = ["label", *(names[1:] if len(names) == 2 else names)]
    if has_range := len(names) == 2 and len(networks) > 1:
        header += ["lowest", "highest"]
    for prediction in predictions:
        if not prediction.problem:
            values = list(prediction.probabilities[len(names) == 2 :])
            alone = [repeat[1] for repeat in prediction.repeats]
            values += [min(alone), max(alone)] if has_range else []
            rows.append([prediction.label, *values, str(prediction.file)])
    return [*header, "image"], rows


def prediction_lines(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Format a table of predictions in columns, one line per file."""
    width = max([len(header[0]), *(len(row[0]) for row in rows)])
    widths = [max(6, len(name)) for name in header[1:-1]]
    lines = []
    for label, *values, file in (header, *rows) if rows else ():
        cells = (v if isinstance(v, str) else f"{v:.4f}" for v in values)
        shown = (f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        lines.append("  ".join([f"{label:<{width}}", *shown, str(file)]))
    return lines
