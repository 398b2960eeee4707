"""The library as a user imports it."""

import subprocess
import sys

import pytest


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
