"""``labels import``: what a table may be, and what becomes of each of its lines."""

import csv
from pathlib import Path
from typing import Any

import pytest

from radloop.errors import Invalid
from standalone.commands import labels


def write_table(
    folder: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("series_instance_uid", "label_path")
) -> Path:
    table = folder / "labels.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_labels_are_imported_by_original_series(folder: Path, answers: Any) -> None:
    rows = labels.read_table(write_table(folder, [("1.1", "a.nii"), (), ("1.2", "b.nii")]))
    client = answers(resolve={"cases": [{"series": "1.1", "case_id": "c1"}]}, labels={"label_version_id": "v"})
    done, failed = labels.import_rows(client, "p", rows)
    assert (done, [series for series, _ in failed]) == (1, ["1.2"])
    path, form, arguments = client.asked[-1]
    assert (path, form["project_id"]) == ("/labeling/v1/cases/c1/labels", "p")
    assert arguments["files"]["label"][1] == b"a.nii"


def test_a_label_that_is_refused_does_not_stop_the_others(folder: Path, answers: Any) -> None:
    rows = labels.read_table(write_table(folder, [("1.1", "a.nii"), ("1.2", "b.nii")]))
    cases = [{"series": "1.1", "case_id": "c1"}, {"series": "1.2", "case_id": "c2"}]
    client = answers(resolve={"cases": cases}, labels=[Invalid("label-geometry"), {"label_version_id": "v"}])
    assert labels.import_rows(client, "p", rows) == (1, [["1.1", "label-geometry: "]])


def test_a_label_is_never_given_to_one_phase_of_several(folder: Path, answers: Any) -> None:
    rows = labels.read_table(write_table(folder, [("1.1", "a.nii")]))
    cases = [{"series": "1.1", "case_id": name} for name in ("c1", "c2")]
    client = answers(resolve={"cases": cases})
    done, ((series, why),) = labels.import_rows(client, "p", rows)
    assert (done, series) == (0, "1.1") and why.startswith("2 cases were formed from it")
    assert len(client.asked) == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "a line for each label"),
        ([("1.1", "missing.nii")], "a file at line 2"),
        ([("1.1", "a.nii"), ("1.2",)], "a label_path at line 3"),
        ([("", "a.nii")], "a series_instance_uid at line 2"),
        ([("1.1", "a.nii"), (" 1.1 ", "b.nii")], "a second one at line 3"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_its_line(folder: Path, rows: list, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        labels.read_table(write_table(folder, rows))


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"series,path\n", "series,path"),
        (b"series_instance_uid;label_path\n1.1;a.nii\n", "series_instance_uid;label_path"),
        (b"series_instance_uid,label_path\n1.1,\xe4.nii\n", "UnicodeDecodeError"),
    ],
)
def test_what_is_no_such_table_is_refused(folder: Path, content: bytes, got: str) -> None:
    (folder / "labels.csv").write_bytes(content)
    with pytest.raises(Invalid, match=f"got {got}"):
        labels.read_table(folder / "labels.csv")


def test_a_table_may_come_from_a_spreadsheet(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbfseries_instance_uid,label_path,note\r\n1.1,a.nii,x\r\n")
    assert labels.read_table(folder / "labels.csv") == [labels.Row("1.1", folder / "a.nii")]
