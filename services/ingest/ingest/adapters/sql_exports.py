"""Repositories of what goes back to the PACS, on SQL."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ingest.adapters.tables_exports import DISCLOSURES, EXPORT_SOURCES, EXPORTS, ORIGINALS
from ingest.domain.exports import Export, ExportSource, ExportState, Form, SourceKind
from ingest.domain.messages import NoteDisclosure
from ingest.domain.model import Original
from radloop.references import ObjectRef, SegmentState, SegmentStatus
from radloop.sql import upsert

# Asked for every instance, so built once.
_HAS_ORIGINAL = sa.select(ORIGINALS.c.sop_key).where(ORIGINALS.c.sop_key == sa.bindparam("key"))
_AT_ONCE = 500
"""Keys in one statement: SQLite takes 32,766 values, PostgreSQL 65,535."""


class SqlOriginals:
    """`ports.Originals`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def has(self, sop_key: str) -> bool:
        return self._connection.execute(_HAS_ORIGINAL, {"key": sop_key}).first() is not None

    def add(self, original: Original) -> None:
        upsert(self._connection, ORIGINALS, dataclasses.asdict(original), keys=("sop_key",), update=False)

    def sealed(self, sop_keys: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(sop_keys), _AT_ONCE):
            some = sop_keys[start : start + _AT_ONCE]
            query = sa.select(ORIGINALS.c.sop_key, ORIGINALS.c.sealed).where(ORIGINALS.c.sop_key.in_(some))
            found |= {row.sop_key: row.sealed for row in self._connection.execute(query)}
        return found

    def forget(self, study_key: str) -> None:
        self._connection.execute(ORIGINALS.delete().where(ORIGINALS.c.study_key == study_key))


class SqlExports:
    """`ports.Exports`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add_source(self, source: ExportSource, at: float) -> None:
        row = {
            "source_id": source.source_id,
            "kind": source.kind.value,
            "case_id": source.case_id,
            "study_key": source.study_key,
            "body": json.dumps(dataclasses.asdict(source)),
            "at": at,
        }
        upsert(self._connection, EXPORT_SOURCES, row, keys=("source_id",), update=False)

    def source(self, source_id: str) -> ExportSource | None:
        query = sa.select(EXPORT_SOURCES.c.body).where(EXPORT_SOURCES.c.source_id == source_id)
        body = self._connection.execute(query).scalar()
        return None if body is None else _source(body)

    def sources_of(self, case_id: str) -> list[ExportSource]:
        query = sa.select(EXPORT_SOURCES.c.body).where(EXPORT_SOURCES.c.case_id == case_id)
        return [_source(body) for body in self._connection.execute(query.order_by(EXPORT_SOURCES.c.at)).scalars()]

    def get(self, export_id: str) -> Export | None:
        row = self._connection.execute(sa.select(EXPORTS).where(EXPORTS.c.export_id == export_id)).first()
        return None if row is None else export_of(row)

    def save(self, export: Export) -> None:
        upsert(self._connection, EXPORTS, dataclasses.asdict(export), keys=("export_id",))

    def next_due(self, now: float) -> str | None:
        waits = EXPORTS.c.state.in_([ExportState.WAITING.value, ExportState.SENDING.value])
        query = sa.select(EXPORTS.c.export_id).where(waits, EXPORTS.c.due_at <= now)
        return self._connection.execute(query.order_by(EXPORTS.c.due_at).limit(1)).scalar()

    def take_back(self, now: float) -> None:
        sending = EXPORTS.c.state == ExportState.SENDING.value
        self._connection.execute(EXPORTS.update().where(sending).values(due_at=now))

    def forget(self, study_key: str) -> None:
        for table in (EXPORTS, EXPORT_SOURCES):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))

    def note_disclosure(self, noted: NoteDisclosure, at: float) -> None:
        self._connection.execute(DISCLOSURES.insert().values(at=at, **dataclasses.asdict(noted)))


def export_of(row: Any) -> Export:
    """Read a row of the table of exports."""
    values = dict(row._mapping)
    return Export(**values | {"form": Form(row.form), "state": ExportState(row.state)})


def _source(text: str) -> ExportSource:
    body = json.loads(text)
    body["kind"] = SourceKind(body["kind"])
    body["mask"] = ObjectRef(**body["mask"])
    body["segments"] = tuple(SegmentStatus(one["value"], SegmentState(one["state"])) for one in body["segments"])
    return ExportSource(**body)
