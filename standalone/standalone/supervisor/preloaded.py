"""Imported by the process that the platform's Python programs are forked from: what most of them need, read once for all.

A service's own modules are not among them: what they do while they are imported, such as naming their metrics, is theirs.
"""

import gc
import os

# How many threads BLAS has is settled when numpy is imported, so before any of what follows.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import httpx  # noqa: F401
import nibabel  # noqa: F401
import pydicom.pixels  # noqa: F401
import scipy.ndimage  # noqa: F401
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite  # noqa: F401
import uvicorn  # noqa: F401

import radloop.imaging
import radloop.service  # noqa: F401
from standalone.supervisor.tether import end_with_parent

# What is here now is here for good: a collector that never looks at it leaves its pages shared with all who are forked.
gc.freeze()
# A launcher that is gone before this is seen by the fork server itself, which ends with the last of who may ask it.
end_with_parent()
