"""What the test of weights from elsewhere says, as a table."""

from hpo.evaluate.records import NUMBERS, SHARES
from hpo.tables import DASH, Column, Row, Table
from hpo.views.evaluations import interval_text
from hpo.weights.predict import WeightsEvaluation


def weights_table(evaluation: WeightsEvaluation) -> Table:
    """Return a row per metric; of an ensemble with the range of its networks by themselves."""
    members = evaluation.members
    model = evaluation.path.name or str(evaluation.path)
    model += f", ensemble of {len(members)}," if members else ""
    data = f"{evaluation.data} (synthetic)" if evaluation.is_phantom else evaluation.data
    rows = []
    for names, scale, form in ((SHARES, 100, ".1f"), (NUMBERS, 1, ".3f")):
        for name, metric in names.items():
            found = evaluation.metrics[metric]
            alone = [metrics[metric] for _, metrics in members]
            ranges = [(found.low, found.high), *([(min(alone), max(alone))] if members else [])]
            rows.append(
                Row(
                    (
                        f"{name}, %" if scale == 100 else name,
                        interval_text(found, "{}", scale, form),
                        *(_range(low, high, scale, form) for low, high in ranges),
                    )
                )
            )
    counts = evaluation.confusion
    return Table(
        columns=(
            Column("", "text"),
            *map(Column, ("value", "95 % interval", *(["each alone"] if members else []))),
        ),
        rows=tuple(rows),
        notes=(
            f"{counts.n_right} of {evaluation.n_images} correct: {counts.true_positive} pneumonia "
            f"images found and {counts.false_negative} missed, {counts.true_negative} normal ones "
            f"recognized and {counts.false_positive} called pneumonia. Intervals: bootstrap over "
            f"{evaluation.n_patients} patients.",
            *(f"Warning: {sign}" for sign in evaluation.signs),
        ),
        title=f"{model} on the test of {data}, threshold {evaluation.threshold:g}",
    )


def _range(low: float | None, high: float | None, scale: float, form: str) -> str:
    if low is None or high is None:
        return DASH
    return f"{scale * low:{form}} to {scale * high:{form}}"
