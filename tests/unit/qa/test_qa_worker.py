"""The worker that checks labels: what it reads, what it compares, what it does when something cannot be read."""

from dataclasses import replace

import numpy as np
import pytest

from qa.adapters.masks import StoredMasks
from qa.adapters.worker import TRIES, Checker
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

    def label(self, name: str, ref: ObjectRef, reading: Reading = Reading.FIRST) -> None:
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
                segments=SPOKEN,
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


def test_masks_are_uint8_or_refused(bench):
    whole = bench.objects.put("a/float.nii", write_nifti(Volume(mask().astype(np.float32), AFFINE)))
    assert bench.masks.load(whole).array.dtype == np.uint8
    half = bench.objects.put("a/half.nii", write_nifti(Volume(mask().astype(np.float32) / 2, AFFINE)))
    with pytest.raises(Invalid, match="mask-not-uint8"):
        bench.masks.load(half)
    with pytest.raises(NotFound):
        bench.masks.load(ObjectRef("a/nothing.nii", "sha256:0", 1))
