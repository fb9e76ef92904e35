"""What a sweep must leave, and what retention lets go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from inference.adapters.references import needed, retention
from inference.adapters.sql import InferenceSqlUnitOfWork
from inference.adapters.wire import WIRE
from inference.domain.model import Case, Model, ModelState, Prediction, PredictionState
from radloop.objects import StoredObject
from radloop.objects.sweep import Sweeper
from radloop.references import ObjectRef
from radloop.sql import Database
from radloop.testing import FakeObjects

CASE = Case("case", "study", "p", ())
WAITING = Prediction.of(CASE, "sha256:a", "sha256:s", urgent=False)


def place(prediction, name):
    return f"inference/study/{prediction.prediction_id}/{name}"


MADE = replace(Prediction.of(CASE, "sha256:b", "sha256:s", urgent=False), state=PredictionState.MADE)
MASK, MAP, EMBEDDING = (place(MADE, name) for name in ("mask-1.nii", "uncertainty-2.nii", "embedding-3.npy"))
BUNDLE = "inference/models/b.zip"


@pytest.fixture
def begin(database_url):
    database = Database(database_url, "inference")
    database.migrate("inference.adapters.migrations")

    def begin(read_only=False):
        return InferenceSqlUnitOfWork(database, WIRE, source="/site-1/inference", read_only=read_only)

    with begin() as uow:
        uow.cases.add(CASE)
        uow.models.save(Model("p", "sha256:b", "m", ref(BUNDLE), ModelState.SERVING, ""))
        uow.predictions.save(WAITING)
        uow.predictions.save(replace(MADE, mask=ref(MASK), uncertainty=ref(MAP), embedding=ref(EMBEDDING)))
        uow.commit()
    yield begin
    database.close()


def ref(key):
    return ObjectRef(key, "sha256:0", 1)


def test_what_rows_refer_to_and_what_is_being_made_is_needed(begin):
    being_made = place(WAITING, "mask-9.nii")
    orphans = [place(MADE, "mask-0.nii"), "inference/study/unknown/mask-1.nii", "inference/models/other.zip"]
    with begin(read_only=True) as uow:
        assert needed(uow, [MASK, MAP, EMBEDDING, BUNDLE, being_made, *orphans]) == {
            MASK,
            MAP,
            EMBEDDING,
            BUNDLE,
            being_made,
        }
        assert needed(uow, [MASK]) == {MASK} and needed(uow, []) == set()


def test_maps_and_embeddings_expire_and_masks_do_not():
    now = datetime.now(UTC)
    old, young = now - timedelta(days=31), now - timedelta(days=29)
    listed = [StoredObject(key, 1, old) for key in (MASK, MAP, EMBEDDING, BUNDLE)]
    by_age = retention(30)
    assert by_age.expired(listed, now) == {MAP, EMBEDDING}
    assert by_age.expired([replace(each, stored_at=young) for each in listed], now) == set()
    assert retention(0) is None


def test_a_sweep_with_retention_leaves_a_prediction_with_its_mask_and_scores(begin):
    objects = FakeObjects()
    for key in (MASK, MAP, EMBEDDING, BUNDLE):
        objects.put(key, b"x")
        objects.stored_at[key] -= timedelta(days=31)
    swept = Sweeper("inference", objects, begin, needed, retention(30)).sweep("anna", timedelta(days=1))
    assert (swept.removed, swept.kept) == (2, 2) and objects.keys("") == sorted([MASK, BUNDLE])
    with begin(read_only=True) as uow:
        prediction = uow.predictions.get(MADE.prediction_id)
        assert (prediction.mask, prediction.uncertainty, prediction.embedding) == (ref(MASK), None, None)
        audited = uow.connection.exec_driver_sql("SELECT subject, action, target FROM audit ORDER BY target").all()
        assert [tuple(row) for row in audited] == [("anna", "object-swept", key) for key in sorted([MAP, EMBEDDING])]
