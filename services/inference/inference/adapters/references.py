"""Which stored objects the service still needs, and how long maps and embeddings are kept; for the sweep."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from inference.adapters import tables as t
from inference.domain.model import PredictionState
from radloop.objects import StoredObject
from radloop.objects.sweep import Retention, part_of

_KEPT_FOR_A_TIME = ("uncertainty", "embedding")


def needed(uow: Any, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that models and predictions refer to, and all of predictions that are still to be made."""
    connection: sa.Connection = uow.connection
    found = {t.model_of(row).bundle.key for row in connection.execute(t.models.select())}
    folders: dict[str, set[str]] = {}
    for key in keys:
        folders.setdefault(part_of(key, 2), set()).add(key)
    mine = t.predictions.select().where(t.predictions.c.prediction_id.in_(list(folders)))
    for row in connection.execute(mine):
        prediction = t.prediction_of(row)
        if prediction.state is PredictionState.WAITING:
            found |= folders[prediction.prediction_id]
        found |= {ref.key for ref in (prediction.mask, prediction.uncertainty, prediction.embedding) if ref}
    return found.intersection(keys)


def retention(keep_maps_days: float) -> Retention | None:
    """Return what goes by age: uncertainty maps and embeddings, after so many days; None for 0, which keeps them."""
    if not keep_maps_days:
        return None
    return Retention(lambda objects, now: _expired(objects, now - timedelta(days=keep_maps_days)), _give_up)


def _expired(objects: Sequence[StoredObject], before: datetime) -> set[str]:
    return {each.key for each in objects if each.stored_at < before and _part(each.key) in _KEPT_FOR_A_TIME}


def _give_up(uow: Any, keys: Collection[str]) -> None:
    connection: sa.Connection = uow.connection
    for part in _KEPT_FOR_A_TIME:
        predictions = [part_of(key, 2) for key in keys if _part(key) == part]
        mine = t.predictions.c.prediction_id.in_(predictions)
        connection.execute(t.predictions.update().where(mine).values({part: ""}))


def _part(key: str) -> str:
    """Return what an object of a prediction is: the beginning of its name."""
    return part_of(key, 3).partition("-")[0]
