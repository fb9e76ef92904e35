"""What a sweep must leave of instances, quarantine and cases."""

import dataclasses
import json

import pytest

from ingest.adapters.references import needed
from ingest.adapters.sql import SqlIngestUnitOfWork
from ingest.adapters.tables import CASES, HELD, INSTANCES, RECEPTIONS, STUDIES
from ingest.adapters.wire import make_wire
from ingest.domain.model import FormedCase
from radloop.references import ObjectRef
from radloop.sql import Database


@pytest.fixture
def uow(database_url):
    database = Database(database_url, "ingest")
    database.migrate("ingest.adapters.migrations")
    with SqlIngestUnitOfWork(database, make_wire(), source="/site-1/ingest") as uow:
        yield uow
    database.close()


def row(table, **values):
    """Return a row with something in every column."""
    filler = {"VARCHAR": "x", "TEXT": "{}", "INTEGER": 1, "BIGINT": 1, "FLOAT": 1.0, "BOOLEAN": False}
    of_type = {column.name: filler[str(column.type).split("(")[0]] for column in table.columns}
    return table.insert().values(**of_type | values)


def keys_of(study):
    return {
        f"ingest/{study}/{name}" for name in ("instances/1.dcm", "held/2", "case/channel-0.nii", "case/manifest.json")
    }


def formed(study):
    ref = ObjectRef(f"ingest/{study}/case/manifest.json", "sha256:0", 1)
    volume = dataclasses.replace(ref, key=f"ingest/{study}/case/channel-0.nii")
    plain = {field.name: "" for field in dataclasses.fields(FormedCase)}
    lists = {"series_keys": ["1"], "shape": [1], "spacing_mm": [1], "affine_lps": [1]}
    objects = {"manifest": dataclasses.asdict(ref), "volumes": [dataclasses.asdict(volume)]}
    return json.dumps(plain | lists | objects)


def test_what_rows_refer_to_is_needed(uow):
    study, orphan = keys_of("s"), {"ingest/s/instances/9.dcm", "ingest/gone/instances/1.dcm"}
    uow.connection.execute(row(STUDIES, study_key="s", waiting=False))
    uow.connection.execute(row(INSTANCES, study_key="s", object_key="ingest/s/instances/1.dcm"))
    uow.connection.execute(row(HELD, study_key="s", object_key="ingest/s/held/2", released=False))
    uow.connection.execute(row(CASES, study_key="s", split="train", body=formed("s")))
    assert needed(uow, sorted(study | orphan)) == study


def test_what_was_released_is_not(uow):
    uow.connection.execute(row(HELD, study_key="s", object_key="ingest/s/held/2", released=True))
    assert needed(uow, ["ingest/s/held/2"]) == set()


@pytest.mark.parametrize("at_work", ["received", "formed"])
def test_nothing_of_a_study_goes_at_which_work_goes_on(uow, at_work):
    if at_work == "received":
        uow.connection.execute(row(RECEPTIONS, study_key="s"))
    else:
        uow.connection.execute(row(STUDIES, study_key="s", waiting=True))
    assert needed(uow, sorted(keys_of("s") | keys_of("t"))) == keys_of("s")
