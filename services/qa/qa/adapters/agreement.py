"""Agreement numbers for who looks at a review: any two of its labels, and each with the model's answer.

Computed when somebody asks, from masks that never change, so the results are kept in this process. What decides about labels
is computed elsewhere, once, by the checks (`adapters/worker.py`), with the same functions.
"""

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from qa.domain.agreement import SegmentAgreement, compare, mean_dice
from qa.domain.label import GEOMETRY_TOLERANCE_MM
from qa.domain.model import LabelVersion
from qa.ports import KnownPrediction, Masks
from radloop.errors import PermanentError
from radloop.imaging import Volume, same_geometry
from radloop.references import ObjectRef, SegmentStatus

PREDICTION = "prediction"
"""Stands for the model where a pair names two labels."""
_KEPT = 512

_Compared = tuple[SegmentAgreement, ...] | str
"""Numbers, or why there are none."""


class Agreements:
    """Compares masks, each pair once.

    Parameters
    ----------
    masks : Masks
    """

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], _Compared] = OrderedDict()

    def of(self, labels: Sequence[LabelVersion], prediction: KnownPrediction | None) -> list[dict[str, Any]]:
        """Compare every two labels, and every label with the prediction.

        Returns
        -------
        list of dict
            ``first`` and ``second`` (label versions; ``second`` may be ``prediction``), ``segments`` with ``segment``,
            ``dice`` (1 when both say there is none) and ``surface_distance_95_mm`` (None when only one of both has anything),
            ``mean_dice`` (None when nothing could be compared) and ``why_not`` (``geometry``, ``unreadable`` or empty).
        """
        pairs = [
            (one.label_version_id, other.label_version_id, one.mask, other.mask, one.segments, other.segments)
            for one, other in itertools.combinations(labels, 2)
        ]
        if prediction is not None:
            # A model says nothing of what it leaves out on purpose: it is compared where the label speaks.
            pairs += [
                (one.label_version_id, PREDICTION, one.mask, prediction.mask, one.segments, one.segments)
                for one in labels
            ]
        with self._lock:  # one at a time: a large case keeps a core busy for a second, and everybody asks for the same
            volumes: dict[str, Volume | None] = {}
            return [_as_dict(first, second, self._compared(volumes, *rest)) for first, second, *rest in pairs]

    def _compared(
        self,
        volumes: dict[str, Volume | None],
        first: ObjectRef,
        second: ObjectRef,
        first_statuses: tuple[SegmentStatus, ...],
        second_statuses: tuple[SegmentStatus, ...],
    ) -> _Compared:
        key = (first.digest, second.digest, first_statuses, second_statuses)
        if key not in self._known:
            one, other = self._load(volumes, first), self._load(volumes, second)
            if one is None or other is None:
                return "unreadable"
            self._known[key] = (
                compare(one, other, first_statuses, second_statuses)
                if same_geometry(one, other, GEOMETRY_TOLERANCE_MM)
                else "geometry"
            )
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    def _load(self, volumes: dict[str, Volume | None], ref: ObjectRef) -> Volume | None:
        if ref.key not in volumes:
            try:
                volumes[ref.key] = self._masks.load(ref)
            except PermanentError:
                volumes[ref.key] = None
        return volumes[ref.key]


def _as_dict(first: str, second: str, compared: _Compared) -> dict[str, Any]:
    segments = () if isinstance(compared, str) else compared
    return {
        "first": first,
        "second": second,
        "segments": [
            {
                "segment": item.segment,
                "dice": item.dice,
                "surface_distance_95_mm": (
                    item.surface_distance_95_mm if math.isfinite(item.surface_distance_95_mm) else None
                ),
            }
            for item in segments
        ],
        "mean_dice": mean_dice(segments) if segments else None,
        "why_not": compared if isinstance(compared, str) else "",
    }
