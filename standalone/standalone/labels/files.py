"""Which label files there are: a table, a folder of DICOM, an nnU-Net or an MSD folder. Nothing is asked of the platform here."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from radloop.errors import Invalid


class Format(StrEnum):
    """What somebody has."""

    SEG = "seg"
    RTSTRUCT = "rtstruct"
    NIFTI = "nifti"
    NNUNET = "nnunet"
    MSD = "msd"


DICOM_KINDS = {
    "1.2.840.10008.5.1.4.1.1.66.4": Format.SEG,
    "1.2.840.10008.5.1.4.1.1.66.7": Format.SEG,
    "1.2.840.10008.5.1.4.1.1.481.3": Format.RTSTRUCT,
}
"""SOP classes of labels (PS3.4 Annex B.5)."""

_ID_COLUMNS = ("series_instance_uid", "study_instance_uid", "accession_number", "patient_id", "issuer")
_FILE_COLUMNS = ("file", "label_path", "case")
_NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One label to bring.

    Attributes
    ----------
    path : Path
    shown : str
        Its path as the report shows it.
    kind : Format
        SEG, RTSTRUCT or NIFTI.
    ids : dict
        Original ids of its case, as a row of ``POST /v1/cases/resolve``; empty for DICOM, which refers to its images itself.
    names : dict of int to str
        What its values are called, where a dataset says so.
    """

    path: Path
    shown: str
    kind: Format
    ids: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Findings:
    """The labels, and what was seen beside them and is no label."""

    labels: tuple[LabelFile, ...]
    passed_over: int = 0


def find(path: Path, wanted: Format | None, table: Path | None) -> Findings:
    """Find the labels of a file or folder.

    Parameters
    ----------
    path : Path
        A CSV table, a DICOM file, or a folder.
    wanted : Format or None
        None: guessed from what is there.
    table : Path or None
        CSV of original ids, for NIfTI files in a folder.

    Raises
    ------
    Invalid
        Nothing of the format is there, or a table or dataset.json that cannot be meant.
    """
    wanted = wanted or _guessed(path, table)
    if wanted in (Format.SEG, Format.RTSTRUCT):
        return _dicom(path, wanted)
    if wanted is None:
        return _dicom(path, None)
    if wanted is Format.NIFTI:
        return Findings(tuple(_of_table(path if path.is_file() else _needed(table, path), {}, path)))
    return Findings(tuple(_of_dataset(path, wanted, _needed(table, path))))


def _guessed(path: Path, table: Path | None) -> Format | None:
    """Return the format of what is there; None for DICOM of either kind."""
    if path.is_file() and path.suffix.lower() == ".csv":
        return Format.NIFTI
    if (path / "dataset.json").is_file():
        told = _dataset(path)
        return Format.NNUNET if {"file_ending", "channel_names"} & set(told) else Format.MSD
    if path.is_dir() and table is not None:
        return Format.NIFTI
    return None


def _needed(table: Path | None, path: Path) -> Path:
    if table is None:
        raise Invalid(
            "label-table",
            expected="--table ids.csv, which says whose label each file is",
            got="none",
            do=f"write the columns file,{','.join(_ID_COLUMNS[:1])} (or {', '.join(_ID_COLUMNS[1:4])}) for {path.name}",
        )
    return table


# --- DICOM -------------------------------------------------------------------------------------------------------------------


def _dicom(path: Path, wanted: Format | None) -> Findings:
    import pydicom

    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    labels, passed_over = [], 0
    for file in files:
        try:
            ds = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"])
            kind = DICOM_KINDS.get(str(ds.get("SOPClassUID", "")))
        except Exception:  # not DICOM, or damaged: pydicom raises many kinds
            kind = None
        if kind is None or wanted not in (None, kind):
            passed_over += 1
        else:
            labels.append(LabelFile(file, _shown(file, path), kind))
    if not labels:
        names = wanted.value.upper() if wanted else "SEG or RTSTRUCT"
        raise Invalid(
            "no-labels",
            expected=f"DICOM {names} files, a CSV table, or a folder with a dataset.json",
            got=f"{passed_over} other files",
            do="say what it is: --format seg|rtstruct|nifti|nnunet|msd",
        )
    return Findings(tuple(labels), passed_over)


# --- tables ------------------------------------------------------------------------------------------------------------------


def _of_table(
    table: Path, names: Mapping[int, str], folder: Path, files: Mapping[str, Path] | None = None
) -> list[LabelFile]:
    """Read a table; ``files`` are those of a dataset, by case. Without, its paths count from its own folder or ``folder``."""
    labels: dict[Path, LabelFile] = {}
    for number, cells in _rows(table):
        named = next((cells[name] for name in _FILE_COLUMNS if cells.get(name)), "")
        ids: dict[str, Any] = {name: cells[name] for name in _ID_COLUMNS if cells.get(name)}
        if not set(ids) - {"issuer"} or not named:
            missing = "a file" if not named else f"one of {', '.join(_ID_COLUMNS[:4])}"
            raise _bad_table(f"{missing} at line {number}", "none", f"mend this line of {table}")
        if cells.get("phase"):
            if not cells["phase"].isdigit():
                raise _bad_table(f"a phase from 0 at line {number}", "another text", f"mend this line of {table}")
            ids["phase"] = int(cells["phase"])
        file = _file_of(named, table, folder, files)
        if file is None:
            raise Invalid("label-file", expected=f"a file at line {number}", got="none", do=f"mend the path {named}")
        if file in labels:
            raise _bad_table("one line for a file", f"a second one at line {number}", f"leave one of them in {table}")
        labels[file] = LabelFile(file, named, Format.NIFTI, ids, names)
    if not labels:
        raise _bad_table("a line for each label", "none", f"fill {table}")
    return list(labels.values())


def _file_of(named: str, table: Path, folder: Path, files: Mapping[str, Path] | None) -> Path | None:
    if files is not None:
        return files.get(_case_of(named))
    places = [table.parent / named] + ([folder / named] if folder.is_dir() else [])
    return next((place for place in places if place.is_file()), None)


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        # Spreadsheets put a byte order mark before the first column's name.
        lines = list(csv.reader(table.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad_table("comma-separated UTF-8 text", type(error).__name__, f"save {table} as such") from error
    columns = [name.strip().lower() for name in lines[0]] if lines else []
    if not set(columns) & set(_FILE_COLUMNS) or not set(columns) & set(_ID_COLUMNS[:4]):
        raise _bad_table(
            f"a column of {', '.join(_FILE_COLUMNS)} and one of {', '.join(_ID_COLUMNS[:4])}",
            ",".join(columns) or "an empty file",
            f"mend the first line of {table}",
        )
    return [
        (number, {name: cell.strip() for name, cell in zip(columns, cells, strict=False)})
        for number, cells in enumerate(lines[1:], start=2)
        if any(cell.strip() for cell in cells)
    ]


def _bad_table(expected: str, got: str, do: str) -> Invalid:
    return Invalid("label-table", expected=expected, got=got, do=do)


# --- datasets ----------------------------------------------------------------------------------------------------------------


def _of_dataset(folder: Path, kind: Format, table: Path) -> list[LabelFile]:
    """Read an nnU-Net (dataset.json of version 2 or 1) or MSD folder; the table says whose label each case is."""
    told = _dataset(folder)
    names = _names(told)
    ending = str(told.get("file_ending", ".nii.gz")) if kind is Format.NNUNET else ".nii.gz"
    if ending not in _NIFTI:
        raise _bad_dataset(f"labels as {' or '.join(_NIFTI)}", f"file_ending {ending}", "convert them to NIfTI")
    if kind is Format.MSD and isinstance(told.get("training"), list):
        files = [folder / str(one["label"]) for one in told["training"] if isinstance(one, dict) and one.get("label")]
    else:
        files = sorted((folder / "labelsTr").glob(f"*{ending}"))
    files = [file for file in files if file.is_file() and not file.name.startswith(".")]
    if not files:
        raise _bad_dataset("labels in labelsTr", "none", "check the folder")
    return _of_table(table, names, folder, {_case_of(file.name): file for file in files})


def _case_of(name: str) -> str:
    return Path(name).name.removesuffix(".gz").removesuffix(".nii")


def _dataset(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _bad_dataset("a dataset.json", type(error).__name__, f"put one into {folder}") from error
    if not isinstance(told, dict):
        raise _bad_dataset("a JSON object", "something else", "mend dataset.json")
    return told


def _names(told: Mapping[str, Any]) -> dict[int, str]:
    """Return what values are called: ``{"1": "liver"}`` of MSD and nnU-Net 1, ``{"liver": 1}`` of nnU-Net 2, background left out."""
    labels = told.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise _bad_dataset("labels: a name for each value", "none", "mend dataset.json")
    named: dict[int, str] = {}
    for key, value in labels.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            raise _bad_dataset(
                "one value for each name",
                f"regions (nnU-Net's region-based training): {key} is several values",
                "give each value of the label files a name of its own in a copy of dataset.json; regions are not read",
            )
        number, name = (key, value) if str(key).isdigit() else (value, key)
        if not str(number).isdigit():
            raise _bad_dataset("whole numbers as values", f"another value of {key}", "mend dataset.json")
        if int(number):
            named[int(number)] = str(name)
    return named


def _bad_dataset(expected: str, got: str, do: str) -> Invalid:
    return Invalid("label-dataset", expected=expected, got=got, do=do)


def _shown(file: Path, path: Path) -> str:
    return file.name if path.is_file() else str(file.relative_to(path))
