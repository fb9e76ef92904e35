"""Which segment of the project each of theirs is: as somebody said, else by name, else by coded type. Nothing is guessed beyond."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radloop.errors import Invalid

LEFT_OUT = 0


@dataclass(frozen=True, slots=True)
class Theirs:
    """A segment, region or value of a label made elsewhere; ``code`` is (value, scheme), empty where there is none."""

    number: int
    name: str = ""
    code: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Match:
    """Which of the project's values it is: 0 when it is left out, None when nothing says. ``how`` says by what."""

    theirs: Theirs
    ours: int | None
    how: str

    @property
    def told(self) -> str:
        """The segment of theirs, for people."""
        name = f" {self.theirs.name}" if self.theirs.name else ""
        value, scheme = self.theirs.code
        return f"{self.theirs.number}{name}" + (f" ({scheme}:{value})" if value else "")


def read_rules(options: Sequence[str]) -> dict[str, str]:
    """Read what ``--map`` was given: ``theirs=ours``, or a file with such lines; ``theirs=`` leaves one out.

    Returns
    -------
    dict of str to str
        Their number, name or ``SCHEME:CODE``, case folded, to the name or value of ours.

    Raises
    ------
    Invalid
        ``label-map``: something else, or one of theirs twice.
    """
    rules: dict[str, str] = {}
    for line in _lines(options):
        theirs, sign, ours = line.rpartition("=")
        theirs, ours = theirs.strip().casefold(), ours.strip()
        if not sign or not theirs:
            raise Invalid(
                "label-map", expected="theirs=ours", got="a text without it", do="e.g. --map 'left lung=lung'"
            )
        if rules.setdefault(theirs, ours) != ours:
            raise Invalid("label-map", expected="each of theirs once", got=f"{theirs} twice", do="leave one of them")
    return rules


def _lines(options: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for option in options:
        if "=" in option:
            lines.append(option)
            continue
        if not Path(option).is_file():
            raise Invalid("label-map", expected="theirs=ours, or a file of such lines", got=option, do="check the path")
        read = Path(option).read_text(encoding="utf-8-sig").splitlines()
        lines += [line for line in read if line.strip() and not line.startswith("#")]
    return lines


def match(theirs: Sequence[Theirs], segments: Sequence[Mapping[str, Any]], rules: Mapping[str, str]) -> list[Match]:
    """Match theirs to the project's segments (as ``GET /v1/projects/{id}/segments`` lists them).

    Raises
    ------
    Invalid
        ``label-map``: a rule names no segment of the project.
    """
    ours = {theirs_: _ours(name, segments) for theirs_, name in rules.items()}
    return [_match(one, segments, ours) for one in theirs]


def numbers_named(segments: Sequence[Mapping[str, Any]], rules: Mapping[str, str]) -> dict[int, int]:
    """Return the rules that name numbers, for files whose values have no names."""
    return {int(theirs): _ours(ours, segments) for theirs, ours in rules.items() if theirs.isdigit()}


def _ours(name: str, segments: Sequence[Mapping[str, Any]]) -> int:
    if not name:
        return LEFT_OUT
    found = [
        int(s["value"]) for s in segments if name.casefold() == str(s["name"]).casefold() or name == str(s["value"])
    ]
    if len(found) != 1:
        known = ", ".join(f"{s['value']} {s['name']}" for s in segments)
        raise Invalid(
            "label-map", expected=f"a segment of the project: {known}", got=name, do="name one, or none after ="
        )
    return found[0]


def _match(theirs: Theirs, segments: Sequence[Mapping[str, Any]], rules: Mapping[str, int]) -> Match:
    value, scheme = theirs.code
    for key in (theirs.name.casefold(), str(theirs.number), f"{scheme}:{value}".casefold()):
        if key in rules:
            return Match(theirs, rules[key], "--map")
    by_name = [int(s["value"]) for s in segments if theirs.name and s["name"] == _as_named_here(theirs.name)]
    by_code = [int(s["value"]) for s in segments if value and _same_code(theirs.code, s["type"])]
    if len(by_name) == 1 and len(by_code) == 1 and by_name != by_code:
        return Match(theirs, None, "its name and its code are of two segments")
    if len(by_name) == 1:
        return Match(theirs, by_name[0], "name")
    if len(by_code) == 1:
        return Match(theirs, by_code[0], "code")
    return Match(theirs, None, "no segment of this name or code")


def _as_named_here(name: str) -> str:
    """Write a name as a project writes them: "Left_Lung" is left-lung."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")


def _same_code(code: tuple[str, str], ours: Mapping[str, Any]) -> bool:
    from pydicom.sr.coding import Code

    # pydicom knows which SNOMED-RT codes (SRT, "T-62000") became which SNOMED CT ones.
    return bool(Code(code[0], code[1], "") == Code(str(ours["value"]), str(ours["scheme"]), ""))
