"""Dataset versions: the same labels are the same version, whatever way they came; only edge cases of train weigh more."""

import dataclasses
import hashlib
import itertools
import json

import pytest

from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus, Split, digest_of
from trainer.domain.dataset import canonical, items_of, manifest_of
from trainer.domain.model import ApprovedLabel, TrainingCase

WEIGHT = 3.0


def labelled(
    number: int, split: Split = Split.TRAIN, arm: Arm | None = None, sequence: int = 1
) -> tuple[TrainingCase, ApprovedLabel]:
    case_id, study_key = f"case-{number}", f"study-{number}"
    volumes = (ObjectRef(f"ingest/{case_id}.nii", f"sha256:v{number}", 10),)
    mask = ObjectRef(f"labeling/{case_id}-{sequence}.nii", f"sha256:m{number}-{sequence}", 10)
    return (
        TrainingCase(case_id, study_key, "p", f"patient-{number}", split, volumes),
        ApprovedLabel(
            case_id,
            study_key,
            "p",
            f"label-{number}-{sequence}",
            mask,
            (SegmentStatus(1, SegmentState.ANNOTATED),),
            arm,
            sequence,
        ),
    )


def version(labels, flags=None, weight: float = WEIGHT) -> str:
    return digest_of(manifest_of(items_of(labels, flags or {}, weight)))


def test_the_order_of_arrival_does_not_matter() -> None:
    labels = [labelled(3), labelled(1, Split.VALIDATION), labelled(2, arm=Arm.MINED)]
    assert len({version(order) for order in itertools.permutations(labels)}) == 1
    assert [item.case_id for item in items_of(labels, {}, WEIGHT)] == ["case-1", "case-2", "case-3"]


def test_the_order_of_flags_does_not_matter() -> None:
    flags = [("case-1", Arm.MINED), ("case-2", Arm.CONTROL)]
    labels = [labelled(1), labelled(2)]
    assert version(labels, dict(flags)) == version(labels, dict(reversed(flags)))


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("another label version", [labelled(1, sequence=2), labelled(2)]),
        ("one more case", [labelled(1), labelled(2), labelled(3)]),
        ("one case less", [labelled(1)]),
        ("another split", [labelled(1, Split.TEST), labelled(2)]),
        ("another arm", [labelled(1, arm=Arm.CONTROL), labelled(2)]),
    ],
)
def test_other_content_is_another_version(what: str, other: list) -> None:
    assert version(other) != version([labelled(1), labelled(2)]), what


def test_another_weight_is_another_version_only_where_it_weighs() -> None:
    mined, plain = [labelled(1, arm=Arm.MINED)], [labelled(1)]
    assert version(mined, weight=2.0) != version(mined, weight=3.0)
    assert version(plain, weight=2.0) == version(plain, weight=3.0)


@pytest.mark.parametrize("split", list(Split))
@pytest.mark.parametrize("arm", [None, *Arm])
def test_only_edge_cases_of_the_train_split_weigh_more(split: Split, arm: Arm | None) -> None:
    (item,) = items_of([labelled(1, split, arm)], {}, WEIGHT)
    assert item.weight == (WEIGHT if split is Split.TRAIN and arm in (Arm.MINED, Arm.REPORTED) else 1.0)
    assert (item.split, item.arm) == (split, arm)


@pytest.mark.parametrize(
    ("of_label", "of_flag", "counts"),
    [
        (None, Arm.MINED, Arm.MINED),
        (None, None, None),
        (Arm.CONTROL, Arm.MINED, Arm.CONTROL),  # what the label was read for, not what the case was flagged for since
        (Arm.MINED, None, Arm.MINED),
    ],
)
def test_a_flag_stands_in_where_the_label_names_no_arm(of_label, of_flag, counts) -> None:
    (item,) = items_of([labelled(1, arm=of_label)], {"case-1": of_flag} if of_flag else {}, WEIGHT)
    assert item.arm is counts


def test_an_item_names_everything_it_consists_of() -> None:
    (item,) = items_of([labelled(4, Split.TEST)], {}, WEIGHT)
    assert dataclasses.asdict(item) == {
        "case_id": "case-4",
        "study_key": "study-4",
        "image_digest": "sha256:v4",
        "label_version_id": "label-4-1",
        "label_digest": "sha256:m4-1",
        "weight": 1.0,
        "split": "test",
        "arm": None,
    }


def test_the_manifest_is_canonical_json_and_its_digest_the_version() -> None:
    manifest = manifest_of(items_of([labelled(1, arm=Arm.MINED)], {}, WEIGHT))
    content = json.loads(manifest)
    assert content["format"] == 1 and content["items"][0]["arm"] == "mined"
    assert canonical(content) == manifest
    assert digest_of(manifest) == "sha256:" + hashlib.sha256(manifest).hexdigest()


def test_canonical_json_knows_one_form() -> None:
    assert canonical({"b": [1, 2.5], "a": "ü"}) == b'{"a":"\\u00fc","b":[1,2.5]}'
