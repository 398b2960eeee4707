"""DICOM files as shown by a viewer, and their patients. pydicom is the extra `dicom`."""

import hashlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.data import cache
from hpo.data.dataset import Stored, limit_fault
from hpo.errors import DataError

SUFFIXES: Final = (".dcm", ".dicom")
BY_TAG: Final = "DICOM tag"
_TAGS: Final = ["PatientID", "StudyInstanceUID"]


def is_dicom(file: str) -> bool:
    """Whether a file is DICOM by its name."""
    return file.lower().endswith(SUFFIXES)


def check_extra(path: Path | str) -> None:
    """Raise DataError with installation advice if pydicom is missing."""
    if find_spec("pydicom") is None:
        raise DataError(
            f"{path} is a DICOM file, which needs pydicom. In the checkout of hpo: "
            "pip install '.[dicom]'"
        )


def decode(path: Path) -> Stored:
    """Read a DICOM file as gray `(height, width)`, white where a viewer shows white.

    The modality LUT comes first, then the VOI LUT or window, then MONOCHROME1 is inverted. The
    values that its bits can take become 0 to 65,535, or 0 to 255 where they are 8 or fewer.

    Raises:
        DataError: pydicom is missing.
        Exception: pydicom raises errors of any kind.
    """
    check_extra(path)
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        dataset = dcmread(path)
    except InvalidDicomError:
        raise ValueError("it has no DICOM header") from None
    if "PixelData" not in dataset:
        raise ValueError("it contains no image")
    if fault := limit_fault(int(dataset.Rows), int(dataset.Columns)):
        raise ValueError(f"it has {fault}")
    kind = dataset.PhotometricInterpretation
    if kind not in {"MONOCHROME1", "MONOCHROME2"} or int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"it is not a single gray image, but {kind}")
    bits = int(dataset.BitsStored)
    low = -(1 << (bits - 1)) if dataset.PixelRepresentation else 0
    stored = dataset.pixel_array
    ends = np.array([low, low + (1 << bits) - 1]).astype(stored.dtype)
    gray = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float32)
    # A window spreads values over the range without the window.
    ends = apply_modality_lut(ends, dataset)
    if dataset.get("VOILUTSequence"):
        ends = apply_voi_lut(ends, dataset)
    darkest, brightest = float(ends.min()), float(ends.max())
    if not darkest < brightest:
        raise ValueError("its window or LUT makes all values equal")
    share: NDArray[np.float32] = np.clip((gray - darkest) / (brightest - darkest), 0, 1)
    if kind == "MONOCHROME1":
        share = 1 - share
    if bits <= 8:
        return np.rint(share * 255).astype(np.uint8)
    return np.rint(share * 65_535).astype(np.uint16)


def patients_of(paths: Sequence[str]) -> list[tuple[str, bool]]:
    """Return for each DICOM file a key of its patient, and whether it identifies the patient.

    If tags name no patient, or the same one in all files, the key is that of the study.
    """
    hasher = hashlib.sha256()
    for path in paths:
        hasher.update(f"{path}\0".encode())
        with suppress(OSError):  # Reading the pixels will report the error.
            status = Path(path).stat()
            hasher.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
    key = f"dicom-{hasher.hexdigest()[:32]}"
    tags: list[list[str]] | None = cache.read_index(key) if paths else []
    if tags is None:
        tags = [_read_tags(path) for path in paths]
        cache.write_index(key, tags)
    has_patients = len({patient for patient, _ in tags} - {""}) > 1
    return [
        (patient, True) if has_patients and patient else (study, False) for patient, study in tags
    ]


def _read_tags(path: str) -> list[str]:
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            return [str(dataset.get(tag) or "").strip() for tag in _TAGS]
    except Exception:  # As above.
        return ["", ""]
