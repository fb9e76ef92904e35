"""What an older release stored means the same after the upgrade."""

import sqlalchemy as sa

from control_plane.adapters.sql import SqlRegistry, SqlWishes
from control_plane.adapters.tables import deployments, wishes
from control_plane.domain.lineage import fulfilled, served_before
from radloop.sql import Database

PACKAGE = "control_plane.adapters.migrations"


def test_wishes_of_before_count_as_answered(empty_database_url):
    database = Database(empty_database_url, "control_plane")
    database.migrate(PACKAGE, to="0002")
    with database.begin() as connection:
        for number, digest in enumerate(("m1", "m2"), start=1):
            wish = {"kind": "promote", "wished_by": "dora", "wished_at": 0.0}
            connection.execute(sa.insert(wishes).values(project_id="p", sequence=number, model_digest=digest, **wish))
        for number, digest in enumerate(("m1", "m2", "m3"), start=1):
            said = {"outcome": "serving", "candidate_digest": digest, "previous_digest": ""}
            connection.execute(
                sa.text(
                    "INSERT INTO deployments (site, project_id, sequence, outcome, serving_digest, candidate_digest,"
                    " previous_digest) VALUES ('s', 'p', :number, :outcome, :digest, :candidate_digest, :previous_digest)"
                ),
                said | {"number": number, "digest": digest},
            )
    database.migrate(PACKAGE)
    with database.begin(read_only=True) as connection:
        registry, newest = SqlRegistry(connection), SqlWishes(connection).newest("p")
        assert connection.execute(sa.select(sa.func.count()).select_from(deployments)).scalar_one() == 3
        answered = registry.answered("p")
        assert answered == {"s": 2} and newest.sequence == 2
        # m3 serves since the wish for m2: going back leads to m2, not to what m2 replaced.
        assert served_before(fulfilled(registry.served("p"), answered, newest.sequence, newest.model_digest)) == "m2"
    database.close()
