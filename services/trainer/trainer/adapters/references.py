"""Which stored objects the service still needs, for the sweep."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from radloop.objects.sweep import part_of
from trainer.adapters import tables
from trainer.adapters.run_files import LOGS
from trainer.domain.model import UNFINISHED


def needed(uow: Any, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that are a dataset version's manifest, a run's model or log, and all of projects that train."""
    connection: sa.Connection = uow.connection
    digests = {key: f"sha256:{part_of(key, 3).partition('.')[0]}" for key in keys}
    wanted = list(set(digests.values()))
    runs, datasets = tables.runs.c, tables.datasets.c
    known = set(connection.execute(sa.select(datasets.digest).where(datasets.digest.in_(wanted))).scalars())
    known |= set(connection.execute(sa.select(runs.model_digest).where(runs.model_digest.in_(wanted))).scalars())
    unfinished = runs.state.in_([state.value for state in UNFINISHED])
    training = set(connection.execute(sa.select(runs.project_id).where(unfinished).distinct()).scalars())
    return {
        key
        for key, digest in digests.items()
        if digest in known or part_of(key, 1) in training or (part_of(key, 2), part_of(key, 4)) == ("runs", LOGS)
    }
