"""The command that uses a trained network: predict."""

from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.options import ActivationOption, HasSigmoidOption, InputScaleOption, JsonOption


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A file of weights, or a configuration's folder of hpo export."
        ),
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files.")],
    input_scale: InputScaleOption = None,
    activation: ActivationOption = None,
    has_sigmoid: HasSigmoidOption = False,
    json: JsonOption = False,
) -> None:
    """Print the probability of pneumonia for each image file.

    A folder of hpo export holds several repeats: each is told, and their mean. Its config.json
    says what the options say for other weights.

    Examples:

        hpo predict studies/STUDY/export/000_batch_size-32 chest_xray/test/NORMAL/*.jpeg

        hpo predict weights.pt image.png --input-scale raw
    """
    from hpo.cli import predictions
    from hpo.cli.output import print_json
    from hpo.weights import open_model
    from hpo.weights import predict as tell

    networks = open_model(model, predictions.unseen(input_scale, activation, has_sigmoid))
    told = list(tell(networks, images))
    if json:
        print_json(predictions.document(model, networks, told))
    else:
        predictions.show(networks, told)
    if any(prediction.problem for prediction in told):
        raise typer.Exit(1)
