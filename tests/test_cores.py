from pathlib import Path

import pytest

from hpo import cores


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 9R14: a\nmodel name\t: B\n", "AMD EPYC 9R14: a"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", "of the platform"),
        (None, "of the platform"),
    ],
)
def test_the_processor_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, name: str
) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(cores, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "of the platform")
    assert cores.processor() == name
