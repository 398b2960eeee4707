"""The library as a user imports it."""

import subprocess
import sys
from pathlib import Path

import pytest

import hpo as library
from hpo.plan import Settings, plan_grid
from tests.conftest import SIZE, Hpo


@pytest.mark.parametrize(
    "lines",
    [
        "from hpo import Settings, grid, open_study, search",
        "from hpo import search",
        "from hpo import open_study\nimport hpo\nsearch = hpo.search",
        "import hpo\nsearch = hpo.search",
        "import hpo.search.grid\nfrom hpo import search",
        "import hpo\nhpo.grid\nimport hpo.search.job\nsearch = hpo.search",
    ],
)
def test_search_is_the_function_and_not_the_package_of_that_name(lines: str) -> None:
    script = f"{lines}\nassert search.__module__ == 'hpo.api', search\nimport hpo.search.samplers"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_names_of_the_library_are_listed() -> None:
    assert dir(library) == sorted(library.__all__)


def test_a_sweep_from_python_writes_its_page_and_is_short_to_print(xrays: Path, hpo: Hpo) -> None:
    small = {"image_size": SIZE, "hidden": "8"}
    settings = Settings(data=xrays, set=small, values={"loss": "bce"}, repeats=1, epochs=1)
    made = library.grid("loss", settings)
    assert made.report
    assert "bce" in Path(made.report).read_text()
    found = library.open_study(made.name)
    assert found.report == made.report
    for shown in (repr(made), repr(found), repr(found.best)):
        assert len(shown) < 200
        assert "loss bce" in shown
    assert hpo("show", made.name, "--json").json["report"] == made.report


def test_settings_take_values_as_well_as_texts(xrays: Path) -> None:
    values = {"hidden": (16, 8), "dropout": 0.25, "batch_norm": False, "batch_size": 8}
    texts = {"hidden": "16-8", "dropout": "0.25", "batch_norm": "false", "batch_size": "8"}
    planned = [plan_grid(["loss"], Settings(data=xrays, set=given)) for given in (values, texts)]
    assert planned[0].name == planned[1].name
    assert planned[0].record.space.base.hidden == (16, 8)
