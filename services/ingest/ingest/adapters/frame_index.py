"""What must be looked up before frames go out: where the instance is, and whose projects its series is in.

Asked for every frame a viewer shows, hence apart from `queries`: one short transaction by primary key, always, so that a study
that is withdrawn is gone with the next request. Only what cannot change is kept: the members of a project's version.
"""

from typing import Any

import sqlalchemy as sa

from ingest.adapters.sql_cases import SqlProjects
from ingest.adapters.sql_studies import stored_instance
from ingest.adapters.tables import CASES, INSTANCES, PROJECTS, TOMBSTONES
from ingest.domain.messages import Member
from ingest.domain.model import Instance
from radloop.auth import EVERY_PROJECT, Principal
from radloop.errors import Forbidden, NotFound, PermanentError
from radloop.objects import Objects
from radloop.sql import Database

_STUDY, _SERIES, _KEY = sa.bindparam("study"), sa.bindparam("series"), sa.bindparam("key")
# Building a statement costs as much as running it.
_ONE = sa.select(INSTANCES).where(INSTANCES.c.sop_key == _KEY)
_ALL = sa.select(INSTANCES).where(INSTANCES.c.study_key == _STUDY, INSTANCES.c.series_key == _SERIES)
_OF_STUDY = sa.select(INSTANCES).where(INSTANCES.c.study_key == _STUDY)
_TOMBSTONE = sa.select(TOMBSTONES.c.study_key).where(TOMBSTONES.c.study_key == _STUDY)
_IN_PROJECTS = (
    sa.select(CASES.c.project_id, PROJECTS.c.project_version)
    .join(PROJECTS, PROJECTS.c.project_id == CASES.c.project_id)
    .where(CASES.c.series_key == _SERIES)
    .distinct()
)


class Gone(PermanentError):
    """It was here and has been withdrawn: 410."""


class FrameIndex:
    """Finds instances for whoever may see them.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._members: dict[str, tuple[int, tuple[Member, ...]]] = {}

    def instance(self, principal: Principal, study: str, series: str, sop_key: str) -> Instance:
        """Return one instance.

        Raises
        ------
        Gone, NotFound, Forbidden
            As `series`.
        """
        with self._database.begin(read_only=True) as connection:
            row = connection.execute(_ONE, {"key": sop_key}).first()
            if row is None or (row.study_key, row.series_key) != (study, series):
                raise _absent(connection, study)
            self._require(connection, principal, series)
        return stored_instance(row)

    def series(self, principal: Principal, study: str, series: str) -> list[Instance]:
        """Return the instances of a series, in order of arrival.

        Raises
        ------
        Gone
            The study was withdrawn.
        NotFound
            There is no such series in this study.
        Forbidden
            The person has no role at the site, nor in a project that has a case of the series.
        """
        with self._database.begin(read_only=True) as connection:
            rows = connection.execute(_ALL.order_by(INSTANCES.c.generation), {"study": study, "series": series}).all()
            if not rows:
                raise _absent(connection, study)
            self._require(connection, principal, series)
        return [stored_instance(row) for row in rows]

    def study(self, principal: Principal, study: str) -> list[Instance]:
        """Return the instances of a study, series by series, of all series that a person may see.

        Raises
        ------
        Gone, NotFound, Forbidden
            As `series`; Forbidden when there are instances and none may be seen.
        """
        with self._database.begin(read_only=True) as connection:
            order = (INSTANCES.c.series_key, INSTANCES.c.generation)
            rows = connection.execute(_OF_STUDY.order_by(*order), {"study": study}).all()
            if not rows:
                raise _absent(connection, study)
            allowed, refused = set(), None
            for series in {row.series_key for row in rows}:
                try:
                    self._require(connection, principal, series)
                    allowed.add(series)
                except Forbidden as error:
                    refused = error
            if not allowed and refused is not None:
                raise refused
        return [stored_instance(row) for row in rows if row.series_key in allowed]

    def read(self, objects: Objects, instance: Instance) -> bytes:
        """Return the stored file of an instance that was found.

        Raises
        ------
        Gone
            Its study was withdrawn between the look at the index and this one.
        """
        try:
            return objects.get(instance.object)
        except NotFound:
            if self.gone(instance.study_key):
                raise withdrawn() from None
            raise

    def gone(self, study: str) -> bool:
        """Whether a study was withdrawn."""
        with self._database.begin(read_only=True) as connection:
            return connection.execute(_TOMBSTONE, {"study": study}).first() is not None

    def _require(self, connection: sa.Connection, principal: Principal, series: str) -> None:
        if principal.roles_in(EVERY_PROJECT):
            return
        found = connection.execute(_IN_PROJECTS, {"series": series}).all()
        if any(principal.roles_in(row.project_id) for row in found):
            return
        if any(member.subject == principal.subject for row in found for member in self._members_of(connection, row)):
            return
        raise Forbidden(
            "forbidden",
            expected="a role in a project that has a case of this series",
            got="none",
            do="ask the project's lead or the site's administrator for the role",
        )

    def _members_of(self, connection: sa.Connection, row: Any) -> tuple[Member, ...]:
        version, members = self._members.get(row.project_id, (0, ()))
        if version != row.project_version:
            project = SqlProjects(connection).get(row.project_id)
            members = project.members if project else ()
            self._members[row.project_id] = (row.project_version, members)
        return members


def _absent(connection: sa.Connection, study: str) -> PermanentError:
    if connection.execute(_TOMBSTONE, {"study": study}).first() is not None:
        return withdrawn()
    return NotFound(
        "instance-unknown", expected="study, series and instance as a case's manifest names them", got="others"
    )


def withdrawn() -> Gone:
    """Return the error of a study that was withdrawn."""
    return Gone(
        "study-withdrawn",
        expected="a study that was not withdrawn",
        got="one that was",
        do="close the case: its task has been cancelled",
    )
