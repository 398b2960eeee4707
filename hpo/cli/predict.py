"""The command that uses a trained network: predict."""

from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.options import (
    ActivationOption,
    HasSigmoidOption,
    InputScaleOption,
    JsonOption,
    StorageOption,
)
from hpo.storage.url import DEFAULT_URL


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A file of weights, a folder of them, or the name of a study."
        ),
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files.")],
    input_scale: InputScaleOption = None,
    activation: ActivationOption = None,
    has_sigmoid: HasSigmoidOption = False,
    storage: StorageOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Print the probability of pneumonia for each image file.

    Several weights make an ensemble: the mean of their probabilities, beside the lowest and the
    highest that one of them tells alone. A folder holds the repeats of a configuration, as hpo
    export writes it, or weights from elsewhere; of a study, they are the repeats of its best
    configuration. The options are for weights that hpo export did not write.

    Examples:

        hpo predict STUDY chest_xray/test/NORMAL/*.jpeg

        hpo predict studies/STUDY/export/001_batch_size-32 image.jpeg

        hpo predict weights.pt image.png --input-scale raw
    """
    from hpo.cli import predictions
    from hpo.cli.output import print_json
    from hpo.weights import predict as tell

    how = predictions.unseen(input_scale, activation, has_sigmoid)
    networks = predictions.open_networks(model, how, storage)
    told = list(tell(networks, images))
    if json:
        print_json(predictions.document(model, networks, told))
    else:
        predictions.show(networks, told)
    if any(prediction.problem for prediction in told):
        raise typer.Exit(1)
