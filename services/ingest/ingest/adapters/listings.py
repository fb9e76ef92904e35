"""Pages of what came, for the operator: newest first, with how much came of each study, why it waits and what was refused."""

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from ingest.adapters.queries import case_summary
from ingest.adapters.sql_cases import stored_case
from ingest.adapters.tables import (
    CASES,
    DIFFERENCES,
    HELD,
    INSTANCES,
    RECEPTIONS,
    REFUSALS,
    SERIES,
    STUDIES,
    TOMBSTONES,
)
from radloop.errors import NotFound
from radloop.sql import Database

_ORDERS = {
    "newest": (STUDIES.c.received_at.desc(), STUDIES.c.study_key),
    "key": (STUDIES.c.study_key,),
}
ORDERS = tuple(_ORDERS)

_REJECTIONS = sa.select(
    REFUSALS.c.rejection_id,
    REFUSALS.c.study_key,
    REFUSALS.c.series_key,
    REFUSALS.c.reason,
    REFUSALS.c.detail,
    REFUSALS.c.instance_count,
    REFUSALS.c.said,
    REFUSALS.c.at,
).order_by(REFUSALS.c.at.desc(), REFUSALS.c.rejection_id)
_QUARANTINE = sa.select(
    HELD.c.held_id.label("id"),
    HELD.c.reason,
    HELD.c.detail,
    HELD.c.sop_key,
    HELD.c.series_key,
    HELD.c.study_key,
    HELD.c.at,
    HELD.c.proposed_by,
    HELD.c.proposed_at,
).order_by(HELD.c.at, HELD.c.held_id)


class Listings:
    """Pages over the index.

    Parameters
    ----------
    database : Database
    quiet_s, broken_quiet_s : float
        As `Forming` has them.
    failing : callable
        Returns the studies whose forming failed and is to be tried again.
    """

    def __init__(
        self, database: Database, quiet_s: float, broken_quiet_s: float, failing: Callable[[], Collection[str]]
    ) -> None:
        self._database, self._failing = database, failing
        self._quiet_s, self._broken_quiet_s = quiet_s, broken_quiet_s

    def studies(
        self, *, states: Sequence[str], search: str, order: str, after: str, offset: int, limit: int
    ) -> dict[str, Any]:
        """Return a page of studies.

        Parameters
        ----------
        states : sequence of str
            None: all.
        search : str
            Beginning of the study key.
        order : str
            ``newest`` or ``key``.
        after : str
            Only keys behind this one, for who pages by key.
        offset, limit : int

        Returns
        -------
        dict
            ``total`` without regard to the page, and ``studies``.
        """
        columns = STUDIES.c
        where = [columns.study_key.startswith(search, autoescape=True)] if search else []
        if states:
            where.append(columns.state.in_(states))
        at_hand = sa.exists().where(RECEPTIONS.c.study_key == columns.study_key, RECEPTIONS.c.at_hand)
        query = (
            sa.select(STUDIES, at_hand.label("at_hand"))
            .where(*where, columns.study_key > after)
            .order_by(*_ORDERS[order])
            .offset(offset)
            .limit(limit)
        )
        with self._database.begin(read_only=True) as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(STUDIES).where(*where)).scalar_one()
            rows = connection.execute(query).all()
            came = what_came(connection, [row.study_key for row in rows])
        return {"total": total, "studies": [self._study(row) | came[row.study_key] for row in rows]}

    def study(self, study_key: str) -> dict[str, Any]:
        """Return all that is known of a study, without its identity: what the list says, and each thing by itself.

        Raises
        ------
        NotFound
            When it is not here (any more).
        """
        found = self.studies(states=(), search=study_key, order="key", after="", offset=0, limit=1)["studies"]
        if not found or found[0]["study_key"] != study_key:
            raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
        series = (
            sa.select(SERIES.c.series_key, sa.func.count(INSTANCES.c.sop_key).label("instances"))
            .outerjoin(INSTANCES, INSTANCES.c.series_key == SERIES.c.series_key)
            .where(SERIES.c.study_key == study_key)
            .group_by(SERIES.c.series_key)
        )
        differences = (
            sa.select(DIFFERENCES.c.sop_key, DIFFERENCES.c.keywords, DIFFERENCES.c.at)
            .join(INSTANCES, INSTANCES.c.sop_key == DIFFERENCES.c.sop_key)
            .where(INSTANCES.c.study_key == study_key)
        )
        cases = sa.select(CASES).where(CASES.c.study_key == study_key)
        with self._database.begin(read_only=True) as connection:

            def rows(query: sa.Select[Any]) -> list[dict[str, Any]]:
                return [dict(row) for row in connection.execute(query).mappings()]

            return found[0] | {
                "series": rows(series),
                "cases": [
                    case_summary(stored_case(row))
                    for row in connection.execute(cases.order_by(CASES.c.project_id, CASES.c.series_key, CASES.c.phase))
                ],
                "rejections": rows(_REJECTIONS.where(REFUSALS.c.study_key == study_key)),
                "quarantine": rows(_QUARANTINE.where(HELD.c.study_key == study_key, sa.not_(HELD.c.released))),
                "differences": [row | {"keywords": json.loads(row["keywords"])} for row in rows(differences)],
            }

    def rejections(self, *, search: str, reason: str | None, offset: int, limit: int) -> dict[str, Any]:
        """Return a page of what was refused and why, newest first; `at` is when the last instance was, 0 if unknown."""
        where = [REFUSALS.c.study_key.startswith(search, autoescape=True)] if search else []
        if reason:
            where.append(REFUSALS.c.reason == reason)
        return self._page("rejections", REFUSALS, _REJECTIONS, where, offset, limit)

    def quarantine(self, *, search: str, offset: int, limit: int) -> dict[str, Any]:
        """Return a page of what waits for a person, the longest waiting first."""
        where = [sa.not_(HELD.c.released)]
        if search:
            where.append(HELD.c.study_key.startswith(search, autoescape=True))
        return self._page("quarantine", HELD, _QUARANTINE, where, offset, limit)

    def withdrawn(self, *, search: str, offset: int, limit: int) -> dict[str, Any]:
        """Return a page of withdrawn studies, newest first; `emptied` once their objects are deleted."""
        where = [TOMBSTONES.c.study_key.startswith(search, autoescape=True)] if search else []
        query = sa.select(
            TOMBSTONES.c.study_key, TOMBSTONES.c.reason, TOMBSTONES.c.at, TOMBSTONES.c.empty.label("emptied")
        ).order_by(TOMBSTONES.c.at.desc(), TOMBSTONES.c.study_key)
        return self._page("withdrawn", TOMBSTONES, query, where, offset, limit)

    def _page(
        self, name: str, table: sa.Table, query: sa.Select[Any], where: Sequence[Any], offset: int, limit: int
    ) -> dict[str, Any]:
        with self._database.begin(read_only=True) as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()
            rows = connection.execute(query.where(*where).offset(offset).limit(limit)).mappings()
            return {"total": total, name: [dict(row) for row in rows]}

    def _study(self, row: Any) -> dict[str, Any]:
        reason = self._why_incomplete(row)
        waits = {"quiet-time": self._quiet_s, "sending": self._broken_quiet_s, "broken-off": self._broken_quiet_s}
        return {
            "study_key": row.study_key,
            "state": row.state,
            "waiting": row.waiting,
            "received_at": row.received_at,
            "incomplete": reason,
            "formed_after": row.received_at + waits[reason] if reason in waits else None,
        }

    def _why_incomplete(self, row: Any) -> str | None:
        if not row.waiting:
            return None
        if row.study_key in self._failing():
            return "forming-failed"
        if row.told or row.again:
            return "being-formed"
        if row.at_hand:
            return "sending"
        return "broken-off" if row.broken else "quiet-time"


def what_came(connection: sa.Connection, study_keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Count what belongs to each of the studies of one page."""
    found: dict[str, dict[str, Any]] = {
        key: {
            "instances": 0,
            "series": 0,
            "cases": 0,
            "held": 0,
            "rejections": 0,
            "rejected_instances": 0,
            "reasons": [],
        }
        for key in study_keys
    }
    counted = {
        "instances": (INSTANCES, ()),
        "series": (SERIES, ()),
        "cases": (CASES, ()),
        "held": (HELD, (sa.not_(HELD.c.released),)),
    }
    for name, (table, where) in counted.items():
        query = (
            sa.select(table.c.study_key, sa.func.count().label("number"))
            .where(table.c.study_key.in_(study_keys), *where)
            .group_by(table.c.study_key)
        )
        for row in connection.execute(query):
            found[row.study_key][name] = row.number
    query = (
        sa.select(
            REFUSALS.c.study_key,
            REFUSALS.c.reason,
            sa.func.count().label("number"),
            sa.func.sum(REFUSALS.c.instance_count).label("instances"),
        )
        .where(REFUSALS.c.study_key.in_(study_keys))
        .group_by(REFUSALS.c.study_key, REFUSALS.c.reason)
        .order_by(REFUSALS.c.reason)
    )
    for row in connection.execute(query):
        mine = found[row.study_key]
        mine["rejections"] += row.number
        mine["rejected_instances"] += row.instances
        mine["reasons"].append(row.reason)
    return found
