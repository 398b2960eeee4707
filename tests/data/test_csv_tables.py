"""Tables of labels and manifests: what is read, guessed and left out, and what is refused."""

import gzip
from pathlib import Path

import pytest

from hpo.data.dataset import TEST, TRAIN, seal
from hpo.data.manifest import read_manifest
from hpo.data.source import open_data
from hpo.errors import DataError, HpoError
from tests.data.conftest import refusal, write_images

N = 24


def write_table(folder: Path, header: str, line: str, *, name: str = "labels.csv") -> Path:
    """Write images and a table with a line for each; `line` has the number as `i`."""
    write_images(folder, [f"images/{i}.png" for i in range(N)])
    lines = [header, *(eval(f"f{line!r}", {"i": i}) for i in range(N))]
    (folder / name).write_text("\n".join(lines))
    return folder / name


SIMPLE = ("file,label,patient", "images/{i}.png,{'sick' if i % 4 < 2 else 'healthy'},p{i // 2}")


def manifest(folder: Path, text: str) -> Path:
    (folder / "chest.toml").write_text(text)
    return folder / "chest.toml"


@pytest.mark.parametrize("place", ["labels.csv", "."])
def test_a_table_next_to_images_is_read_by_its_column_names(data_folder: Path, place: str) -> None:
    write_table(data_folder, *SIMPLE)
    dataset = open_data(data_folder / place)
    assert dataset.class_names == ("healthy", "sick")
    assert (len(dataset), dataset.patients_by) == (N, "column patient")
    outside = set(dataset.patients[dataset.split == TRAIN])
    assert not outside & set(dataset.patients[dataset.where(TEST)])
    assert "Guessed from labels.csv: path = " in dataset.notes[0]
    assert open_data(data_folder).fingerprint == dataset.fingerprint


def test_a_manifest_names_columns_classes_splits_and_filters(data_folder: Path) -> None:
    write_table(
        data_folder,
        "Image Index;Finding Labels;Patient ID;View;Hospital",
        "{i}.png;{('No Finding','Pneumonia|Edema','Edema')[i // 2 % 3]};{i // 2};"
        "{'PA' if i else ''};A",
    )
    (data_folder / "test.txt").write_text("\n".join(f"{i}.png" for i in range(18, N)))
    path = manifest(
        data_folder,
        """
        table = "labels.csv"
        images = "images"
        label = "finding labels"
        positive = "pneumonia"
        negative = ["No Finding"]
        patient = "Patient ID"
        keep = { View = "PA" }
        test = "test.txt"
        """,
    )
    dataset = open_data(path)
    assert dataset.class_names == ("no finding", "pneumonia")
    assert (len(dataset), len(dataset.where(TEST))) == (15, 4)
    notes = " ".join(dataset.notes)
    assert "Left out: 1 row of other View than PA." in notes
    assert "Left out: 8 images of other classes (Edema 8)." in notes


def test_folds_of_a_table_are_used_in_training(data_folder: Path) -> None:
    line = "{i}.png,{i % 2},{'test' if i < 4 else 'train'},{'abc'[i // 2 % 3]}"
    dataset = open_data(write_table(data_folder, "file,label,split,fold", line))
    data = seal(dataset)
    assert dataset.n_folds == 3
    validations = [set(data.fold(i).validation.tolist()) for i in range(4)]
    assert validations[0] == validations[3]
    assert set.union(*validations) == set(range(20))


@pytest.mark.parametrize(
    "change", ["gz", "utf-16", "latin-1", "tabs", "no suffix", "folders above"]
)
def test_other_formats_of_the_same_table_are_the_same_data(data_folder: Path, change: str) -> None:
    path = write_table(data_folder, *SIMPLE)
    plain = open_data(path).fingerprint
    text = path.read_text()
    match change:
        case "gz":
            path = path.with_name("labels.csv.gz")
            path.write_bytes(gzip.compress(text.encode()))
        case "tabs":
            path.write_text(text.replace(",", "\t"))
        case "no suffix":
            path.write_text(text.replace("images/", "").replace(".png", ""))
        case "folders above":
            path.write_text(text.replace("images/", "set/v1/images/"))
        case encoding:
            path.write_bytes(text.replace("label", "läbel").encode(encoding))
            path = manifest(data_folder, 'table = "labels.csv"\nlabel = "läbel"')
    assert open_data(path).fingerprint == plain


REFUSED = {
    "a column that is missing": ("", 'patient = "patent"', "no column 'patent', but file, label"),
    "an unknown key": ("", 'patiens = "p"', "Unknown key 'patiens'. Did you mean patient?"),
    "an expression": (
        "",
        'patient_regex = "("',
        "patient_regex must be a regular expression, but is",
    ),
    "no TOML": ("", "=", "is not valid TOML"),
    "a class that is not there": ("", 'positive = "sik"', "it contains sick (12), healthy (12)"),
    "one class left": ("", 'positive = ["sick", "healthy"]', "are named positive, or all"),
    "a folder that is not there": ("", 'images = "picture"', "There is no folder"),
    "no such value": ("", "keep = { label = 'ill' }", "No row has ill in column 'label'"),
    "no list of tests": ("", "test = 'gone.txt'", "gone.txt cannot be read"),
    "a split of another name": ("", "split = 'patient'", "which is not a split. Write train"),
    "different labels": ("images/0.png,healthy,p0", "", "1 image with different labels: images/0"),
    "an image that is not there": ("images/x.png,sick,p0", "", "names 1 image not in the folders"),
    "a path outside": ("../labels.png,sick,p0", "", "names 1 image not in the folders"),
    "a cell too many": ("images/0.png,sick,p0,x", "", "but row 26 has 5 cells"),
    "patients on both sides": (
        "",
        "split = 'p'",
        "both in the test set and outside it, by column",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_invalid_tables_are_refused_with_what_to_do(data_folder: Path, fault: str) -> None:
    line, text, message = REFUSED[fault]
    path = write_table(data_folder, SIMPLE[0] + ",p", SIMPLE[1] + ",{('test', 'train')[i % 2]}")
    if line:
        path.write_text(f"{path.read_text()}\n{line}" + ",train" * (line.count(",") < 3))
    if fault == "a cell too many":
        path.write_text(path.read_text() + ",train")
    with pytest.raises(HpoError) as error:
        open_data(manifest(data_folder, f'table = "labels.csv"\n{text}'))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) < 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,other,more\n0.png,1,2\n", "is unclear: file,"),
        ("file,patient\n0.png,1\n", "is unclear: file, patient"),
        ("file,label\nx/7.jpg,1\n", "No column of"),
        ("file\n0.png\n", "is not a table of images: it has 1 column and 2 lines"),
        ("", "is not a table of images"),
        ('file,label\n"0.png,1\n', "columns, but row 2 has 1 cell"),
    ],
)
def test_an_incomplete_table_is_refused(data_folder: Path, content: str, message: str) -> None:
    write_images(data_folder, ["images/0.png"])
    (data_folder / "labels.csv").write_text(content)
    assert message in refusal(data_folder)


def test_missing_images_can_be_skipped(data_folder: Path) -> None:
    path = write_table(data_folder, *SIMPLE)
    path.write_text(path.read_text() + "\nimages/gone.png,sick,p0")
    dataset = open_data(path, read_manifest({"skip_broken": True}, source="test"))
    assert len(dataset) == N
    assert "Left out: 1 of the images" in " ".join(dataset.notes)


@pytest.mark.parametrize(
    ("site", "is_warned"), [("'AB'[i % 2]", True), ("'AB'[i // 2 % 2]", False)]
)
def test_a_site_that_predicts_the_label_gives_a_warning(
    data_folder: Path, site: str, is_warned: bool
) -> None:
    path = write_table(data_folder, "file,label,hospital", "{i}.png,{i % 2},{" + site + "}")
    notes = " ".join(open_data(path).notes)
    warning = "Warning: the site alone predicts 100 % of the labels (the majority class 50 %)."
    assert (warning in notes) is is_warned


@pytest.mark.parametrize(
    ("column", "cell", "place"),
    [
        ("split", "('train', 'train', 'val', 'test')[i % 4]", "in validation and training"),
        ("fold", "i % 2", "in several folds"),
    ],
)
def test_patients_shared_between_splits_or_folds_are_refused(
    data_folder: Path, column: str, cell: str, place: str
) -> None:
    patient = "{'t' if i % 4 == 3 else i // 4}" if column == "split" else "{i // 4}"
    line = f"{{i}}.png,{{i // 4 % 2}},{patient},{{{cell}}}"
    path = write_table(data_folder, f"file,label,patient,{column}", line)
    with pytest.raises(DataError, match=f"patients .* are {place}|patients .* {place}, by"):
        open_data(path)
    shared = read_manifest({"allow_shared_patients": True}, source="test")
    assert f"{place}: scores may be too good" in " ".join(open_data(path, shared).notes)


def test_a_list_of_test_images_is_read_line_by_line(data_folder: Path) -> None:
    path = write_table(data_folder, "file,label", "{i}.png,{i // 2 % 2}")
    (data_folder / "images/20.png").rename(data_folder / "images/scan 20.png")
    path.write_text(path.read_text().replace("20.png", "scan 20.png"))
    listed = data_folder / "test.txt"
    listed.write_text("scan 20.png\n\np11 22.png sick")
    chest = manifest(data_folder, 'table = "labels.csv"\ntest = "test.txt"')
    assert len(open_data(chest).where(TEST)) == 2
    listed.write_text("scan 20.png\nimage_21.png")
    with pytest.raises(DataError, match=r"test.txt names 1 image not .*image_21"):
        open_data(chest)
    dataset = open_data(chest, read_manifest({"skip_broken": True}, source="test"))
    assert len(dataset.where(TEST)) == 1
    assert "1 of the images that test.txt names" in " ".join(dataset.notes)


def test_an_image_in_two_splits_is_refused(data_folder: Path) -> None:
    line = "{i}.png,{i // 2 % 2},{('train', 'test')[i % 2]}"
    path = write_table(data_folder, "file,label,split", line)
    path.write_text(path.read_text() + "\n0.png,0,test")
    with pytest.raises(DataError, match=r"1 image with different splits.*images/0"):
        open_data(path)


def test_an_ambiguous_name_without_suffix_is_refused(data_folder: Path) -> None:
    path = write_table(data_folder, "file,label", "{i},{i % 2}")
    write_images(data_folder, ["images/0.jpg"])
    with pytest.raises(DataError, match="names 1 image not in the folders of images: 0"):
        open_data(path)
