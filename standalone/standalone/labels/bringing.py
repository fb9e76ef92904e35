"""Each label, asked of the platform: whose case, which segments, what geometry, already there? And taking it, once somebody says so."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from radloop.errors import PermanentError
from standalone.client import Client
from standalone.labels.files import Format, LabelFile
from standalone.labels.mapping import LEFT_OUT, Match, Theirs, match, numbers_named

_FORMATS = {Format.SEG: "dicom-seg", Format.RTSTRUCT: "rtstruct", Format.NIFTI: "nifti"}
_ROWS_AT_A_TIME = 1000
_WHY = {
    "nothing-named": "it refers to no series and no image",
    "not-received": "nothing it refers to was received here",
    "no-case": "what it refers to is here, but is no case of this project",
}


class State(StrEnum):
    """What would become of a label, or became of it."""

    TAKE = "take"
    THERE = "there"
    """This very label is there already."""
    REFUSED = "refused"
    TAKEN = "taken"


@dataclass
class Line:
    """One line of the report."""

    label: LabelFile
    state: State = State.REFUSED
    why: str = ""
    case_id: str = ""
    phase: int | None = None
    split: str = ""
    matches: list[Match] = field(default_factory=list)
    voxels: dict[str, int] = field(default_factory=dict)
    not_annotated: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    others: int = 0
    label_version_id: str = ""
    form: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the line for a program."""
        return {
            "file": self.label.shown,
            "format": self.label.kind.value,
            "state": self.state.value,
            "why": self.why,
            "case_id": self.case_id,
            "phase": self.phase,
            "split": self.split,
            "segments": [
                {"theirs": m.theirs.number, "name": m.theirs.name, "ours": m.ours, "how": m.how} for m in self.matches
            ],
            "voxels": self.voxels,
            "not_annotated": self.not_annotated,
            "differences": self.notes,
            "other_labels_of_the_case": self.others,
            "label_version_id": self.label_version_id,
        }


class Bringing:
    """Labels on the way into one project.

    Parameters
    ----------
    client : Client
    project_id : str
    rules : Mapping
        What ``--map`` said, see `mapping.read_rules`.
    threshold : float or None
        For fractional segments.
    """

    def __init__(self, client: Client, project_id: str, rules: Mapping[str, str], threshold: float | None) -> None:
        self._client, self._project_id, self._rules, self._threshold = client, project_id, rules, threshold
        self._segments = client.get(f"/labeling/v1/projects/{project_id}/segments")["segments"]
        match([], self._segments, rules)  # a rule for a segment that there is not is said before anything else
        self._rows: dict[Path, dict[str, Any]] = {}
        self._file_of_case: dict[str, str] = {}

    def look_up(self, labels: Sequence[LabelFile]) -> None:
        """Ask for the cases of labels that come with a table, many at a time."""
        listed = [label for label in labels if label.ids]
        for at in range(0, len(listed), _ROWS_AT_A_TIME):
            some = listed[at : at + _ROWS_AT_A_TIME]
            asked = {"project_id": self._project_id, "rows": [dict(label.ids) for label in some]}
            answer = self._client.post("/ingest/v1/cases/resolve", asked)["rows"]
            self._rows.update(zip((label.path for label in some), answer, strict=True))

    def check(self, label: LabelFile) -> Line:
        """Say what would become of a label; nothing is taken."""
        line = Line(label)
        try:
            self._check(line)
        except PermanentError as error:
            line.why = str(error)
        return line

    def take(self, line: Line) -> None:
        """Take a label that was checked. The same again is the same label version."""
        try:
            data = line.label.path.read_bytes()
            if line.label.kind is not Format.NIFTI:
                data = _mask(self._matched(data))
            answer = self._asked(line, "labels", data)
        except PermanentError as error:
            line.state, line.why = State.REFUSED, str(error)
            return
        line.state, line.label_version_id = State.TAKEN, answer["label_version_id"]

    def _check(self, line: Line) -> None:
        data = line.label.path.read_bytes()
        if line.label.kind is Format.NIFTI:
            found, theirs = self._rows[line.label.path], [Theirs(n, name) for n, name in line.label.names.items()]
        else:
            found = self._matched(data)
            data, theirs = _mask(found), [_theirs(segment) for segment in found["segments"] if not _background(segment)]
        if not self._one_case(line, found["cases"], found):
            return
        line.matches = match(theirs, self._segments, self._rules)
        unknown = [m for m in line.matches if m.ours is None]
        if unknown and line.label.kind is not Format.NIFTI:
            line.why = _unknown(unknown)
            return
        self._fill_form(line)
        try:
            answer = self._asked(line, "labels/check", data)
        except PermanentError as error:
            line.why = f"{error}" + (f" [{_unknown(unknown)}]" if unknown and error.code == "segment-unknown" else "")
            return
        self._note(line, answer)

    def _matched(self, data: bytes) -> dict[str, Any]:
        # The file's own name stays here: it may be a person's.
        found: dict[str, Any] = self._client.post(
            "/ingest/v1/labels/match",
            {},
            files={"file": ("label.dcm", data)},
            params={"project_id": self._project_id},
        )
        return found

    def _one_case(self, line: Line, cases: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> bool:
        if not cases:
            refused = f" (refused: {', '.join(found['rejected'])})" if found.get("rejected") else ""
            line.why = _WHY.get(found["why"], found["why"]) + refused
            return False
        if len(cases) > 1:
            line.why = _several(cases, line.label.kind)
            return False
        case = cases[0]
        line.case_id, line.split = case["case_id"], case["split"]
        line.phase = case["phase"] if case["phase_count"] > 1 else None
        first = self._file_of_case.get(line.case_id)
        if first is not None:
            line.why = (
                f"another file here is of the same case: {first}; put their segments into one, or bring one of them"
            )
            return False
        return True

    def _fill_form(self, line: Line) -> None:
        line.form = {"project_id": self._project_id, "format": _FORMATS[line.label.kind]}
        values = {m.theirs.number: m.ours for m in line.matches if m.ours is not None}
        if not line.matches:
            values = dict(numbers_named(self._segments, self._rules))
        if values or line.matches:
            line.form["values"] = json.dumps(values)
        if self._threshold is not None:
            line.form["threshold"] = str(self._threshold)
        if line.matches or values:
            # What the file has no segment for was not looked for; what it has and is empty is absent.
            missing = [s for s in self._segments if s["value"] not in values.values()]
            line.not_annotated = [s["name"] for s in missing]
            states = [{"value": s["value"], "state": "not-annotated"} for s in missing]
            line.form["segments"] = json.dumps(states)
        line.notes += [f"{m.told} is left out, as was said" for m in line.matches if m.ours == LEFT_OUT]

    def _asked(self, line: Line, what: str, data: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.post(
            f"/labeling/v1/cases/{line.case_id}/{what}", line.form, files={"label": ("label", data)}
        )
        return answer

    def _note(self, line: Line, answer: Mapping[str, Any]) -> None:
        names = {s["value"]: s["name"] for s in self._segments}
        line.voxels = {names[s["value"]]: s["voxels"] for s in answer["segments"] if s["voxels"]}
        line.notes += answer["notes"]
        line.others, line.label_version_id = answer["others"], answer["label_version_id"]
        self._file_of_case[line.case_id] = line.label.shown
        line.state = State.THERE if answer["already"] else State.TAKE


def _several(cases: Sequence[Mapping[str, Any]], kind: Format) -> str:
    series = {tuple(case["series_keys"]) for case in cases}
    of = f"{len(series)} series" if len(series) > 1 else f"phases {', '.join(str(case['phase']) for case in cases)}"
    do = "say in the table which series or phase" if kind is Format.NIFTI else "make a file for each"
    return f"{len(cases)} cases are meant, of {of}: {do}"


def _mask(found: Mapping[str, Any]) -> bytes:
    return base64.b64decode(found["mask"])


def _theirs(segment: Mapping[str, Any]) -> Theirs:
    code = segment["type"] or {}
    return Theirs(segment["number"], segment["name"], (code.get("value", ""), code.get("scheme", "")))


def _background(segment: Mapping[str, Any]) -> bool:
    return bool(segment["number"] == 0)


def _unknown(matches: Sequence[Match]) -> str:
    listed = "; ".join(f"{m.told}: {m.how}" for m in matches)
    return f"{listed}. Say which they are: --map 'theirs=ours', or --map 'theirs=' to leave one out"
