"""DICOM files: gray levels as in a viewer, and patients."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.images import decode_all
from hpo.data.manifest import Manifest
from hpo.data.source import describe, open_data
from hpo.errors import DataError
from tests.data.conftest import noise

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

VALUES = np.array([[0, 1000, 2000, 4095]], np.uint16)


def write(path: Path, pixels: np.ndarray = VALUES, *, bits: int = 12, **tags: Any) -> Path:
    """Write a DICOM file as scanners do; tags are by their keywords."""
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    found.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    kind = tags.pop("PhotometricInterpretation", "MONOCHROME2")
    syntax = tags.pop("syntax", None)
    found.set_pixel_data(pixels, kind, bits)
    for keyword, value in tags.items():
        setattr(found, keyword, value)
    if syntax:
        found.compress(syntax)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path


def lut(keyword: str, first: int, values: list[int]) -> dict[str, Any]:
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [len(values), first, 16], values
    item["LUTData"].VR = "US"
    return {keyword: [item]}


WINDOW = {"RescaleSlope": 1, "RescaleIntercept": -1000, "WindowCenter": 0.5, "WindowWidth": 1001}


@pytest.mark.parametrize(
    ("tags", "gray"),
    [
        ({}, [0, 16004, 32007, 65535]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, [65535, 49531, 33528, 0]),
        # The window is in rescaled values: from -500 to 500.
        (WINDOW, [0, 32768, 65535, 65535]),
        # The inversion comes last: 1000 is still in the middle of the window.
        (WINDOW | {"PhotometricInterpretation": "MONOCHROME1"}, [65535, 32768, 0, 0]),
        (WINDOW | {"WindowCenter": [0.5, 9], "WindowWidth": [1001, 9]}, [0, 32768, 65535, 65535]),
        ({"RescaleSlope": 2, "RescaleIntercept": 7}, [0, 16004, 32007, 65535]),
        (lut("VOILUTSequence", 999, [0, 100, 400]), [0, 16384, 65535, 65535]),
        (lut("ModalityLUTSequence", 1000, [500, 400, 100]), [65535, 65535, 0, 0]),
    ],
    ids=["plain", "inverted", "window", "inverted window", "windows", "slope", "VOI", "modality"],
)
def test_modality_voi_and_inversion_are_applied_in_this_order(
    tmp_path: Path, tags: dict[str, Any], gray: list[int]
) -> None:
    (image,) = decode_all([write(tmp_path / "x.dcm", **tags)])
    assert image.dtype == np.uint16
    assert np.abs(image[0].astype(int) - gray).max() <= 1


def test_signed_and_compressed_values_are_read(tmp_path: Path) -> None:
    signed = write(tmp_path / "a.DCM", np.array([[-2048, 0, 2047]], np.int16))
    wide = np.repeat(np.repeat(VALUES, 64, 0), 16, 1)
    others = [
        write(tmp_path / f"{name}.dicom", wide, syntax=getattr(pydicom.uid, name))
        for name in ("RLELossless", "JPEG2000Lossless")
    ]
    first, *rest = decode_all([signed, *others])
    assert first[0].tolist() == [0, 32776, 65535]
    for image in rest:
        assert image[0, ::16].tolist() == [0, 16004, 32007, 65535]


@pytest.mark.parametrize(
    ("pixels", "tags", "reason"),
    [
        (np.zeros((2, 2, 3), np.uint8), {"PhotometricInterpretation": "RGB"}, "not a single gray"),
        (np.zeros((3, 2, 2), np.uint8), {}, "not a single gray image"),
        (np.zeros((1, 20_001), np.uint8), {}, "20001 x 1 pixels; the limit is 20,000"),
        (VALUES, {"WindowCenter": 1, "WindowWidth": 0}, "Window Width must be"),
    ],
)
def test_files_that_are_not_gray_images_are_refused(
    tmp_path: Path, pixels: np.ndarray, tags: dict[str, Any], reason: str
) -> None:
    path = write(
        tmp_path / "x.dcm", pixels, bits=8 * pixels.itemsize - 4 * (pixels is VALUES), **tags
    )
    with pytest.raises(DataError, match="cannot be read as an image") as error:
        list(decode_all([path]))
    assert reason in str(error.value)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(DataError, match="cannot be read as an image"):
        list(decode_all([path]))


def rsna(folder: Path) -> Path:
    """Write a table like that of RSNA: several rows per patient, who has the name of the file."""
    lines = ["patientId,x,y,width,height,Target"]
    for i in range(20):
        write(
            folder / f"stage_2_train_images/p{i:02}.dcm",
            noise(str(i), 8, 8),
            bits=8,
            PatientID=f"p{i:02}",
        )
        lines += [f"p{i:02},1.0,2.0,3.0,{box},1" if i % 2 else f"p{i:02},,,,,0" for box in (1, 2)]
    write(folder / "stage_2_test_images/q.dcm")
    (folder / "stage_2_train_labels.csv").write_text("\n".join(lines))
    return folder / "stage_2_train_labels.csv"


def test_the_rsna_table_is_read_next_to_its_folders(data_folder: Path) -> None:
    dataset = open_data(rsna(data_folder))
    assert len(dataset) == 20
    assert dataset.has_patients
    assert (dataset.patients_by, dataset.bits) == ("DICOM tag", 0)
    notes = " ".join(dataset.notes)
    assert 'path = "patientId", label = "Target"' in notes
    assert "Left out: 20 rows that repeat an image." in notes
    assert "Left out: 1 image that the table does not name." in notes
    np.testing.assert_array_equal(
        next(dataset.originals([0])), noise(dataset.files[0][-6:-4].lstrip("0") or "0", 8, 8)
    )


@pytest.mark.parametrize(
    ("patient", "study", "n_patients", "by"),
    [
        ("p{}", "1.{}", 6, "DICOM tag"),
        ("", "1.{}", 6, ""),
        ("anonymous", "1.{}", 6, ""),
        ("", "", 24, ""),
    ],
)
def test_patients_come_from_the_tag_else_images_of_a_study_stay_together(
    data_folder: Path, patient: str, study: str, n_patients: int, by: str
) -> None:
    for i in range(24):
        write(
            data_folder / f"{('NORMAL', 'PNEUMONIA')[i % 2]}/{i}.dcm",
            noise(str(i), 8, 8),
            bits=8,
            PatientID=patient.format(i // 4),
            StudyInstanceUID=study.format(i // 4) or None,
        )
    for _ in range(2):  # The second time from the cache.
        dataset = open_data(data_folder)
        assert (len({*dataset.patients}), dataset.patients_by) == (n_patients, by)


def test_a_missing_dicom_extra_is_explained_in_one_line(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rsna(data_folder)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    for skip_broken in (False, True):
        with pytest.raises(DataError, match=r"pip install '\.\[dicom\]'") as error:
            open_data(path, Manifest(skip_broken=skip_broken))
        assert len(str(error.value).splitlines()) == 1
    with pytest.raises(DataError, match="is a DICOM file"):
        describe(data_folder / "stage_2_train_labels.csv", Manifest())
