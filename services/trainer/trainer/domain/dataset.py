"""Dataset versions: which labels, with which weight, addressed by their content."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from radloop.references import Arm, Split
from trainer.domain.messages import DatasetItem
from trainer.domain.model import ApprovedLabel, TrainingCase

EDGE_ARMS = (Arm.MINED, Arm.REPORTED)
"""Arms whose cases the model fails on: they weigh more in training."""


def canonical(content: Any) -> bytes:
    """Write JSON in the one form digests are taken of: sorted keys, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def items_of(
    labels: Iterable[tuple[TrainingCase, ApprovedLabel]], flags: Mapping[str, Arm], edge_case_weight: float
) -> tuple[DatasetItem, ...]:
    """List what a dataset version consists of, sorted by case, so that the same labels give the same version.

    Parameters
    ----------
    labels
        Each labelled case with its newest approved label.
    flags
        Arm of each flagged case; stands in where a label names none.
    edge_case_weight
        Sampling weight of an edge case of the train split; everything else weighs 1.
    """
    items = []
    for case, label in labels:
        arm = label.arm or flags.get(case.case_id)
        is_edge_case = case.split is Split.TRAIN and arm in EDGE_ARMS
        items.append(
            DatasetItem(
                case_id=case.case_id,
                study_key=case.study_key,
                image_digest=case.volumes[0].digest,
                label_version_id=label.label_version_id,
                label_digest=label.mask.digest,
                weight=edge_case_weight if is_edge_case else 1.0,
                split=case.split,
                arm=arm,
            )
        )
    return tuple(sorted(items, key=lambda item: item.case_id))


def manifest_of(items: Iterable[DatasetItem]) -> bytes:
    """Return the canonical JSON of a dataset version; its digest names the version."""
    return canonical({"format": 1, "items": [asdict(item) for item in items]})
