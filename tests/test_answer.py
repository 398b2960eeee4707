"""The answer of a study: the finding, its quality, and the next command."""

import dataclasses
import shlex
from pathlib import Path

from hpo.cli import options
from hpo.data.manifest import Manifest
from hpo.space import load_space, override
from hpo.storage.url import DEFAULT_URL
from hpo.study.summary import StudySummary
from hpo.tables import Answer
from hpo.views import answer as answers
from hpo.views.answer import answer, best_toml
from tests.conftest import SMALL, Hpo
from tests.fake_studies import add_finalists, fake_grid, fake_search

COMMAND = "hpo grid batch_size --data x --repeats 2 --json --set dropout=0.1 --until-decided"


def with_command(summary: StudySummary, command: str) -> StudySummary:
    return dataclasses.replace(
        summary, record=dataclasses.replace(summary.record, command=command)
    )


def with_manifest(summary: StudySummary, manifest: Manifest) -> StudySummary:
    data = dataclasses.replace(summary.record.data, manifest=manifest)
    return dataclasses.replace(summary, record=dataclasses.replace(summary.record, data=data))


def test_a_decided_sweep_suggests_a_search_on_the_same_data(tmp_path: Path) -> None:
    summary = fake_grid(tmp_path, ["learning_rate"]).summary
    pair = dataclasses.replace(summary.verdict.pairs[0], answer="same")
    verdict = dataclasses.replace(summary.verdict, pairs=(pair,))
    summary = dataclasses.replace(summary, verdict=verdict)
    found = answer(with_command(summary, COMMAND))
    assert found.finding == summary.sweep_headline
    assert found.command == "hpo search --trials 50 --data x --set dropout=0.1"
    pair = dataclasses.replace(pair, answer="undecided", repeats=(9, 12))
    verdict = dataclasses.replace(verdict, pairs=(pair,))
    goal = dataclasses.replace(summary.goal, most_repeats=5)
    undecided = dataclasses.replace(summary, verdict=verdict, goal=goal)
    found = answer(with_command(undecided, COMMAND))
    assert found.command.endswith(" --until-decided --max-repeats 12")
    summary = with_command(summary, "library")
    start = "hpo search --trials 50 --data data/chest_xray"
    base = "--set epochs=12 --set weights=last"  # It differs from the default space in these.
    assert answer(summary).command == f"{start} {base}"
    manifest = Manifest(positive=("flu", "a b"), merge_val=True)
    described = with_manifest(summary, manifest)
    options_of_it = "--positive flu --positive 'a b' --merge-val"
    assert answer(described).command == f"{start} {options_of_it} {base}"
    assert not answer(with_manifest(summary, Manifest(label="finding"))).command


def test_all_options_of_data_can_be_written() -> None:
    assert {"data", *answers._OF_DATA} == options._OF_DATA.keys()


def test_a_finished_search_suggests_its_evaluation(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 14)
    left = answer(dataclasses.replace(fake.summary, n_open=3))
    assert (left.command, left.is_clear) == (f"hpo resume {fake.name}", False)
    summary = add_finalists(fake, 0.9, 0.95, 0.88).summary
    found: Answer = answer(dataclasses.replace(summary, n_open=0))
    assert found.finding.startswith(
        f"The best of 14 configurations (1 failed) is {summary.best.tag}"
    )
    assert found.command == f"hpo evaluate {fake.name}"
    space = load_space("chest_xray")  # A pasted line must not need the space of the study.
    pairs = options.read_pairs("--set", shlex.split(found.settings)[1::2])
    assert override(space, pairs).base.identity() == summary.best.config.identity()
    path = tmp_path / "best.toml"
    path.write_text(best_toml(summary))
    assert load_space(str(path)).base.identity() == summary.best.config.identity()


def test_the_answer_ends_the_output_and_includes_the_test_result(hpo: Hpo, xrays: Path) -> None:
    grid = ("grid", "batch_size=8,16", "--data", xrays, "--repeats", "1", *SMALL, "--study", "s")
    *_, last = hpo(*grid).out.splitlines()
    assert last.startswith("To come closer to a decision, about ")
    again = shlex.split(last.partition(": ")[2])
    assert again[:3] == ["hpo", "grid", "batch_size=8,16"]
    assert again[-2:] == ["--repeats", "5"]
    assert hpo("evaluate", "s").code == 0
    shown = hpo("show", "s")
    document = hpo("show", "s", "--json").json["answer"]
    assert document["on_test"].startswith("Test result of ")
    assert shown.out.splitlines()[-2] == document["on_test"]
    assert shown.out.splitlines()[-1] == f"{document['purpose']}: {document['command']}"
    assert hpo(*grid, "--json").json["answer"] == document


def test_quality_uses_the_metric_of_the_study_and_the_majority_first(tmp_path: Path) -> None:
    summary = fake_grid(tmp_path, ["learning_rate"], metric="log_loss").summary
    losses = {"majority class": 0.69, "logistic regression": 0.40}

    def quality(majority: float, regression: float) -> tuple[str, bool]:
        scores = (majority, regression)
        names = zip(losses, scores, strict=True)
        known = {name: {"accuracy": 0.5, "log_loss": score} for name, score in names}
        found = answer(dataclasses.replace(summary, baselines=known))
        return found.quality, found.is_good

    mean = summary.best.score.mean
    text, is_good = quality(mean + 0.3, mean + 0.1)
    assert is_good
    assert "better than a plain logistic regression" in text
    assert f"{mean:.3f} log loss against {mean + 0.1:.3f}" in text
    assert not quality(mean + 0.3, mean - 0.1)[1]
    # By repeats on the folds of the regression, which differ far more than the mean difference.
    noisy = {"logistic regression": {"log_loss": [mean - 0.6, mean + 0.8, mean, mean, mean + 0.3]}}
    known = {
        n: {"accuracy": 0.5, "log_loss": x} for n, x in zip(losses, (0.9, mean + 0.1), strict=True)
    }
    unsure = dataclasses.replace(summary, baselines=known, baseline_scores=noisy)
    found = answer(unsure)
    said = "scored better than a plain logistic regression, but not clearly"
    assert said in found.quality
    assert "(95 % interval of the difference -" in found.quality
    # Two repeats never prove a difference.
    scores = {"logistic regression": {"log_loss": [mean + 0.1, mean + 0.1001]}}
    found = answer(dataclasses.replace(unsure, baseline_scores=scores))
    assert said in found.quality
    assert "from 2 repeats: too few for a useful interval" in found.quality
    # A network that has learned nothing is not praised for beating a regression on noise.
    text, is_good = quality(mean + 0.01, mean + 0.1)
    assert not is_good
    assert "hardly better than answering every image with the shares of the classes" in text


def test_commands_of_a_copied_study_use_its_name_and_storage(tmp_path: Path) -> None:
    summary = fake_grid(tmp_path, ["learning_rate"]).summary
    command = "hpo grid learning_rate --data 'my x-rays' --storage=sqlite:///old.db --quiet"
    recorded = dataclasses.replace(summary.record, command=command)
    here = dataclasses.replace(summary, record=recorded, name=recorded.default_name())
    in_default = dataclasses.replace(here, url=DEFAULT_URL)
    assert in_default.command == "hpo grid learning_rate --data 'my x-rays' --quiet"
    copied = dataclasses.replace(here, name="copy", url="sqlite:///moved.db")
    place = "--storage sqlite:///moved.db"
    shown = f"hpo grid learning_rate --data 'my x-rays' {place} --quiet --study copy"
    assert copied.command == shown
    assert place in answer(copied).command
