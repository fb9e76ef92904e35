"""From a checked label to a label version: its identity, its object, and what is answered once it is made."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from labeling.adapters.api import Api
from labeling.adapters.forms import form_schema
from labeling.adapters.views import label_view
from labeling.domain.messages import BeginUpload
from labeling.domain.model import Case, identity
from radloop.references import ObjectRef, SegmentStatus

READER_FORM = form_schema(
    ("lease_id",),
    {
        "started_from_model": {"type": "boolean", "default": False},
        "active_time_s": {"type": "number", "default": 0, "description": "Seconds you worked on it."},
    },
)
"""The form of who works on a task."""


class LabelMade(BaseModel):
    """The label version that was made; the same request again returns the same."""

    label_version_id: str
    case_id: str
    task_id: str
    segments: list[dict[str, Any]]
    digest: str


def label_id(mask: bytes, segments: tuple[SegmentStatus, ...], *why: str) -> str:
    """Return the id of a label version: made of what it is and of the lease or case it is for."""
    states = json.dumps([(status.value, status.state) for status in segments])
    return identity("label", *why, hashlib.sha256(mask).hexdigest(), states)


def stored(api: Api, mask: bytes, label_version_id: str, case: Case) -> ObjectRef:
    """Announce the object, then write it: one that no label comes to refer to is found and deleted."""
    key = f"labeling/{case.study_key}/{case.case_id}/{label_version_id}.nii"
    api.dispatcher.dispatch(BeginUpload(key, case.study_key))
    return api.objects.put(key, mask)


def made(api: Api, label_version_id: str) -> bool:
    """Whether the label version is there."""
    with api.unit_of_work(read_only=True) as uow:
        return uow.labels.get(label_version_id) is not None


def label_made(api: Api, label_version_id: str) -> LabelMade:
    """Return what is answered once a label version is made."""
    with api.unit_of_work(read_only=True) as uow:
        label = uow.labels.get(label_version_id)
    return LabelMade(
        label_version_id=label.label_version_id,
        case_id=label.case_id,
        task_id=label.task_id,
        segments=label_view(label).segments,
        digest=label.mask.digest,
    )
