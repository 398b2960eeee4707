"""The page of a study: what it says, what it escapes, how it looks, how it is written."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import hpo.report
from hpo.errors import HpoError
from hpo.plots.axes import GRAY, PALETTE
from hpo.report import write_report
from hpo.report.page import render
from hpo.report.sections import CHANGES
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from hpo.study.score import SCORES
from hpo.study.summary import StudySummary
from hpo.training import stress
from tests.fake_studies import (
    PAYLOAD,
    PHANTOM,
    FakeStudy,
    add_finalists,
    fake_grid,
    fake_record,
    fake_search,
    hostile,
)

VOID = {"meta", "img", "br", "link"}
CSS = (Path(hpo.report.__file__).parent / "page.css").read_text()
MODES = dict(
    zip(("light", "dark"), CSS.split("@media (prefers-color-scheme: dark)")[:2], strict=True)
)


class Outline(HTMLParser):
    """Reads a page, checks that its elements nest, and keeps tags, ids, references and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split()).replace("\u00a0", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has the handler {name}"
            assert name not in {"src", "href"}, f"{tag} loads {value}"
            self.ids += [value or ""] if name == "id" else []
            self.references += (value or "").split() if name == "aria-labelledby" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.words.append(data)


def outline(fake: FakeStudy, summary: StudySummary | None = None) -> Outline:
    return Outline(render(summary or fake.summary, fake.study, fake.runs))


def empty_study(folder: Path, kind: str = "grid") -> FakeStudy:
    names = ["batch_size"] if kind == "grid" else ["learning_rate", "dropout"]
    return FakeStudy(fake_record(kind, names), RunStore(folder), Goal(5, 30))


def test_a_grid_has_its_short_answer_verdict_figures_table_and_commands(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"])
    best, verdict = fake.summary.best, fake.summary.verdict
    text = outline(fake).text
    mean, low = best.score.mean, best.score.low
    for said in (
        "3 configurations of batch_size, 5 repeats each, on chest_xray",
        "1600 training and 400 validation",
        f"Best configuration by mean batch_size {best.params['batch_size']}",
        f"Validation accuracy {100 * mean:.1f} %",
        f"({100 * low:.1f} to",
        f"{fake.summary.headline} fake: 3 configurations",
        f"{100 * mean:.1f} % accuracy against 92.1 %",
        "15 finished",
        "baseline: logistic regression",
        "hpo show fake",
        "hpo grid --param batch_size --data data/chest_xray",
        *(pair.sentence for pair in verdict.pairs),
        *("Differences", "Sweep", "Curves", "Learning curves", "Configurations"),
    ):
        assert said in text
    assert len(verdict.pairs) == 3
    for unsaid in ("hpo resume", "History", "Importance", "Synthetic data."):
        assert unsaid not in text


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "stress_auroc"])
def test_a_search_is_told_by_its_score_beside_the_accuracy_of_the_baselines(
    tmp_path: Path, metric: str
) -> None:
    fake = fake_search(tmp_path, 30, metric=metric)
    best, score, text = fake.summary.best, SCORES[metric], outline(fake).text
    accuracy = best.repeats[0].accuracy
    mean = score.text(best.score.mean).replace("\u00a0", " ")
    assert f"Validation {score.title} {mean}" in text
    assert f"{100 * accuracy:.1f} % accuracy against 92.1 %" in text
    for said in ("tpe, pruner: median", "Score by parameter", "Importance of the parameters"):
        assert said in text
    assert "The best of many scores is partly luck." in text
    assert ("baseline: logistic regression" in text) is score.is_accuracy


def test_pruned_and_failed_trainings_are_listed_with_their_reasons(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 40)
    text = outline(fake).text
    assert fake.summary.count("failed") == 4
    assert text.count("its loss was not finite in epoch 3.") == 4
    assert fake.summary.count("pruned") > 0
    assert text.count("pruned in epoch 4 at") == fake.summary.count("pruned")


def test_robustness_is_there_where_the_battery_was_measured(tmp_path: Path) -> None:
    assert "Robustness" not in outline(fake_grid(tmp_path / "a", ["learning_rate"])).text
    fake = fake_grid(tmp_path / "b", ["learning_rate"], n_repeats=2, metric="stress_accuracy")
    text = outline(fake).text
    for change in ("shifted", "noisy", "blurred"):
        assert CHANGES[change] in text
    assert 'is "noisy": accuracy' in text
    assert tuple(CHANGES) == stress.names()


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_an_unfinished_study_has_a_page_that_says_how_to_finish_it(
    tmp_path: Path, kind: str
) -> None:
    fake = empty_study(tmp_path, kind)
    text = outline(fake).text
    for said in ("none yet", "0 finished", "hpo resume fake"):
        assert said in text
    assert "Learning curves" not in text
    params = {"batch_size": 32} if kind == "grid" else {"dropout": 0.5}
    fake.complete(fake.ask(params, fake.record.space.base, 0), [0.8, 0.9])
    text = outline(fake).text
    assert "No answer yet: " in text
    assert "hpo resume fake" in text


def test_the_last_call_another_database_and_the_phantom_are_named(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=1, data=PHANTOM)
    storage = "sqlite:///my studies/a.db"
    summary = dataclasses.replace(fake.summary, n_trained=2, n_reused=1, storage=storage)
    text = outline(fake, summary).text
    assert "Synthetic data." in text
    assert "the last call trained 2, reused 1" in text
    assert f"hpo export fake --storage '{storage}'" in text
    assert "--storage" not in outline(fake).text


def test_the_page_is_valid_and_can_be_read_aloud(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 50, metric="stress_auroc"), 0.90, 0.95, 0.88)
    html = render(fake.summary, fake.study, fake.runs)
    page = Outline(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table") > 3
    assert page.tags.count("figcaption") == page.tags.count("figure") > 3
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    assert len(html.encode()) < 6_000_000
    assert html.count("plotly.js v") == 1
    assert "default-src 'none'" in html


@pytest.mark.parametrize("kind", ["grid", "finalists"])
def test_nothing_from_outside_gets_into_the_markup(tmp_path: Path, kind: str) -> None:
    if kind == "grid":
        fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
        fake.fail(fake.ask({"batch_size": 32}, fake.record.space.base, 2), PAYLOAD)
        summary = hostile(fake.summary)
    else:
        fake = add_finalists(fake_search(tmp_path, 14), 0.90, 0.95, 0.88)
        summary = hostile(fake.summary)
        # A name of a searched parameter comes from the space file, which is read; these do not.
        record = dataclasses.replace(summary.record, kind="grid", names=("batch_size",))
        summary = dataclasses.replace(summary, record=record)
    html = render(summary, fake.study, fake.runs)
    Outline(html)
    assert html.count("&lt;script&gt;document.body") > 8
    assert "<img" not in html
    assert "<script>document" not in html


def test_the_report_is_written_whole_and_again(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    folder = tmp_path / "studies" / "fake"
    path = write_report(fake.summary, fake.study, fake.runs, folder)
    assert path == folder / "report.html"
    first = path.read_text(encoding="utf-8")
    assert first.rstrip().endswith("</html>")
    write_report(fake.summary, fake.study, fake.runs, folder)
    assert path.read_text(encoding="utf-8") == first
    assert [p.name for p in folder.iterdir()] == ["report.html"]
    with pytest.raises(HpoError, match=r"cannot be written: .*hpo report fake"):
        write_report(fake.summary, fake.study, fake.runs, path / "fake")


def luminance(color: str) -> float:
    """Return the relative luminance of `#rrggbb` by WCAG 2."""
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_colors_of_figures_are_read_on_a_dark_page() -> None:
    script = (Path(hpo.report.__file__).parent / "page.js").read_text()
    lighter = dict(re.findall(r'"(rgba\([\d,]+|#\w+)": "(rgba\([\d,]+|#\w+)"', script))
    own = [f"rgba({','.join(map(str, bytes.fromhex(shade[1:])))}," for shade in PALETTE]
    assert set(lighter) == {*own, GRAY}
    card = re.findall(r"--card: (#\w{6});", MODES["dark"])[0]
    for shade in lighter.values():
        if shade.startswith("rgba"):
            shade = "#" + bytes(map(int, re.findall(r"\d+", shade))).hex()
        assert contrast(shade, card) >= 4.5


@pytest.mark.parametrize("mode", MODES)
def test_points_and_texts_are_seen_on_a_light_page_and_on_a_dark_one(mode: str) -> None:
    color = dict(re.findall(r"--(\w+): (#\w{6});", MODES[mode]))
    assert min(contrast(shade, color["card"]) for shade in (*PALETTE, GRAY)) >= 3
    texts, grounds = ("ink", "muted", "accent"), ("card", "page")
    pairs = [(text, ground) for text in texts for ground in grounds]
    pairs += [("ink", "best"), ("ink", "warning")]
    assert min(contrast(color[text], color[ground]) for text, ground in pairs) >= 4.5
    # A filter would make other colors of these.
    assert "filter:" not in CSS
