"""hpo show, report, export, delete and dashboard."""

import io
import json
import re
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
from PIL import Image

from hpo.run.dashboard import Server
from tests.cli.conftest import GRID, assert_error
from tests.conftest import SMALL, Answer, Hpo
from tests.test_export import rows


def files() -> set[Path]:
    """Return every file of a test except the database."""
    found = {path for path in Path().rglob("*") if path.is_file()}
    return {path for path in found if not path.name.startswith("hpo.db")}


@pytest.mark.usefixtures("mine")
def test_the_page_shows_validation_images_unless_disabled(hpo: Hpo) -> None:
    page, image = Path("studies/mine/report.html"), '<img src="data:image/png'
    hpo("report", "mine")
    shown = re.findall(f'{image}.+? alt="([^"]+)"', page.read_text())
    assert len(shown) == 8
    assert [t for t in shown if not re.search(r": (normal|pneumonia), probability \d+ %", t)] == []
    assert [t for t in shown if "test" in t] == []
    hpo("report", "mine", "--no-images")
    assert image not in page.read_text()

    kinds = ["--set", "align=template", "--metric", "stress_accuracy", "--set", "image_size=32"]
    kinds += ["--set", "hidden=8", "--epochs", "1", "--repeats", "1"]
    answer = hpo("grid", "dropout=0.1", *kinds, "--json")
    text = Path(answer.json["report"]).read_text()
    assert text.count(image) == 8 + 13 + 7


def test_show_report_and_export_agree_on_a_study(hpo: Hpo, mine: Answer) -> None:
    listed = hpo("show").out
    assert "mine" in listed
    assert "xrays" in listed
    assert hpo("show", "mine", "--json").json["configurations"] == mine.json["configurations"]
    assert hpo("show", "--json").json["studies"][0]["study"] == "mine"

    page = Path("studies/mine/report.html")
    assert mine.json["report"] == str(page)
    page.unlink()
    assert hpo("report", "mine", "--json").json == {"study": "mine", "path": str(page)}

    folder = hpo("export", "mine", "--json").json
    best = {"best": "studies/mine/export/best", "threshold": 0.5}
    best |= {"script": "studies/mine/export/best/predict.py"}
    assert folder == {"study": "mine", "path": "studies/mine/export", **best}
    found = rows(Path("studies/mine/export/configurations.csv"))
    assert [row["batch_size"] for row in found] == ["8", "16"]
    assert len(rows(Path("studies/mine/export/trials.csv"))) == 4


def test_the_dashboard_shows_the_answer_the_page_and_the_metric(hpo: Hpo, xrays: Path) -> None:
    few = ("--trials", "2", "--finalists", "1", "--final-repeats", "1", "--metric", "accuracy")
    answer = hpo("search", "learning_rate", *few, *SMALL, "--data", xrays, "--json")
    study = optuna.load_study(study_name=answer.json["study"], storage=answer.json["storage"])
    assert study.metric_names == ["accuracy"]
    note = study._storage.get_study_system_attrs(study._study_id)["dashboard:note_str:0"]
    assert note.startswith(answer.json["answer"]["finding"])
    assert f"Page: `{Path(answer.json['report']).resolve()}`" in note
    assert "Finalist #" in note
    assert "retrained in trials 2: " in note


@pytest.mark.usefixtures("mine")
def test_the_dashboard_prints_its_link_and_refuses_a_port_in_use(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_error(hpo("dashboard", "--port", port), 2, f"Cannot listen on 127.0.0.1:{port}")
    monkeypatch.setattr(Server, "handle_request", Mock(side_effect=KeyboardInterrupt))
    answer = hpo("dashboard", "--port", port)
    assert (answer.code, f"http://127.0.0.1:{port}/?token=" in answer.err) == (0, True)


@pytest.mark.usefixtures("mine")
def test_missing_weights_and_runs_are_retrained_to_the_same_bits(hpo: Hpo) -> None:
    hpo("evaluate", "mine", "--threshold", "youden")  # The export chooses it from the runs.
    hpo("export", "mine", "--out", "out", "--all")
    before = hpo("show", "mine", "--json").json
    for folder in ("mine/weights", "runs"):
        shutil.rmtree(f"studies/{folder}")
    says = ("so its test stays sealed", "with `hpo export mine --all`, then evaluate again")
    assert_error(hpo("evaluate", "mine"), 1, *says)
    answer = hpo("export", "mine", "--out", "again", "--all")
    assert "Retrained" in answer.err
    assert hpo("export", "mine", "--out", "again", "--all").err.count("Retrained") == 0
    kept, again = (
        {p.relative_to(home): p.read_bytes() for p in Path(home).rglob("*.safetensors")}
        for home in ("out", "again")
    )
    assert kept == again
    assert len(kept) == 4
    curves = [sorted(Path(home).rglob("curves-*.csv")) for home in ("out", "again")]
    assert [path.read_bytes() for path in curves[0]] == [path.read_bytes() for path in curves[1]]
    assert len(curves[1]) == 4
    assert hpo("show", "mine", "--json").json == before
    assert hpo("evaluate", "mine").code == 0


@pytest.mark.usefixtures("mine")
def test_delete_asks_first_and_removes_only_what_hpo_wrote_for_the_study(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, models = Path("studies/mine"), Path("models")
    assert hpo("export", "mine").code == 0
    (home / "weights").rename(models)
    (home / "weights").symlink_to(Path.cwd() / models)
    kept = sorted(models.iterdir())
    own = {home / "export" / "thesis.txt", home / "x.jpeg"}
    for path in own:
        path.write_text("the user's")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert_error(hpo("delete", "mine"), 1, "Canceled. Nothing was changed.")
    assert hpo("show", "mine").code == 0
    answer = hpo("delete", "mine", "--yes")
    assert (answer.code, "Files in studies/mine remain" in answer.out) == (0, True)
    assert hpo("show", "mine").code == 1
    assert {path for path in home.rglob("*") if path.is_file()} == own
    assert sorted(models.iterdir()) == kept != []
    again = hpo(*GRID, "--data", xrays, "--study", "again", "--json").json
    assert (again["n_trained"], again["n_reused"]) == (0, 4)
    # A copy of the database shares the folder of the study.
    shutil.copy("studies/hpo.db", "studies/copy.db")
    answer = hpo("delete", "again", "--yes", "--storage", "sqlite:///studies/copy.db")
    assert "studies/again remains, as studies/hpo.db has a study of the same name" in answer.out
    assert Path("studies/again/report.html").is_file()


@pytest.mark.usefixtures("mine")
def test_a_study_of_any_name_writes_only_into_the_folder_of_its_storage(
    hpo: Hpo, tmp_path: Path
) -> None:
    home = Path("deep/studies")
    home.parent.mkdir()
    Path("studies").rename(home)
    shutil.rmtree(home / "mine")
    whole = (home / "hpo.db").read_bytes()
    for name in ("report.html", "weights/w.safetensors", "export/trials.csv", "export/thesis.txt"):
        for folder in (Path("victim"), home / "runs"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("mine")
    before = files()
    strange = ("../../victim", f"{tmp_path}/victim", "..", "", "nul.x", "RUNS", "x" * 200, "a\nb")
    for name in (*strange, "hpo.db-wal"):
        (home / "hpo.db").write_bytes(whole)
        with closing(sqlite3.connect(home / "hpo.db")) as database, database:
            database.execute("update studies set study_name = ?", (name,))
        named = ("--storage", "sqlite:///deep/studies/hpo.db", "--", name)
        for command in (("report",), ("export", "--no-weights")):
            assert hpo(*command, *named).code == 0, name
        written = {path.parent for path in files() - before if path.name == "report.html"}
        assert {folder.parent for folder in written} == {home}, name
        assert files() >= before, name
        assert hpo("delete", "--yes", *named).code == 0
        assert files() == before, name
    assert (Path("victim") / "report.html").read_text() == "mine"


@pytest.mark.usefixtures("mine")
def test_untrusted_names_cannot_control_the_terminal(hpo: Hpo, tmp_path: Path) -> None:
    evil = "[red]x[link=y]\x1b[2J\x9b31m\x7f\u202e\u2066\u200b\ny:bug:"
    with closing(sqlite3.connect("studies/hpo.db")) as database, database:
        database.execute("update studies set study_name = ?", (f"s{evil}",))
        key = "select value_json from study_user_attributes where key = 'hpo'"
        record = json.loads(database.execute(key).fetchone()[0])
        record["data"]["name"] = f"d{evil}"
        for key, value in (("hpo", record), ("baselines", {f"b{evil}": 0.5})):
            database.execute(
                "update study_user_attributes set value_json = ? where key = ?",
                (json.dumps(value), key),
            )
        database.execute(
            "update trial_user_attributes set value_json = ? where key = 'params'",
            (json.dumps({"batch_size": f"p{evil}"}),),
        )
    name, image, gone = f"s{evil}", tmp_path / f"i{evil}.png", f"gone{evil}"
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(image)
    for command in (
        ["show"], ["show", name, "--curves"], ["show", name, "--json"], ["report", name],
        ["evaluate", name], ["export", name, "--no-weights"], ["predict", name, image, gone],
        ["show", gone], [evil], ["grid", "--param", evil], ["data", "info", "--data", evil],
        ["compare", name, gone], ["resume", name, "--dry-run"], ["delete", name, "--yes"],
    ):  # fmt: skip
        answer = hpo(*command)
        lines = (answer.out + answer.err).replace("\u00a0", " ").split("\n")
        assert all(line.isprintable() for line in lines), answer
        is_path = command[0] in ("report", "export")
        assert is_path or "[red]x[link" in answer.out + answer.err, answer
        if "--json" in command:
            assert answer.json["study"] == name


def test_configurations_and_repeats_have_the_same_number_everywhere(hpo: Hpo, xrays: Path) -> None:
    search = ("search", "--trials", "3", "--finalists", "2", "--final-repeats", "2", *SMALL)
    options = ("--param", "learning_rate", "--set", "align=none", "--metric", "accuracy")
    shown = hpo(*search, *options, "--data", xrays, "--study", "s")
    hpo("export", "s", "--out", "out")
    document = hpo("show", "s", "--json").json
    number = document["finalists"]["winner"]
    assert f"#{number} is the best of 2 finalists" in shown.out
    winner = document["configurations"][number - 1]
    assert winner["number"] == document["best"]["number"] == number
    row = rows(Path("out/configurations.csv"))[number - 1]
    assert float(row["learning_rate"]) == winner["params"]["learning_rate"]
    home = Path("out") / row["folder"]
    assert home.name == "best"
    names = {path.name for path in home.iterdir()}
    assert {f"curves-repeat-{n}.csv" for n in (1, 2, 3)} < names
    weights = {name for name in names if name.endswith(".safetensors")}
    assert weights == {"weights-repeat-2.safetensors", "weights-repeat-3.safetensors"}
    trials = [r for r in rows(Path("out/trials.csv")) if r["number"] == str(number)]
    for n, (trial, repeat) in enumerate(zip(trials, winner["repeats"], strict=True), start=1):
        assert (trial["trial"], trial["repeat"]) == (str(repeat["trial"]), str(n))
        again = hpo("reproduce", "s", number, "--repeat", n, "--json").json
        assert (again["trial"], again["number"], repeat["repeat"]) == (repeat["trial"], number, n)
        assert again["score"]["recorded"] == repeat["score"]
