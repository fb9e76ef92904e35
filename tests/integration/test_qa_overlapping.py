"""`qa` with its real parts on a project whose segments overlap: a lesion in an organ, from label to approval."""

import numpy as np
import pytest

from radloop.auth import Role, pseudonym
from radloop.contracts.references.v1 import references_pb2
from radloop.imaging import segment_bit, segment_voxels
from tests.integration.qa_platform import SHAPE, Platform, label, mask, prediction, project, reason, study

pytestmark = pytest.mark.integration

ORGAN, LESION = 1, 2


@pytest.fixture
def platform(tmp_path, database_url, objects_url):
    platform = Platform(tmp_path, database_url, objects_url)
    yield platform
    platform.close()


def nested(lesion_from: int = 9) -> np.ndarray:
    """Segment bits: an organ of 8 x 16 x 8 voxels, and a lesion of 4 x 4 x 4 inside of it, from slice 9."""
    array = np.zeros(SHAPE, dtype=np.uint32)
    array[8:16, 6:22, 6:14] = segment_bit(ORGAN)
    array[10:14, 8:12, lesion_from : lesion_from + 4] |= segment_bit(LESION)
    return array


def flat() -> np.ndarray:
    """The same as a model says it that gives each voxel one segment."""
    array = (nested() != 0).astype(np.uint8)
    array[segment_voxels(nested(), LESION)] = LESION
    return array


def overlapping(share: float = 0.0):
    configured = project(share)
    configured.overlapping_segments = True
    configured.segments[1].always_present = False
    return configured


def read(platform: Platform, case: str, array: np.ndarray, **changed):
    """Return a label that says of both segments that they are annotated."""
    states = [references_pb2.SegmentStatus(value=value, state="SEGMENT_STATE_ANNOTATED") for value in (ORGAN, LESION)]
    return label(platform, case, array, segments=states, **changed)


def test_a_good_label_is_approved_with_the_dice_of_each_segment(platform):
    event = read(platform, "c", nested(), prediction_id="prediction-c")
    platform.hear(overlapping(), study("c"), prediction(platform, "c", nested(8)), event)
    (said,) = platform.said("label-approved")
    assert said.mask == event.mask and list(said.segments) == list(event.segments)
    # The organ is the same wherever its lesion is; the lesion is moved by one of four slices.
    assert {s.name: s.value for s in said.prediction_dice} == {"dice-segment-1": 1.0, "dice-segment-2": 0.75}
    assert not platform.said("label-returned")


def test_a_model_that_knows_no_overlap_is_compared_all_the_same(platform):
    event = read(platform, "c", nested(), prediction_id="prediction-c")
    platform.hear(overlapping(), study("c"), prediction(platform, "c", flat()), event)
    (said,) = platform.said("label-approved")
    # The organ has 1024 voxels, the model's lacks the lesion's 64.
    assert {s.name: s.value for s in said.prediction_dice} == {"dice-segment-1": 2 * 960 / 1984, "dice-segment-2": 1.0}


def test_faulty_labels_go_back(platform):
    stray = nested()
    stray[1:3, 1:3, 1:3] = segment_bit(ORGAN)
    exchanged = np.where(nested() & segment_bit(ORGAN), segment_bit(LESION), np.uint32(0))
    exchanged[segment_voxels(nested(), LESION)] |= segment_bit(ORGAN)
    without_lesion = nested() & segment_bit(ORGAN)
    faulty = {
        "stray": (stray, ["STRAY_COMPONENT"]),
        "exchanged": (exchanged, ["SWAPPED_SEGMENTS"]),
        "missing": (without_lesion, ["MISSING_SEGMENT"]),
        "displaced": (np.roll(nested(), 4, axis=0), ["DISPLACED"]),
        "label-map": (flat(), ["GEOMETRY"]),
    }
    platform.hear(overlapping())
    for case, (array, _) in faulty.items():
        platform.hear(study(case), prediction(platform, case, nested()), read(platform, case, array))
    backs = {back.case_id: list(back.reasons) for back in platform.said("label-returned")}
    assert backs == {case: [reason(name) for name in names] for case, (_, names) in faulty.items()}
    assert not platform.said("label-approved")


def test_segment_bits_in_an_ordinary_project_go_back(platform):
    platform.hear(project(), study("c"), read(platform, "c", nested()))
    (back,) = platform.said("label-returned")
    assert list(back.reasons) == [reason("GEOMETRY")]
    shown = platform.get(f"/v1/reviews/{back.review_id}", platform.token("carla", Role.REVIEWER))
    (found,) = shown["labels"][0]["findings"]
    assert found["numbers"] == {"voxel-bits": 32.0, "expected-voxel-bits": 8.0}
    platform.hear(label(platform, "c", mask(), attempt=2))
    assert len(platform.said("label-approved")) == 1


def two_readers(platform, second: np.ndarray):
    platform.hear(overlapping(share=1.0), study("c"), prediction(platform, "c", flat()))
    platform.hear(read(platform, "c", nested(), reader=pseudonym("anna")))
    again = {"task_id": "task-2", "reader": pseudonym("ben"), "reading": "READING_SECOND"}
    platform.hear(read(platform, "c", second, **again))


def test_two_readers_who_agree(platform):
    two_readers(platform, nested(8))
    (said,) = platform.said("label-approved")
    scores = {score.name: score.value for score in said.agreement}
    assert (scores["dice-segment-1"], scores["dice-segment-2"]) == (1.0, 0.75)
    assert scores["surface-distance-95-segment-2-mm"] == 1.0
    found = platform.get(f"/v1/reviews/{said.review_id}/agreement", platform.token("carla", Role.REVIEWER))
    dices = {
        (pair["first"], pair["second"]): [item["dice"] for item in pair["segments"]] for pair in found["pairs"]
    }  # each reader with the other, and with the model as a third
    one, other = found["labels"]
    assert dices == {
        (one, other): [1.0, 0.75],
        (one, "prediction"): [2 * 960 / 1984, 1.0],
        (other, "prediction"): [2 * 960 / 1984, 0.75],
    }


def test_two_readers_who_differ_on_the_lesion_alone_are_decided_by_an_adjudicator(platform):
    apart = nested() & segment_bit(ORGAN)
    apart[10:14, 16:20, 9:13] |= segment_bit(LESION)  # elsewhere in the same organ: mean Dice 0.5
    two_readers(platform, apart)
    assert not platform.said("label-approved")
    assert len(platform.said("reading-requested")) == 2


def test_approved_labels_become_the_population(platform):
    platform.hear(overlapping(), *[study(f"c{number}") for number in range(9)])
    imported = {"task_id": "", "reader": "", "source": "LABEL_SOURCE_IMPORT", "reading": "READING_NONE"}
    for number in range(8):
        platform.hear(read(platform, f"c{number}", nested(), **imported))
    assert len(platform.said("label-approved")) == 8
    large = nested()
    large[8:16, 6:22, 6:14] |= segment_bit(LESION)  # sixteen times the lesion: the organ's volume is as usual
    platform.hear(read(platform, "c8", large, **imported))
    (back,) = platform.said("label-returned")
    assert list(back.reasons) == [reason("VOLUME_OUTLIER")]
    shown = platform.get(f"/v1/reviews/{back.review_id}", platform.token("carla", Role.REVIEWER))
    (found,) = shown["labels"][0]["findings"]
    assert found["segment"] == LESION
    assert found["numbers"]["volume-ml"] == pytest.approx(1.024)
    assert found["numbers"]["median-ml"] == pytest.approx(0.064)
