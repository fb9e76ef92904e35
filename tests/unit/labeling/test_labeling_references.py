"""What a sweep must leave of labels."""

import pytest

from labeling.adapters import tables
from labeling.adapters.references import needed
from labeling.adapters.sql import LabelingUnitOfWork
from labeling.adapters.wire import WIRE
from radloop.sql import Database

LABEL, ANNOUNCED, ORPHAN = (f"labeling/s/c/{name}.nii" for name in ("label", "announced", "orphan"))


@pytest.fixture
def uow(database_url):
    database = Database(database_url, "labeling")
    database.migrate("labeling.adapters.migrations")
    with LabelingUnitOfWork(database, WIRE, source="/test") as uow:
        yield uow
    database.close()


def test_labels_and_announced_uploads_are_needed(uow):
    filler = {"VARCHAR": "x", "TEXT": "{}", "BIGINT": 1, "INTEGER": 1, "FLOAT": 1.0, "BOOLEAN": False}
    columns = {column.name: filler[str(column.type).split("(")[0]] for column in tables.labels.columns}
    uow.connection.execute(tables.labels.insert().values(**columns | {"mask_key": LABEL}))
    uow.connection.execute(tables.uploads.insert().values(key=ANNOUNCED, study_key="s", begun_at=1.0))
    assert needed(uow, [LABEL, ANNOUNCED, ORPHAN]) == {LABEL, ANNOUNCED}
    assert needed(uow, []) == set()
