"""What the test of weights from elsewhere says, as a table."""

from hpo.evaluate.records import NUMBERS, SHARES, n_right
from hpo.tables import DASH, Column, Row, Table
from hpo.views.evaluations import confusion_text
from hpo.weights.predict import WeightsEvaluation


def weights_table(evaluation: WeightsEvaluation) -> Table:
    """Return a row per metric; of an ensemble with the range of its networks by themselves."""
    members, n_images = evaluation.members, sum(evaluation.classes.values())
    model = evaluation.path.name or str(evaluation.path)
    model += f", ensemble of {len(members)}," if members else ""
    data = f"{evaluation.data} (synthetic)" if evaluation.is_phantom else evaluation.data
    rows = []
    for names, scale, form in ((SHARES, 100, ".1f"), (NUMBERS, 1, ".3f")):
        for name, metric in names.items():
            if metric not in evaluation.metrics:
                continue
            found = evaluation.metrics[metric]
            cells = [f"{name}, %" if scale == 100 else name, DASH, DASH]
            if found.mean is not None:
                cells[1] = f"{scale * found.mean:{form}}"
            if found.low is not None and found.high is not None:
                cells[2] = f"{scale * found.low:{form}} to {scale * found.high:{form}}"
            if alone := [metrics[metric] for _, metrics in members]:
                cells.append(f"{scale * min(alone):{form}} to {scale * max(alone):{form}}")
            rows.append(Row(tuple(cells)))
    threshold = f", threshold {evaluation.threshold:g}" if len(evaluation.classes) == 2 else ""
    columns = ["value", "95 % interval", *(["each alone"] if members else [])]
    return Table(
        columns=(Column("", "text"), *map(Column, columns)),
        rows=tuple(rows),
        notes=(
            f"{n_right(evaluation.confusion)} of {n_images} correct: "
            f"{confusion_text(evaluation.classes, evaluation.confusion)}. Intervals: bootstrap "
            f"over {evaluation.n_patients} patients.",
            *(f"Warning: {sign}" for sign in evaluation.signs),
        ),
        title=f"{model} tested on {data}{threshold}",
    )
