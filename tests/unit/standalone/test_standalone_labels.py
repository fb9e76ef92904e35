"""``labels import``: what files and tables may be, which segment is which, and what is reported before anything is taken."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from radloop.errors import Invalid
from standalone.commands.labels import submit
from standalone.labels import files
from standalone.labels.bringing import Bringing, State
from standalone.labels.files import Format, LabelFile
from standalone.labels.mapping import Theirs, match, read_rules


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


def found(path: Path, table: Path | None = None, wanted: Format | None = None) -> list[LabelFile]:
    return list(files.find(path, wanted, table).labels)


# --- tables -----------------------------------------------------------------------------------------------------------------


def test_a_table_names_files_and_any_original_id(folder: Path) -> None:
    header = ("file", "patient_id", "issuer", "accession_number", "phase", "note")
    table = write_table(folder, [("a.nii", "P1", "H", "", "", "x"), (), ("b.nii", "", "", " A7 ", "2", "")], header)
    first, second = found(table)
    assert (first.path, first.kind, first.ids) == (folder / "a.nii", Format.NIFTI, {"patient_id": "P1", "issuer": "H"})
    assert second.ids == {"accession_number": "A7", "phase": 2}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "a line for each label"),
        ([("1.1", "missing.nii")], "a file at line 2"),
        ([("1.1", "a.nii"), ("1.2",)], "a file at line 3"),
        ([("", "a.nii")], "one of series_instance_uid, .* at line 2"),
        ([("1.1", "a.nii"), ("1.2", " a.nii ")], "a second one at line 3"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_its_line(folder: Path, rows: list, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        found(write_table(folder, rows))


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
        found(folder / "labels.csv")


def test_a_table_may_come_from_a_spreadsheet(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbfseries_instance_uid,label_path,note\r\n1.1,a.nii,x\r\n")
    (label,) = found(folder / "labels.csv")
    assert (label.path, label.ids) == (folder / "a.nii", {"series_instance_uid": "1.1"})


def test_a_folder_of_nifti_needs_a_table(folder: Path) -> None:
    with pytest.raises(Invalid, match="--table ids.csv"):
        found(folder, wanted=Format.NIFTI)
    assert len(found(folder, write_table(folder, [("1.1", "a.nii")]))) == 1


def test_a_folder_without_labels_is_refused(folder: Path) -> None:
    with pytest.raises(Invalid, match="got 2 other files"):
        found(folder)


# --- datasets ---------------------------------------------------------------------------------------------------------------

NNUNET = {"labels": {"background": 0, "liver": 1}, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}
MSD = {
    "labels": {"0": "background", "1": "liver"},
    "training": [{"image": "./imagesTr/c1.nii.gz", "label": "./labelsTr/c1.nii.gz"}],
}


def dataset(folder: Path, told: Any) -> tuple[Path, Path]:
    root = folder / "Dataset001"
    (root / "labelsTr").mkdir(parents=True)
    for name in ("c1.nii.gz", "c2.nii.gz", "._c1.nii.gz"):
        (root / "labelsTr" / name).write_bytes(b"x")
    (root / "dataset.json").write_text(told if isinstance(told, str) else json.dumps(told))
    rows = [("1.1", "c1"), ("1.2", "labelsTr/c2.nii.gz")]
    return root, write_table(folder, rows[: 2 if told == NNUNET else 1], ("series_instance_uid", "case"))


@pytest.mark.parametrize("told", [NNUNET, MSD])
def test_datasets_say_what_their_values_are(tmp_path: Path, told: dict) -> None:
    root, table = dataset(tmp_path, told)
    labels = found(root, table)
    assert [label.path.name for label in labels] == ["c1.nii.gz", "c2.nii.gz"][: len(labels)]
    assert labels[0].names == {1: "liver"}
    with pytest.raises(Invalid, match="--table"):
        found(root)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (NNUNET | {"labels": {"background": 0, "whole": [1, 2]}}, "regions .* whole is several values"),
        (NNUNET | {"file_ending": ".png"}, "file_ending .png"),
        (NNUNET | {"labels": {}}, "a name for each value"),
        (NNUNET | {"labels": {"liver": "one"}}, "whole numbers"),
        ("[]", "a JSON object"),
        ("{", "a dataset.json"),
    ],
)
def test_datasets_that_are_not_read_are_named(tmp_path: Path, told: Any, said: str) -> None:
    root, table = dataset(tmp_path, told)
    with pytest.raises(Invalid, match=said):
        found(root, table)


# --- segments ---------------------------------------------------------------------------------------------------------------

SEGMENTS = [
    {"value": 3, "name": "liver", "type": {"value": "10200004", "scheme": "SCT"}},
    {"value": 4, "name": "left-lung", "type": {"value": "39607008", "scheme": "SCT"}},
    {"value": 5, "name": "right-lung", "type": {"value": "39607008", "scheme": "SCT"}},
]


@pytest.mark.parametrize(
    ("theirs", "rules", "expected"),
    [
        (Theirs(1, "Liver"), [], (3, "name")),
        (Theirs(1, "Left_Lung "), [], (4, "name")),
        (Theirs(1, "Leber", ("10200004", "SCT")), [], (3, "code")),
        (Theirs(1, "Leber", ("T-62000", "SRT")), [], (3, "code")),  # what SNOMED CT calls 10200004
        (Theirs(1, "lung", ("39607008", "SCT")), [], (None, "no segment of this name or code")),
        (Theirs(1, "right lung", ("39607008", "SCT")), [], (5, "name")),
        (Theirs(1, "left lung", ("10200004", "SCT")), [], (None, "its name and its code are of two segments")),
        (Theirs(1, "Leber"), [], (None, "no segment of this name or code")),
        (Theirs(1, "Leber"), ["LEBER=liver"], (3, "--map")),
        (Theirs(7, "x=y"), ["x=y=4"], (4, "--map")),
        (Theirs(7), ["7=right-lung"], (5, "--map")),
        (Theirs(7, "?", ("1", "99X")), ["99x:1=liver"], (3, "--map")),
        (Theirs(1, "Liver"), ["liver="], (0, "--map")),
    ],
)
def test_which_segment_it_is(theirs: Theirs, rules: list[str], expected: tuple) -> None:
    (found,) = match([theirs], SEGMENTS, read_rules(rules))
    assert (found.ours, found.how) == expected


def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    for rules, said in (
        (["liver"], "a file of such lines"),
        (["=3"], "theirs=ours"),
        (["a=1", "A=2"], "each of theirs once"),
    ):
        with pytest.raises(Invalid, match=said):
            read_rules(rules)
    with pytest.raises(Invalid, match="a segment of the project: 3 liver"):
        match([], SEGMENTS, read_rules(["a=spleen"]))
    (tmp_path / "map").write_text("# theirs=ours\na = 3\n\nb=\n")
    assert read_rules([str(tmp_path / "map"), "c=4"]) == {"a": "3", "b": "", "c": "4"}


# --- the platform asked -----------------------------------------------------------------------------------------------------

CASE = {"case_id": "c1", "series_keys": ["2.25.1"], "split": "train", "phase": 0, "phase_count": 1}
CHECK = {
    "label_version_id": "v",
    "already": False,
    "others": 0,
    "notes": ["turned"],
    "segments": [{"value": 3, "state": "annotated", "voxels": 9}, {"value": 4, "state": "absent", "voxels": 0}],
}


def bringing(answers: Any, rows: list[dict], **more: Any) -> tuple[Bringing, Any]:
    client = answers(segments={"segments": SEGMENTS}, resolve={"rows": rows}, **{"check": CHECK, **more})
    return Bringing(client, "p", {}, None), client


def test_nothing_is_taken_by_looking(folder: Path, answers: Any) -> None:
    label = LabelFile(folder / "a.nii", "a.nii", Format.NIFTI, {"patient_id": "P"}, {1: "liver"})
    work, client = bringing(answers, [{"cases": [CASE], "why": "", "rejected": []}], labels={"label_version_id": "v"})
    work.look_up([label])
    line = work.check(label)
    assert (line.state, line.voxels, line.notes) == (State.TAKE, {"liver": 9}, ["turned"])
    assert line.not_annotated == ["left-lung", "right-lung"]
    path, form, _ = client.asked[-1]
    assert path == "/labeling/v1/cases/c1/labels/check" and json.loads(form["values"]) == {"1": 3}
    assert json.loads(form["segments"]) == [{"value": n, "state": "not-annotated"} for n in (4, 5)]
    assert not [path for path, *_ in client.asked if path.endswith("/labels")]
    work.take(line)
    path, _, arguments = client.asked[-1]
    assert (line.state, path, arguments["files"]["label"][1]) == (State.TAKEN, "/labeling/v1/cases/c1/labels", b"a.nii")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"cases": [], "why": "not-received"}, "nothing it refers to was received here"),
        ({"cases": [], "why": "no-case", "rejected": ["tilted"]}, r"no case of this project \(refused: tilted\)"),
        (
            {"cases": [CASE, CASE | {"case_id": "c2", "phase": 1}]},
            "2 cases are meant, of phases 0, 1: say in the table",
        ),
        ({"cases": [CASE, CASE | {"case_id": "c2", "series_keys": ["2.25.2"]}]}, "2 cases are meant, of 2 series"),
    ],
)
def test_without_one_case_there_is_no_label(folder: Path, answers: Any, row: dict, said: str) -> None:
    label = LabelFile(folder / "a.nii", "a.nii", Format.NIFTI, {"patient_id": "P"})
    work, client = bringing(answers, [row])
    work.look_up([label])
    line = work.check(label)
    assert line.state is State.REFUSED
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(line.why)
    assert len(client.asked) == 1


def test_one_that_is_refused_does_not_stop_the_others(folder: Path, answers: Any) -> None:
    labels = [LabelFile(folder / n, n, Format.NIFTI, {"patient_id": n}) for n in ("a.nii", "b.nii")]
    rows = [{"cases": [CASE]}, {"cases": [CASE | {"case_id": "c2"}]}]
    work, _ = bringing(answers, rows, check=[Invalid("label-geometry"), CHECK])
    work.look_up(labels)
    assert [work.check(label).state for label in labels] == [State.REFUSED, State.TAKE]


def test_the_demo_submits_one_label_of_a_case(answers: Any) -> None:
    client = answers(labels={"label_version_id": "v"})
    assert submit(client, "p", "c1", b"nifti") == "v"
    assert client.asked[-1][0] == "/labeling/v1/cases/c1/labels"
