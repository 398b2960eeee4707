"""The notebook of the documentation, cell by cell."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpo.training import alignment, machine

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


@pytest.mark.usefixtures("few_phantoms")
def test_every_cell_of_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(alignment, "_N_STEPS", 2)  # The exported program repeats them.
    monkeypatch.setattr(machine, "n_cores", lambda: 1)  # Processes take two seconds to start.
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    shown = names["study"]._repr_html_()
    assert "<table>" in shown
    assert repr(names["found"]).startswith(f"<Study {names['found'].name}: The best of 6 ")
    assert (tmp_path / "model" / "best" / "predict.py").is_file()
    with pytest.raises(Exception, match="It has sweep, curves, differences"):
        names["study"].figure("roc")
