"""QIDO-RS: what a search asks for and what it finds (PS3.18 section 10.6), under pseudonymous UIDs.

Attributes that de-identification takes away match nothing but an empty value. Nobody finds what they may not see: of a series in
no project of theirs there is no trace, nor of a study without another one.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from ingest.adapters.extraction import SERIES_TAGS, STUDY_TAGS
from ingest.adapters.sql_cases import SqlProjects
from ingest.adapters.sql_studies import stored_instance
from ingest.adapters.tables import CASES, INSTANCES, SERIES, STUDIES
from ingest.domain.model import Instance
from radloop.auth import EVERY_PROJECT, Principal
from radloop.errors import PermanentError
from radloop.sql import Database

DEFAULT_LIMIT, LARGEST_LIMIT = 100, 1000
_NO_ATTRIBUTES = ("limit", "offset", "includefield", "fuzzymatching")

Json = dict[str, Any]
Column = sa.ColumnElement[Any]


class BadQuery(PermanentError):
    """A search that cannot be read: 400."""


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute that is matched.

    Attributes
    ----------
    vr : str
        Decides how: lists of UIDs, ranges of dates and times, whole numbers, else wildcards.
    column : sqlalchemy.ColumnElement, optional
        What its values are compared with; None where de-identification leaves none.
    """

    vr: str
    column: Column | None = None


# By study, too: only that has an index.
_OF_SERIES = sa.and_(INSTANCES.c.study_key == SERIES.c.study_key, INSTANCES.c.series_key == SERIES.c.series_key)
_PATIENT: Column = sa.literal("P-") + sa.func.substr(STUDIES.c.patient, 1, 16)  # as `cleaning` names them
_STUDY_KEYS = {
    "0020000D": Key("UI", STUDIES.c.study_key),
    "00080020": Key("DA", STUDIES.c.date),
    "00080030": Key("TM", STUDIES.c.time),
    "00080050": Key("SH"),
    "00080061": Key("CS", SERIES.c.modality),
    "00080090": Key("PN"),
    "00081030": Key("LO"),
    "00100010": Key("PN", _PATIENT),
    "00100020": Key("LO", _PATIENT),
    "00200010": Key("SH"),
}
_SERIES_KEYS = {
    "0020000E": Key("UI", SERIES.c.series_key),
    "00080060": Key("CS", SERIES.c.modality),
    "0008103E": Key("LO"),
    "00200011": Key("IS", SERIES.c.number),
    "00400244": Key("DA"),
    "00400245": Key("TM"),
}
_INSTANCE_KEYS = {
    "00080018": Key("UI"),
    "00080016": Key("UI"),
    "00200013": Key("IS"),
}


@dataclass(frozen=True, slots=True)
class Search:
    """A search as it was asked for.

    Attributes
    ----------
    matches : mapping of str to str
        Wanted value by tag, eight hexadecimal digits.
    limit, offset : int
    fuzzy : bool
        Fuzzy matching was wished for; nobody's name is here to be spelt in two ways.
    """

    matches: Mapping[str, str]
    limit: int
    offset: int
    fuzzy: bool


def read_search(parameters: Iterable[tuple[str, str]], level: str) -> Search:
    """Read the parameters of a search.

    Parameters
    ----------
    parameters : iterable of (str, str)
        As the query string has them; attributes by tag or by keyword.
    level : str
        "study", "series" or "instance".

    Raises
    ------
    BadQuery
        An attribute nobody knows or that is not matched at this level, one asked for twice, a number that is none.
    """
    known = {"study": _STUDY_KEYS, "series": _STUDY_KEYS | _SERIES_KEYS}.get(
        level, _STUDY_KEYS | _SERIES_KEYS | _INSTANCE_KEYS
    )
    matches: dict[str, str] = {}
    numbers = {"limit": DEFAULT_LIMIT, "offset": 0}
    fuzzy = False
    for name, value in parameters:
        if name == "includefield":
            for field in value.split(","):
                if field != "all":
                    _tag_of(field)  # all there is goes out anyway
        elif name == "fuzzymatching":
            if value not in ("true", "false"):
                raise BadQuery("query-unreadable", expected="fuzzymatching=true or =false", got="another value")
            fuzzy = value == "true"
        elif name in numbers:
            if not (value.isascii() and value.isdigit() and len(value) < 10):
                raise BadQuery("query-unreadable", expected=f"{name}=<a whole number>", got="another value")
            numbers[name] = int(value)
        else:
            tag = _tag_of(name)
            if tag not in known or tag in matches:
                raise BadQuery(
                    "query-attribute",
                    expected=f"once, one of {', '.join(sorted(keyword_for_tag(int(key, 16)) for key in known))}",
                    got=f"{keyword_for_tag(int(tag, 16)) or tag}{' twice' if tag in matches else ''}",
                )
            matches[tag] = value
    return Search(matches, min(numbers["limit"], LARGEST_LIMIT), numbers["offset"], fuzzy)


def _tag_of(name: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return name.upper()
    tag = tag_for_keyword(name) if name.isascii() else None
    if tag is None:
        raise BadQuery(
            "query-attribute",
            expected=f"attributes by keyword or by tag, or {', '.join(_NO_ATTRIBUTES)}",
            got="another parameter",
        )
    return f"{tag:08X}"


class Searches:
    """Finds studies, series and instances for whoever may see them.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies(self, principal: Principal, search: Search, url: str) -> tuple[list[Json], bool]:
        """Return studies, the newest first, as DICOM JSON, and whether there are more; ``url`` is that of the door."""
        with self._database.begin(read_only=True) as connection:
            visible = self._visible(connection, principal)
            of_series = [visible, *_conditions(search, {"00080061": _STUDY_KEYS["00080061"]})]
            has_series = sa.exists().where(SERIES.c.study_key == STUDIES.c.study_key, *of_series).correlate(STUDIES)
            query = (
                sa.select(STUDIES)
                .where(has_series, *_conditions(search, _STUDY_KEYS, but=("00080061",)))
                .order_by(STUDIES.c.date.desc(), STUDIES.c.study_key)
            )
            rows = connection.execute(query.limit(search.limit + 1).offset(search.offset)).all()
            page = rows[: search.limit]
            seen = self._series_of(connection, visible, [row.study_key for row in page])
            found = [_study_json(row, seen[row.study_key], url) for row in page]
        return found, len(rows) > search.limit

    def series(self, principal: Principal, study: str | None, search: Search, url: str) -> tuple[list[Json], bool]:
        """Return series, of one study or of all, as `studies` does."""
        with self._database.begin(read_only=True) as connection:
            of_study = [STUDIES.c.study_key == study] if study else []
            modalities = _conditions(search, {"00080061": _STUDY_KEYS["00080061"]})
            query = (
                sa.select(SERIES, STUDIES.c.described.label("of_study"), STUDIES.c.patient)
                .join(STUDIES, STUDIES.c.study_key == SERIES.c.study_key)
                .where(
                    self._visible(connection, principal),
                    *of_study,
                    *modalities,
                    *_conditions(search, _STUDY_KEYS | _SERIES_KEYS, but=("00080061",)),
                )
                .order_by(STUDIES.c.date.desc(), SERIES.c.study_key, SERIES.c.number, SERIES.c.series_key)
            )
            rows = connection.execute(query.limit(search.limit + 1).offset(search.offset)).all()
            page = rows[: search.limit]
            counts = self._counts(connection, [(row.study_key, row.series_key) for row in page])
        found = [_series_json(row, counts.get(row.series_key, 0), url, with_study=not study) for row in page]
        return found, len(rows) > search.limit

    def instances(
        self, principal: Principal, study: str, series: str | None, search: Search, url: str
    ) -> tuple[list[Json], bool]:
        """Return instances of a study, or of one of its series, as `studies` does."""
        with self._database.begin(read_only=True) as connection:
            conditions = [SERIES.c.study_key == study, self._visible(connection, principal)]
            if series:
                conditions.append(SERIES.c.series_key == series)
            query = (
                sa.select(INSTANCES)
                .join(SERIES, _OF_SERIES)
                .join(STUDIES, STUDIES.c.study_key == INSTANCES.c.study_key)
                .where(*conditions, *_conditions(search, _STUDY_KEYS | _SERIES_KEYS))
                .order_by(INSTANCES.c.series_key, INSTANCES.c.generation, INSTANCES.c.sop_key)
            )
            every = [stored_instance(row) for row in connection.execute(query)]
        # What an instance is asked for stands in its header, which only we can read: a study is small enough to look at each.
        matching = [one for one in every if _matches(one, search)]
        page = matching[search.offset : search.offset + search.limit]
        found = [_instance_json(one, url, with_series=not series) for one in page]
        return found, len(matching) > search.offset + search.limit

    def _visible(self, connection: sa.Connection, principal: Principal) -> Column:
        """Return the condition on SERIES that holds for what a person may see."""
        has_instances = sa.exists().where(_OF_SERIES).correlate(SERIES)  # else all of it is held for a person
        if principal.roles_in(EVERY_PROJECT):
            return has_instances
        mine = [
            project.project_id
            for project in SqlProjects(connection).all()
            if principal.with_members(project.project_id, project.members).roles_in(project.project_id)
        ]
        of_cases = sa.select(CASES.c.series_key).where(CASES.c.project_id.in_(mine))
        return sa.and_(has_instances, SERIES.c.series_key.in_(of_cases))

    def _series_of(
        self, connection: sa.Connection, visible: Column, studies: Sequence[str]
    ) -> dict[str, list[tuple[str, int]]]:
        """Return modality and number of instances of each visible series, by study."""
        query = (
            sa.select(SERIES.c.study_key, SERIES.c.modality, sa.func.count(INSTANCES.c.sop_key))
            .join(INSTANCES, _OF_SERIES)
            .where(SERIES.c.study_key.in_(studies), visible)
            .group_by(SERIES.c.study_key, SERIES.c.series_key, SERIES.c.modality)
        )
        found: dict[str, list[tuple[str, int]]] = {study: [] for study in studies}
        for study, modality, count in connection.execute(query):
            found[study].append((modality, count))
        return found

    def _counts(self, connection: sa.Connection, series: Sequence[tuple[str, str]]) -> dict[str, int]:
        studies, keys = ({one[place] for one in series} for place in (0, 1))
        query = (
            sa.select(INSTANCES.c.series_key, sa.func.count().label("instances"))
            .where(INSTANCES.c.study_key.in_(studies), INSTANCES.c.series_key.in_(keys))
            .group_by(INSTANCES.c.series_key)
        )
        return {row.series_key: row.instances for row in connection.execute(query)}


def _conditions(search: Search, keys: Mapping[str, Key], but: tuple[str, ...] = ()) -> list[Column]:
    return [
        condition
        for tag, wanted in search.matches.items()
        if tag in keys and tag not in but and (condition := _condition(keys[tag], wanted)) is not None
    ]


def _condition(key: Key, wanted: str) -> Column | None:
    """Return what must hold for an attribute to match (PS3.4 C.2.2.2); None where everything does."""
    if wanted in ("", "*"):
        return None
    if key.column is None:
        return sa.false()
    if key.vr == "UI":
        return key.column.in_([uid for uid in re.split(r"[,\\]", wanted) if uid])
    if key.vr == "IS":
        return key.column == int(wanted) if _is_whole(wanted) else sa.false()
    if key.vr in ("DA", "TM"):
        first, dash, last = wanted.partition("-")
        if not dash:
            return key.column == first
        # The end of a range is meant whole: 10 is the hour, and 10:59:59.9 lies in it.
        bounds = [key.column >= first] if first else []
        bounds += [key.column <= f"{last}~"] if last else []
        return sa.and_(sa.true(), *bounds)
    return key.column.like(_pattern(wanted), escape="/")


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,12}", text) is not None


def _pattern(wanted: str) -> str:
    """Turn DICOM's wildcards into SQL's."""
    quoted = re.sub(r"([/%_])", r"/\1", wanted)
    return quoted.replace("*", "%").replace("?", "_")


def _matches(instance: Instance, search: Search) -> bool:
    values = {
        "00080018": instance.sop_key,
        "00080016": instance.header.sop_class_uid,
        "00200013": str(int(instance.header.numbers.get("instance-number", -1))),
    }
    return all(
        wanted in ("", "*") or values[tag] in re.split(r"[,\\]", wanted)
        for tag, wanted in search.matches.items()
        if tag in values
    )


_VRS = {
    "00080020": "DA",
    "00080021": "DA",
    "00080030": "TM",
    "00080031": "TM",
    "00080050": "SH",
    "00080060": "CS",
    "00080090": "PN",
    "00081030": "LO",
    "0008103E": "LO",
    "00100010": "PN",
    "00100020": "LO",
    "00100030": "DA",
    "00100040": "CS",
    "00180015": "CS",
    "00200010": "SH",
    "00200011": "IS",
}


def _attribute(vr: str, *values: Any) -> Json:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _described(text: str | None, tags: Sequence[str]) -> Json:
    """Return what is remembered as DICOM JSON (PS3.18 annex F); an attribute without value is there, too."""
    told: Mapping[str, str] = json.loads(text or "{}")
    convert: Mapping[str, Callable[[str], Any]] = {"PN": lambda value: {"Alphabetic": value}, "IS": int}
    found = {}
    for tag in tags:
        vr, value = _VRS[tag], told.get(tag, "")
        usable = bool(value) and (vr != "IS" or _is_whole(value))
        found[tag] = _attribute(vr, *([convert.get(vr, str)(value)] if usable else []))
    return found


def _study_json(row: Any, series: Sequence[tuple[str, int]], url: str) -> Json:
    modalities = sorted({modality for modality, _ in series if modality})
    return _described(row.described, STUDY_TAGS) | {
        "00080005": _attribute("CS", "ISO_IR 192"),
        "00080056": _attribute("CS", "ONLINE"),
        "00080061": _attribute("CS", *modalities),
        "00081190": _attribute("UR", f"{url}/studies/{row.study_key}"),
        "0020000D": _attribute("UI", row.study_key),
        "00201206": _attribute("IS", len(series)),
        "00201208": _attribute("IS", sum(count for _, count in series)),
    }


def _series_json(row: Any, count: int, url: str, *, with_study: bool) -> Json:
    of_study = _described(row.of_study, STUDY_TAGS) if with_study else {}
    return (
        of_study
        | _described(row.described, SERIES_TAGS)
        | {
            "00080005": _attribute("CS", "ISO_IR 192"),
            "00081190": _attribute("UR", f"{url}/studies/{row.study_key}/series/{row.series_key}"),
            "0020000D": _attribute("UI", row.study_key),
            "0020000E": _attribute("UI", row.series_key),
            "00201209": _attribute("IS", count),
        }
    )


def _instance_json(instance: Instance, url: str, *, with_series: bool) -> Json:
    header = instance.header
    number = header.numbers.get("instance-number")
    path = f"{url}/studies/{instance.study_key}/series/{instance.series_key}/instances/{instance.sop_key}"
    found = {
        "00080005": _attribute("CS", "ISO_IR 192"),
        "00080016": _attribute("UI", header.sop_class_uid),
        "00080018": _attribute("UI", instance.sop_key),
        "00080056": _attribute("CS", "ONLINE"),
        "00081190": _attribute("UR", path),
        "0020000D": _attribute("UI", instance.study_key),
        "0020000E": _attribute("UI", instance.series_key),
        "00200013": _attribute("IS", *([] if number is None else [int(number)])),
        "00280010": _attribute("US", header.rows),
        "00280011": _attribute("US", header.columns),
        "00280100": _attribute("US", header.bits_allocated),
    }
    if header.frames > 1:
        found["00280008"] = _attribute("IS", header.frames)
    if with_series:
        found["00080060"] = _attribute("CS", header.modality)
    return found
