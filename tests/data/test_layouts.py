"""Common folder layouts: read correctly, or refused with what was found and what to do."""

from itertools import product
from pathlib import Path

import pytest

from hpo.data.dataset import TEST, TRAIN, VALIDATION
from hpo.data.manifest import Manifest
from hpo.data.source import describe, open_data
from tests.data.conftest import refusal, write_images


def spread(*places: str, n: int = 6, suffix: str = ".png") -> list[str]:
    """Return file names, n in each place; `{i}` in a place is the number of the file."""
    return [f"{place.format(i=i)}/{i}{suffix}" for place in places for i in range(n)]


def splits(*names: str, classes: tuple[str, ...] = ("NORMAL", "PNEUMONIA")) -> list[str]:
    return ["/".join(pair) for pair in product(names, classes)]


def layout(
    places: list[str], sizes: tuple[int, ...], names: str = "normal pneumonia", **options: object
) -> tuple[list[str], tuple[int, ...], str, Manifest]:
    return places, sizes, names, Manifest.model_validate(options)


THREE = ("COVID", "NORMAL", "PNEUMONIA")
RADIOGRAPHY = ["C/COVID/images", "C/COVID/masks", "C/Normal/images", "C/Normal/masks"]
PATIENTS = ("NORMAL/p{i}/study1", "PNEUMONIA/q{i}/study1")
NESTED = splits("a/chest_xray/train", "a/chest_xray/test", "a/chest_xray/chest_xray/train")

READ = {
    "the release": layout(splits("train", "val", "test"), (12, 12, 12)),
    "lower case": layout(splits("train", "test", classes=("normal", "Pneumonia")), (12, 0, 12)),
    "Training and Testing": layout(splits("Training", "Testing"), (12, 0, 12)),
    "valid": layout(splits("train", "valid", "test"), (12, 12, 12)),
    "validation, merged": layout(
        splits("train", "validation", "test"), (24, 0, 12), merge_val=True
    ),
    "the zip of Kaggle": layout(NESTED, (12, 0, 12)),
    "no split": layout(["NORMAL", "PNEUMONIA"], (10, 0, 2)),
    "healthy and sick": layout(["x/healthy", "x/sick"], (10, 0, 2), "healthy sick"),
    "0 and 1": layout(splits("train", "test", classes=("0", "1")), (12, 0, 12), "0 1"),
    "the class before the split": layout(
        [f"{kind}/{split}" for kind in ("NORMAL", "PNEUMONIA") for split in ("train", "test")],
        (12, 0, 12),
    ),
    "one against the rest": layout(
        splits("train", "test", classes=THREE), (18, 0, 18), "normal or pneumonia covid",
        positive="COVID",
    ),
    "two of three": layout(
        splits("train", classes=THREE), (12, 0, 0), "normal covid",
        positive="COVID", negative="normal",
    ),
    "COVID-19 Radiography": layout(RADIOGRAPHY, (10, 0, 2), "normal covid"),
    "a folder for each patient": layout(splits("train", classes=PATIENTS), (12, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("layout", READ)
def test_common_layouts_are_read(data_folder: Path, layout: str) -> None:
    places, sizes, names, manifest = READ[layout]
    write_images(data_folder, spread(*places))
    dataset = open_data(data_folder, manifest)
    assert " ".join(dataset.class_names) == names
    found = tuple(len(dataset.where(split)) for split in (TRAIN, VALIDATION, TEST))
    assert found == sizes
    for file, label in zip(dataset.files, dataset.labels, strict=True):
        kinds = {name.lower() for name in Path(file).parts}
        assert bool(kinds & {dataset.class_names[1]}) == bool(label)
    assert "masks" not in " ".join(dataset.files)


def test_more_than_two_classes_are_kept_in_natural_order(data_folder: Path) -> None:
    write_images(data_folder, spread(*splits("train", classes=("COVID", "type 10", "type 9"))))
    dataset = open_data(data_folder)
    assert dataset.class_names == ("covid", "type 9", "type 10")
    for file, label in zip(dataset.files, dataset.labels, strict=True):
        assert dataset.class_names[label] in file.lower()
    assert any("3 classes, all trained" in note for note in dataset.notes)
    assert "\npositive" not in describe(data_folder, Manifest())


SHARED = splits("train", "test", classes=("NORMAL/p{i}", "PNEUMONIA/q{i}"))

REFUSED: dict[str, tuple[list[str], dict[str, str], str]] = {
    "names that say nothing": (
        ["BACTERIA", "VIRUS"], {},
        ". Use --positive virus or --positive bacteria.",
    ),
    "a misspelt class": (
        ["COVID", "NORMAL"], {"positive": "COVD"},
        "no class 'covd': it contains covid (6), normal (6). Did you mean covid?",
    ),
    "one class": (["NORMAL"], {}, "one class only: normal (6). Training needs two"),
    "a name on both sides": (
        ["COVID", "NORMAL"], {"positive": "COVID", "negative": "covid"},
        "'covid' is both positive and negative",
    ),
    "images without a class": (["train"], {}, "no data set that can be read. It contains"),
    "patients on both sides": (
        SHARED, {},
        "12 patients (p0, p1, p2, p3, p4, …) both in the test set and outside it, by folder.",
    ),
    "an expression that finds no one": (
        ["NORMAL", "PNEUMONIA"], {"patient_regex": r"case(\d+)"},
        "finds no patient in 12 names, such as NORMAL/0.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", REFUSED)
def test_refused_layouts_say_what_was_found_and_what_to_do(data_folder: Path, layout: str) -> None:
    places, options, message = REFUSED[layout]
    write_images(data_folder, spread(*places))
    assert message in refusal(data_folder, **options)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif", ".TIFF", ".webp", ".JPEG"])
def test_every_common_suffix_is_read(data_folder: Path, suffix: str) -> None:
    write_images(data_folder, spread("NORMAL", "PNEUMONIA", suffix=suffix))
    assert len(open_data(data_folder)) == 12


def test_a_drawn_test_set_keeps_patients_together_and_is_reproducible(data_folder: Path) -> None:
    write_images(data_folder, spread("NORMAL/p{i}", "PNEUMONIA/q{i}", n=10))
    write_images(data_folder, spread("NORMAL/p{i}/later", "PNEUMONIA/q{i}/later", n=10))
    dataset = open_data(data_folder)
    assert dataset.patients_by == "folder"
    assert dataset.has_patients
    tested = dataset.where(TEST)
    assert len(tested) == 8
    outside = dataset.patients[dataset.split != TEST]
    assert not set(dataset.patients[tested]) & set(outside)
    assert "No test set was found: 8 images (4 patients)" in " ".join(dataset.notes)
    again = open_data(data_folder)
    assert again.fingerprint == dataset.fingerprint


def test_a_regular_expression_names_patients(data_folder: Path) -> None:
    write_images(
        data_folder,
        [
            f"{kind}/case{i // 2}-{kind}{i}.png"
            for i in range(12)
            for kind in ("NORMAL", "PNEUMONIA")
        ],
    )
    dataset = open_data(data_folder, Manifest(patient_regex=r"/case(\d+)-"))
    assert len(set(dataset.patients)) == 6
    assert dataset.patients_by == "--patient-regex"


def test_images_that_the_pattern_does_not_match_keep_their_patients(data_folder: Path) -> None:
    ends = ("scan{i}.png", "scan{i}_flip.png", "case{i}-.png")
    places = [f"{kind}/{kind}{end}" for kind in ("NORMAL", "PNEUMONIA") for end in ends]
    write_images(data_folder, [place.format(i=i) for i in range(5) for place in places])
    dataset = open_data(data_folder, Manifest(patient_regex=r"case(\d+)-"))
    assert len(set(dataset.patients)) == 2 * 5 + 5


def test_shared_patients_can_be_allowed(data_folder: Path) -> None:
    write_images(data_folder, spread(*SHARED))
    dataset = open_data(data_folder, Manifest(allow_shared_patients=True))
    assert "Warning: 12 patients" in " ".join(dataset.notes)


CHEXPERT = "Path,Sex,No Finding,Pneumonia\nC/{split}/patient{p}/study1/{j}.png,Male,,{kind}"

# The paths of images; tables with a line per image; what is opened; the manifest; the classes.
TABLES: dict[str, tuple[str, dict[str, str], str, Manifest, str]] = {
    "NIH": (
        "images_{j}/images/{i}.png",
        {"Data_Entry_2017.csv": "Image Index,Finding Labels,Patient ID\n{i}.png,{kind},{p}"},
        "Data_Entry_2017.csv",
        Manifest(),
        "No Finding/Pneumonia|Edema",
    ),
    "CheXpert": (
        "{split}/patient{p}/study1/{j}.png",
        {"train.csv": CHEXPERT, "test.csv": CHEXPERT},
        ".",
        Manifest(patient_regex=r"patient(\d+)"),
        "0.0/1.0/-1.0//",
    ),
    "PadChest": (
        "{i}.png",
        {"chest.csv": ",ImageID,PatientID,Labels\n{i},{i}.png,{p},\"['{kind}', 'edema']\""},
        ".",
        Manifest(),
        "normal/pneumonia",
    ),
    "COVIDx": (
        "{split}/{i}.png",
        {"list_COVIDx9B.txt": "{p} {i}.png {kind} sirm"},
        "list_COVIDx9B.txt",
        Manifest(),
        "negative/positive",
    ),
    "a list without a header": (
        "images/{i}.png",
        {"list.csv": "images/{i}.png,{kind}"},
        "list.csv",
        Manifest(),
        "NORMAL/PNEUMONIA",
    ),
    "Hugging Face, with images further down": (
        "{split}/images/{j}.png",
        {
            f"{split}/metadata.csv": "file_name,label\nimages/{j}.png,{kind}"
            for split in ("train", "test")
        },
        ".",
        Manifest(),
        "healthy/sick",
    ),
}


@pytest.mark.parametrize("layout", TABLES)
def test_tables_of_public_data_sets_are_read_and_described(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    place, tables, given, manifest, kinds = TABLES[layout]
    each = [
        {"i": i, "j": i % 20, "p": i // 2, "split": ("train", "test")[i >= 20], "kind": kind}
        for i, kind in zip(
            range(28), [k for k in kinds.split("/") for _ in "ab"] * 14, strict=False
        )
    ]
    write_images(data_folder, [place.format(**one) for one in each])
    for name, text in tables.items():
        *header, line = text.split("\n")
        lines = [line.format(**one) for one in each if len(tables) == 1 or one["split"] in name]
        (data_folder / name).write_text("\n".join([*header, *lines]))
    dataset = open_data(data_folder / given, manifest)
    negative, positive, *others = (kind.partition("|")[0].lower() for kind in kinds.split("/"))
    assert dataset.class_names == (negative.removesuffix(".0"), positive.removesuffix(".0"))
    kind_of = {place.format(**one): str(one["kind"]).lower() for one in each}
    for file, label in zip(dataset.files, dataset.labels, strict=True):
        assert kind_of[file].startswith((negative, positive)[label])
        if "{split}" in place:
            assert ("test" in file) == (dataset.split[dataset.files.index(file)] == TEST)
    assert len(dataset) == sum(kind not in others for kind in kind_of.values())
    assert dataset.has_patients == ("patient" in place or "Patient" in str(tables))
    assert "Guessed from" in dataset.notes[0]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path("chest.toml").write_text(describe(data_folder / given, manifest))
    assert open_data(Path("chest.toml")).fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"a.csv": "file,label\n", "b.csv": "file,label\n"}, "several tables: a.csv, b.csv"),
        (
            {"train.csv": "file,label\n0.png,1\n", "test.csv": "file,kind\n0.png,1\n"},
            "train.csv has other columns than",
        ),
    ],
)
def test_ambiguous_tables_are_refused(
    data_folder: Path, tables: dict[str, str], message: str
) -> None:
    write_images(data_folder, ["files/p10/p1/s50414267/0.png"])
    for name, text in tables.items():
        (data_folder / name).write_text(text)
    assert message in refusal(data_folder)
