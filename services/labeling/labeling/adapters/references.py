"""Which stored objects the service still needs, for the sweep."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from labeling.adapters import tables


def needed(uow: Any, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that a label refers to, and those announced: the upload sweep looks after them."""
    connection: sa.Connection = uow.connection
    labels, uploads = tables.labels.c.mask_key, tables.uploads.c.key
    found = set(connection.execute(sa.select(labels).where(labels.in_(keys))).scalars())
    return found | set(connection.execute(sa.select(uploads).where(uploads.in_(keys))).scalars())
