"""Repositories of what was received, on SQL: studies, instances, receptions, what is held and what was refused."""

import dataclasses
import json
import math
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from ingest.adapters.tables import CASES, DIFFERENCES, HELD, INSTANCES, PATIENTS, RECEPTIONS, REFUSALS, SERIES, STUDIES
from ingest.domain.model import (
    FrameHeader,
    HeldInstance,
    Instance,
    Refusal,
    Searched,
    SeriesRecord,
    SliceHeader,
    StudyRecord,
    StudyState,
)
from ingest.domain.reasons import RejectReason
from ingest.ports import NotedRefusal, Series, Study
from radloop.references import ObjectRef
from radloop.sql import upsert

_HEADER_FIELDS = tuple(field.name for field in dataclasses.fields(SliceHeader))
_TUPLES = ("image_type", "position_lps_mm", "orientation", "pixel_spacing_mm")


def header_to_json(header: SliceHeader) -> str:
    """Write a slice header as JSON."""
    values = [getattr(header, name) for name in _HEADER_FIELDS]
    return json.dumps(values, separators=(",", ":"), default=dataclasses.astuple)


def header_from_json(text: str) -> SliceHeader:
    """Read what `header_to_json` wrote, also before there were the last of the fields."""
    values = dict(zip(_HEADER_FIELDS, json.loads(text), strict=False))
    for name in _TUPLES:
        values[name] = None if values[name] is None else tuple(values[name])
    values["per_frame"] = tuple(
        FrameHeader(*(tuple(value) if isinstance(value, list) else value for value in frame))
        for frame in values.get("per_frame", ())
    )
    return SliceHeader(**values)


def reference_to_row(ref: ObjectRef) -> dict[str, Any]:
    """Spread a reference over its three columns."""
    return {"object_key": ref.key, "object_digest": ref.digest, "object_size": ref.size_bytes}


def _reference(row: Any) -> ObjectRef:
    return ObjectRef(row.object_key, row.object_digest, row.object_size)


def stored_instance(row: Any) -> Instance:
    """Read a row of the table of instances."""
    return Instance(
        row.sop_key, row.series_key, row.study_key, _reference(row), header_from_json(row.header), row.changes
    )


def _study(row: Any) -> Study:
    record = StudyRecord(
        row.study_key,
        row.patient,
        row.identity,
        row.key_version,
        row.patient_version or 1,
        row.vault_version,
        Searched(row.described, row.date, row.time),
    )
    return Study(
        record,
        StudyState(row.state),
        row.generation,
        row.completed_generation,
        row.told,
        row.received_at,
        row.broken,
        row.again,
    )


# What runs for every instance is built once: building a statement costs as much as running it.
_KEY = sa.bindparam("key")
_GET_STUDY = (
    sa.select(STUDIES, PATIENTS.c.key_version.label("patient_version"))
    .outerjoin(PATIENTS, PATIENTS.c.patient == STUDIES.c.patient)
    .where(STUDIES.c.study_key == _KEY)
)
_UPDATE_STUDY = STUDIES.update().where(STUDIES.c.study_key == _KEY)
_GET_INSTANCE = sa.select(INSTANCES).where(INSTANCES.c.sop_key == _KEY)
_ADD_INSTANCE = INSTANCES.insert()
_NEW_GENERATION = sa.bindparam("new_generation", type_=sa.Integer)
_UPDATE_SERIES = (
    SERIES.update()
    .where(SERIES.c.series_key == _KEY)
    .values(generation=sa.case((SERIES.c.generation < _NEW_GENERATION, _NEW_GENERATION), else_=SERIES.c.generation))
)


class SqlStudies:
    """`ports.Studies`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, study_key: str) -> Study | None:
        row = self._connection.execute(_GET_STUDY, {"key": study_key}).first()
        return None if row is None else _study(row)

    def save(self, study: Study) -> None:
        values = {
            "patient": study.record.patient,
            "identity": study.record.identity,
            "state": study.state.value,
            "generation": study.generation,
            "completed_generation": study.completed_generation,
            "waiting": study.waits,
            "told": study.told,
            "received_at": study.received_at,
            "broken": study.broken,
            "again": study.again,
            "key_version": study.record.key_version,
            "vault_version": study.record.vault_version,
            "described": study.record.searched.described,
            "date": study.record.searched.date,
            "time": study.record.searched.time,
        }
        key = study.record.study_key
        if self._connection.execute(_UPDATE_STUDY, {"key": key, **values}).rowcount == 0:
            self._connection.execute(STUDIES.insert().values(study_key=key, **values))

    def save_series(self, series: Series) -> None:
        key, generation = series.record.series_key, series.generation
        if self._connection.execute(_UPDATE_SERIES, {"key": key, "new_generation": generation}).rowcount == 0:
            row = dataclasses.asdict(series.record)
            self._connection.execute(SERIES.insert().values(generation=generation, **row))

    def series_of(self, study_key: str) -> list[Series]:
        rows = self._connection.execute(
            sa.select(SERIES).where(SERIES.c.study_key == study_key).order_by(SERIES.c.series_key)
        )
        return [
            Series(
                SeriesRecord(
                    row.series_key,
                    row.study_key,
                    row.routing,
                    row.vault_version,
                    row.described,
                    row.modality,
                    row.number,
                ),
                row.generation,
            )
            for row in rows
        ]

    def next_due(
        self, quiet_since: float, broken_since: float, skip: Collection[str] = (), *, not_after: float = math.inf
    ) -> str | None:
        columns = STUDIES.c
        at_hand = sa.exists().where(RECEPTIONS.c.study_key == columns.study_key, RECEPTIONS.c.at_hand)
        quiet = (columns.received_at <= quiet_since) & ~columns.broken & ~at_hand
        query = (
            sa.select(columns.study_key)
            .where(
                columns.waiting,
                columns.told | quiet | (columns.received_at <= broken_since) | (columns.received_at > not_after),
            )
            .where(columns.study_key.not_in(skip))
            .order_by(STUDIES.c.received_at)
        )
        return self._connection.execute(query.limit(1)).scalar()

    def tell_all(self) -> None:
        self._connection.execute(STUDIES.update().where(STUDIES.c.waiting).values(told=True))

    def forget(self, study_key: str) -> None:
        of_study = sa.select(INSTANCES.c.sop_key).where(INSTANCES.c.study_key == study_key)
        self._connection.execute(DIFFERENCES.delete().where(DIFFERENCES.c.sop_key.in_(of_study)))
        for table in (CASES, HELD, INSTANCES, SERIES, STUDIES):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))


class SqlInstances:
    """`ports.Instances`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, sop_key: str) -> Instance | None:
        row = self._connection.execute(_GET_INSTANCE, {"key": sop_key}).first()
        return None if row is None else stored_instance(row)

    def add(self, instance: Instance, generation: int) -> None:
        row = {
            "sop_key": instance.sop_key,
            "series_key": instance.series_key,
            "study_key": instance.study_key,
            "header": header_to_json(instance.header),
            "generation": generation,
            "changes": instance.changes,
        }
        self._connection.execute(_ADD_INSTANCE, row | reference_to_row(instance.object))

    def of_study(self, study_key: str) -> list[tuple[int, Instance]]:
        query = sa.select(INSTANCES).where(INSTANCES.c.study_key == study_key).order_by(INSTANCES.c.generation)
        return [(row.generation, stored_instance(row)) for row in self._connection.execute(query)]

    def note_difference(self, sop_key: str, keywords: Sequence[str], at: float) -> None:
        self._connection.execute(DIFFERENCES.insert().values(sop_key=sop_key, keywords=json.dumps(keywords), at=at))


class SqlReceptions:
    """`ports.Receptions`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def open(self, reception_id: str, study_key: str) -> None:
        left = RECEPTIONS.update().where(RECEPTIONS.c.reception_id == reception_id)
        self._connection.execute(left.values(at_hand=False))
        row = {"reception_id": reception_id, "study_key": study_key, "at_hand": True}
        upsert(self._connection, RECEPTIONS, row, keys=("reception_id", "study_key"))

    def mark_broken(self, reception_id: str) -> None:
        carried = sa.select(RECEPTIONS.c.study_key).where(RECEPTIONS.c.reception_id == reception_id)
        self._connection.execute(STUDIES.update().where(STUDIES.c.study_key.in_(carried)).values(broken=True))

    def close(self, reception_id: str) -> None:
        self._connection.execute(RECEPTIONS.delete().where(RECEPTIONS.c.reception_id == reception_id))

    def studies(self) -> list[str]:
        """Return the studies with an open reception."""
        return list(self._connection.execute(sa.select(RECEPTIONS.c.study_key).distinct()).scalars())

    def ids(self) -> list[str]:
        """Return the open receptions."""
        return list(self._connection.execute(sa.select(RECEPTIONS.c.reception_id).distinct()).scalars())


class SqlHeld:
    """`ports.Held`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, held_id: str) -> HeldInstance | None:
        row = self._connection.execute(
            sa.select(HELD).where(HELD.c.held_id == held_id, sa.not_(HELD.c.released))
        ).first()
        if row is None:
            return None
        return HeldInstance(
            held_id=row.held_id,
            reason=RejectReason(row.reason),
            detail=row.detail,
            sop_key=row.sop_key,
            series_key=row.series_key,
            study_key=row.study_key,
            object=_reference(row),
            header=header_from_json(row.header),
            vault_version=row.vault_version,
            changes=row.changes,
            proposed_by=row.proposed_by,
        )

    def add(self, held: HeldInstance, at: float) -> None:
        row = {
            "held_id": held.held_id,
            "reason": held.reason.value,
            "detail": held.detail,
            "sop_key": held.sop_key,
            "series_key": held.series_key,
            "study_key": held.study_key,
            "header": header_to_json(held.header),
            "released": False,
            "at": at,
            "vault_version": held.vault_version,
            "changes": held.changes,
        } | reference_to_row(held.object)
        upsert(self._connection, HELD, row, keys=("held_id",), update=False)

    def object_keys(self, study_key: str) -> list[str]:
        """Return the keys of the objects held of a study."""
        query = sa.select(HELD.c.object_key).where(HELD.c.study_key == study_key, sa.not_(HELD.c.released))
        return list(self._connection.execute(query).scalars())

    def propose(self, held_id: str, by: str, at: float) -> None:
        row = HELD.update().where(HELD.c.held_id == held_id)
        self._connection.execute(row.values(proposed_by=by, proposed_at=at))

    def release(self, held_id: str) -> None:
        self._connection.execute(HELD.update().where(HELD.c.held_id == held_id).values(released=True))


class SqlRefusals:
    """`ports.Refusals`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def note(self, refusal: Refusal, at: float) -> None:
        same = (
            (REFUSALS.c.study_key == refusal.study_key)
            & (REFUSALS.c.series_key == refusal.series_key)
            & (REFUSALS.c.reason == refusal.reason.value)
            & sa.not_(REFUSALS.c.said)
        )
        more = REFUSALS.c.instance_count + refusal.instance_count
        changed = self._connection.execute(
            REFUSALS.update().where(same).values(instance_count=more, at=at, hurried=False)
        )
        if changed.rowcount == 0:
            row = dataclasses.asdict(refusal) | {"reason": refusal.reason.value}
            self._connection.execute(REFUSALS.insert().values(rejection_id=str(uuid.uuid4()), said=False, at=at, **row))

    def unsaid(self, study_key: str) -> list[NotedRefusal]:
        query = sa.select(REFUSALS).where(REFUSALS.c.study_key == study_key, sa.not_(REFUSALS.c.said))
        return [noted_refusal(row) for row in self._connection.execute(query.order_by(REFUSALS.c.at))]

    def mark_said(self, study_key: str) -> None:
        self._connection.execute(
            REFUSALS.update().where(REFUSALS.c.study_key == study_key, sa.not_(REFUSALS.c.said)).values(said=True)
        )

    def next_due(self, quiet_since: float, *, not_after: float = math.inf) -> str | None:
        being_formed = sa.select(STUDIES.c.study_key).where(STUDIES.c.waiting)
        newest = sa.func.max(sa.case((REFUSALS.c.hurried, 0.0), else_=REFUSALS.c.at))
        query = (
            sa.select(REFUSALS.c.study_key)
            .where(sa.not_(REFUSALS.c.said), REFUSALS.c.study_key.not_in(being_formed))
            .group_by(REFUSALS.c.study_key)
            .having((newest <= quiet_since) | (newest > not_after))
        )
        return self._connection.execute(query.limit(1)).scalar()

    def hurry(self, study_key: str | None) -> None:
        statement = REFUSALS.update().where(sa.not_(REFUSALS.c.said))
        if study_key is not None:
            statement = statement.where(REFUSALS.c.study_key == study_key)
        self._connection.execute(statement.values(hurried=True))


def noted_refusal(row: Any) -> NotedRefusal:
    """Read a row of the table of refusals."""
    reason = RejectReason(row.reason)
    refusal = Refusal(row.study_key, row.series_key, reason, row.instance_count, row.detail)
    return NotedRefusal(row.rejection_id, refusal, row.said, row.at, row.hurried)
