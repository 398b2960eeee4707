"""The library as a user imports it."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpo.plan import Settings, plan_grid


@pytest.mark.parametrize(
    "lines",
    [
        "from hpo import Settings, grid, open_study, search",
        "from hpo import search",
        "from hpo import open_study\nimport hpo\nsearch = hpo.search",
        "import hpo\nsearch = hpo.search",
    ],
)
def test_search_is_the_function_and_not_the_package_of_that_name(lines: str) -> None:
    script = f"{lines}\nassert search.__module__ == 'hpo.api', search\nimport hpo.search.samplers"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_settings_take_values_as_well_as_texts(xrays: Path) -> None:
    values = {"hidden": (16, 8), "dropout": 0.25, "batch_norm": False, "batch_size": 8}
    texts = {"hidden": "16-8", "dropout": "0.25", "batch_norm": "false", "batch_size": "8"}
    planned = [plan_grid(["loss"], Settings(data=xrays, set=given)) for given in (values, texts)]
    assert planned[0].name == planned[1].name
    assert planned[0].record.space.base.hidden == (16, 8)
