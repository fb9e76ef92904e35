"""Alembic's revisions of one service, run in a transaction of ours."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from radloop.errors import PermanentError


def migrate(connection: sa.Connection, versions: Path, service: str, to: str) -> None:
    """Bring a schema up to a revision.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction, which the caller commits.
    versions : Path
        Folder of the revisions.
    service : str
        Whose they are, for the error.
    to : str
        Revision to stop at, or ``head``.

    Raises
    ------
    PermanentError
        ``database-too-new``: the database was written by a newer release.
    """
    script = ScriptDirectory(str(versions.parent), version_locations=[str(versions)])
    known = {revision.revision for revision in script.walk_revisions()}

    def upgrade(revision: Any, context: Any) -> Any:
        for current in revision:
            if current not in known:
                raise PermanentError(
                    "database-too-new",
                    expected=f"a revision of {service} up to {script.get_current_head()}",
                    got=str(current),
                    do="start the release that wrote this database, or a newer one",
                )
        return script._upgrade_revs(to, revision)  # the call Alembic's own env.py makes

    context = MigrationContext.configure(connection, opts={"fn": upgrade, "script": script})
    with Operations.context(context):
        context.run_migrations()
