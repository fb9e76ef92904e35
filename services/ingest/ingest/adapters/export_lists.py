"""Pages of exports and disclosures, for the operator and the auditor."""

from typing import Any

import sqlalchemy as sa

from ingest.adapters.tables_exports import DISCLOSURES, EXPORTS
from ingest.domain.exports import ExportState
from radloop.errors import NotFound
from radloop.sql import Database


class ExportLists:
    """Views over what goes back.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def exports(self, *, case_id: str, state: ExportState | None, offset: int, limit: int) -> dict[str, Any]:
        """Return ``total`` and a page of exports, newest first."""
        query = sa.select(EXPORTS)
        if case_id:
            query = query.where(EXPORTS.c.case_id == case_id)
        if state is not None:
            query = query.where(EXPORTS.c.state == state.value)
        order = (EXPORTS.c.made_at.desc(), EXPORTS.c.export_id)
        return self._page("exports", query, order, offset, limit)

    def export(self, export_id: str) -> dict[str, Any]:
        """Return one export.

        Raises
        ------
        NotFound
            When there is none.
        """
        page = self._page("exports", sa.select(EXPORTS).where(EXPORTS.c.export_id == export_id), (), 0, 1)
        if not page["exports"]:
            raise NotFound("export-unknown", expected="the id of an export", got="another id")
        found: dict[str, Any] = page["exports"][0]
        return found

    def disclosures(self, *, offset: int, limit: int) -> dict[str, Any]:
        """Return ``total`` and a page of disclosures, newest first."""
        order = (DISCLOSURES.c.at.desc(), DISCLOSURES.c.disclosure_id)
        return self._page("disclosures", sa.select(DISCLOSURES), order, offset, limit)

    def _page(self, name: str, query: sa.Select[Any], order: Any, offset: int, limit: int) -> dict[str, Any]:
        with self._database.begin(read_only=True) as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar_one()
            rows = connection.execute(query.order_by(*order).offset(offset).limit(limit))
            return {"total": total, name: [dict(row._mapping) for row in rows]}
