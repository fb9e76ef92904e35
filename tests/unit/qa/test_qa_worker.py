"""The worker that checks labels: what it reads, what it compares, what it does when something cannot be read."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from qa.adapters.masks import StoredMasks
from qa.adapters.worker import TRIES, Checker
from qa.domain.findings import ReturnReason
from qa.domain.label import CaseGeometry, Segment
from qa.domain.model import LabelSource, LabelVersion, Outcome, Project, Reading, ReadingPolicy, Review
from qa.ports import KnownCase, KnownPrediction
from radloop.errors import Invalid, NotFound, TemporaryError
from radloop.imaging import Volume, write_nifti
from radloop.references import ObjectRef, SegmentState, SegmentStatus, Split
from radloop.testing import FakeObjects

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
SPOKEN = (SegmentStatus(1, SegmentState.ANNOTATED),)


def mask(shift: int = 0) -> np.ndarray:
    array = np.zeros((16, 16, 16), np.uint8)
    array[4:10, 4:10, 4 + shift : 10 + shift] = 1
    return array


def nested(shift: int = 0) -> np.ndarray:
    """Segment bits: the same, and segment 2 in its middle."""
    array = np.where(mask(shift) == 1, np.uint32(0b01), np.uint32(0))
    array[6:8, 6:8, 6 + shift : 8 + shift] |= np.uint32(0b10)
    return array


class Bench:
    def __init__(self, uow) -> None:
        self.uow, self.objects, self.commands = uow, FakeObjects(), []
        self.masks = StoredMasks(self.objects)
        uow.projects.save(Project("project", 1, (Segment(1, True),), ReadingPolicy(0, 0.8), ()))
        geometry = CaseGeometry((16, 16, 16), tuple(AFFINE.ravel()))
        uow.cases.save(KnownCase("case", "study", "project", Split.TRAIN, geometry))
        uow.reviews.save(Review("review", "project", "case", "study", "task", "", "", None))
        self.checker = Checker(lambda: uow, self.masks, self.dispatch, prediction_wait_s=60)

    def dispatch(self, command, cause) -> None:
        self.commands.append(command)
        label = self.uow.labels.get(command.label_version_id)
        self.uow.labels.save(replace(label, outcome=Outcome.CHECKED))

    def put(self, name: str, array: np.ndarray) -> ObjectRef:
        return self.objects.put(f"labeling/study/{name}.nii", write_nifti(Volume(array, AFFINE)))

    def label(self, name: str, ref: ObjectRef, reading: Reading = Reading.FIRST, segments=SPOKEN) -> None:
        self.uow.labels.save(
            LabelVersion(
                label_version_id=name,
                review_id="review",
                task_id="task",
                case_id="case",
                study_key="study",
                project_id="project",
                project_version=1,
                reader="anna",
                source=LabelSource.READER,
                reading=reading,
                mask=ref,
                segments=segments,
                started_from_model=False,
                attempt=1,
            )
        )

    def predict(self, name: str, ref: ObjectRef) -> None:
        self.uow.cases.save_prediction(KnownPrediction(name, "case", "study", "project", ref, ""))


@pytest.fixture
def bench(uow):
    return Bench(uow)


def test_nothing_to_check_is_no_work(bench):
    assert bench.checker.step() is False and not bench.commands


def test_a_label_is_checked_against_the_newest_prediction_of_its_case(bench):
    bench.predict("old", bench.put("old", mask(0)))
    bench.predict("new", bench.put("new", mask(3)))
    bench.label("a", bench.put("a", mask()))
    assert bench.checker.step() and not bench.checker.step()
    (command,) = bench.commands
    assert command.prediction_id == "new"
    assert [score.value for score in command.examination.prediction_dice] == [0.5]
    assert command.comparisons == ()


def test_a_second_reading_is_compared_with_what_passed(bench):
    bench.label("a", bench.put("a", mask()))
    bench.checker.step()
    bench.label("b", bench.put("b", mask(1)), Reading.SECOND)
    bench.checker.step()
    (comparison,) = bench.commands[-1].comparisons
    assert comparison.label_version_id == "a"
    assert comparison.segments[0].dice == pytest.approx(5 / 6)


def test_a_prediction_that_cannot_be_read_is_none(bench):
    ref = bench.put("p", mask())
    bench.predict("p", ref)
    bench.objects.delete(ref.key)
    bench.label("a", bench.put("a", mask()))
    bench.checker.step()
    assert bench.commands[0].prediction_id == "" and bench.commands[0].examination.prediction_dice == ()


def test_a_label_that_cannot_be_read_is_recorded_as_such(bench):
    ref = bench.put("a", mask())
    bench.objects.stored[ref.key] = b"damaged"
    bench.label("a", ref)
    bench.checker.step()
    assert bench.commands[0].examination is None


def test_when_the_store_is_away_nothing_is_decided(bench):
    bench.label("a", bench.put("a", mask()))

    class Away:
        def load(self, ref):
            raise TemporaryError("object-store-unavailable")

    checker = Checker(lambda: bench.uow, Away(), bench.dispatch, prediction_wait_s=60)
    for _ in range(TRIES + 2):
        with pytest.raises(TemporaryError):
            checker.step()
    assert not bench.commands


def test_a_label_whose_checks_fail_again_and_again_does_not_block_the_others(bench):
    class Broken:
        def load(self, ref):
            raise ZeroDivisionError

    bench.label("a", bench.put("a", mask()))
    checker = Checker(lambda: bench.uow, Broken(), bench.dispatch, prediction_wait_s=60)
    for _ in range(TRIES - 1):
        with pytest.raises(ZeroDivisionError):
            checker.step()
    assert checker.step()
    assert bench.commands[0].examination is None


@pytest.fixture
def overlapping(bench):
    """The bench with a project whose segments may overlap."""
    segments = (Segment(1, True), Segment(2, False))
    bench.uow.projects.save(Project("project", 1, segments, ReadingPolicy(0, 0.8), (), overlapping_segments=True))
    return bench


SPOKEN_OF_BOTH = (*SPOKEN, SegmentStatus(2, SegmentState.ANNOTATED))


def test_a_label_whose_segments_overlap_is_checked_against_a_label_map(overlapping):
    # The model says of a voxel one segment only: its organ lacks the lesion's 8 of 216 voxels.
    predicted = mask()
    predicted[6:8, 6:8, 6:8] = 2
    overlapping.predict("p", overlapping.put("p", predicted))
    overlapping.label("a", overlapping.put("a", nested()), segments=SPOKEN_OF_BOTH)
    overlapping.checker.step()
    (command,) = overlapping.commands
    assert command.examination.findings == ()
    scores = {score.name: score.value for score in command.examination.prediction_dice}
    assert scores == {"dice-segment-1": 2 * 208 / (216 + 208), "dice-segment-2": 1.0}


def test_two_readings_whose_segments_overlap_are_compared_segment_by_segment(overlapping):
    overlapping.label("a", overlapping.put("a", nested()), segments=SPOKEN_OF_BOTH)
    overlapping.checker.step()
    overlapping.label("b", overlapping.put("b", nested(1)), Reading.SECOND, SPOKEN_OF_BOTH)
    overlapping.checker.step()
    (comparison,) = overlapping.commands[-1].comparisons
    assert [(item.segment, item.dice) for item in comparison.segments] == [(1, pytest.approx(5 / 6)), (2, 0.5)]


@pytest.mark.parametrize(
    ("overlaps", "array", "bits", "expected_bits"), [(True, mask(), 8, 32), (False, nested(), 32, 8)]
)
def test_a_label_of_the_other_kind_goes_back(bench, request, overlaps, array, bits, expected_bits):
    if overlaps:
        request.getfixturevalue("overlapping")
    bench.label("a", bench.put("a", array))
    bench.checker.step()
    examination = bench.commands[0].examination
    (found,) = examination.findings
    assert (found.reason, examination.measurement) == (ReturnReason.GEOMETRY, None)
    assert {score.name: score.value for score in found.numbers} == {
        "voxel-bits": bits,
        "expected-voxel-bits": expected_bits,
    }


def test_segment_bits_are_what_calls_itself_so(bench):
    assert bench.masks.load(bench.put("bits", nested())).array.dtype == np.uint32
    # A label map that somebody saved in 32 bits stays a label map.
    image = nib.Nifti1Image(mask().astype(np.uint32), np.eye(4))
    wide = bench.masks.load(bench.objects.put("a/wide.nii", image.to_bytes()))
    assert wide.array.dtype == np.uint8 and np.array_equal(wide.array, mask())


def test_masks_are_uint8_or_refused(bench):
    whole = bench.objects.put("a/float.nii", write_nifti(Volume(mask().astype(np.float32), AFFINE)))
    assert bench.masks.load(whole).array.dtype == np.uint8
    half = bench.objects.put("a/half.nii", write_nifti(Volume(mask().astype(np.float32) / 2, AFFINE)))
    with pytest.raises(Invalid, match="mask-not-uint8"):
        bench.masks.load(half)
    with pytest.raises(NotFound):
        bench.masks.load(ObjectRef("a/nothing.nii", "sha256:0", 1))
