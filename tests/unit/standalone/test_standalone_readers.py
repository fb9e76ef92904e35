"""A simulated reader at work, before a labeling service that gives prepared answers."""

import threading
from typing import Any

import numpy as np
import pytest

from radloop.errors import Conflict, Forbidden, PermanentError, TemporaryError
from radloop.imaging import Volume, dice, read_nifti, write_nifti
from standalone.demo import phantom
from standalone.demo.answers import ReadingOf, planted_error
from standalone.demo.readers import Reader, Tally

IMAGE, EXPERT = phantom.generate("phantom_001a", 1)
TASK = {
    "task_id": "t1",
    "case_id": "case-1",
    "reading": "first",
    "returned": [],
    "proposal_available": True,
    "lease": {"lease_id": "l1"},
}


class Labeling:
    """Gives each prepared task once, then asks the reader to stop."""

    def __init__(self, *tasks: Any, proposal: Any = EXPERT, image: Volume = IMAGE) -> None:
        self.tasks, self.proposal, self.image = list(tasks), proposal, image
        self.submitted: list[tuple[str, dict[str, str], Volume]] = []
        self.asked: list[str] = []
        self.stop = threading.Event()

    def post(self, path: str, body: Any = None, files: Any = None) -> Any:
        if path.endswith("/next"):
            if not self.tasks:
                self.stop.set()
                return None
            task = self.tasks.pop(0)
            if isinstance(task, Exception):
                raise task
            return task
        self.submitted.append((path, body, read_nifti(files["label"][1])))
        return {"label_version_id": "v"}

    def get_bytes(self, path: str) -> bytes:
        self.asked.append(path.rsplit("/", 1)[-1])
        if path.endswith("/image"):
            return write_nifti(self.image)
        if isinstance(self.proposal, Exception):
            raise self.proposal
        return write_nifti(self.proposal)


def work(labeling: Labeling, *, share: float = 0.0, seed: int = 1) -> Tally:
    tally = Tally()
    reader = Reader(
        "anna",
        labeling,
        "p",
        lambda case_id: EXPERT,
        seed=seed,
        error_share=share,
        tally=tally,
        stop=labeling.stop,
    )
    reader.start()
    reader.join(20)
    assert not reader.is_alive()
    return tally


def test_a_reader_answers_with_the_expert_mask_in_the_images_geometry() -> None:
    labeling = Labeling(TASK)
    tally = work(labeling)
    ((path, form, label),) = labeling.submitted
    assert path == "/labeling/v1/tasks/t1/submit"
    assert (form["lease_id"], form["started_from_model"]) == ("l1", "true")
    assert np.array_equal(label.array, EXPERT.array)
    assert np.array_equal(label.affine_lps, IMAGE.affine_lps)
    assert tally.counts() == {"first": 1}


def test_a_blind_reader_does_not_ask_for_the_models_mask() -> None:
    labeling = Labeling(TASK | {"proposal_available": False})
    work(labeling)
    assert labeling.asked == ["image"]
    assert labeling.submitted[0][1]["started_from_model"] == "false"


def test_a_mask_that_is_hidden_after_all_is_not_started_from() -> None:
    labeling = Labeling(TASK, proposal=Forbidden("blind"))
    work(labeling)
    assert labeling.submitted[0][1]["started_from_model"] == "false"


def test_a_planted_error_is_submitted_and_the_correction_is_clean() -> None:
    assert planted_error(1, 1.0, ReadingOf("case-1", "first", 1)) is not None
    labeling = Labeling(TASK, TASK | {"returned": ["stray-component"], "attempt": 2})
    tally = work(labeling, share=1.0)
    wrong, corrected = (label.array for _, _, label in labeling.submitted)
    assert not np.array_equal(wrong, EXPERT.array)
    assert np.array_equal(corrected, EXPERT.array)
    assert tally.counts() == {"first": 1, "error": 1, "corrected": 1}


def test_a_second_reader_draws_their_own_boundary() -> None:
    labeling = Labeling(TASK | {"reading": "second", "proposal_available": False})
    work(labeling)
    for value in (1, 2):
        assert 0.8 < dice(labeling.submitted[0][2].array, EXPERT.array, value) < 1


@pytest.mark.parametrize("hindrance", [TemporaryError("away"), Conflict("lease-ended")])
def test_a_reader_goes_on_after_a_hindrance(hindrance: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("standalone.demo.readers.PAUSE_S", 0.01)
    labeling = Labeling(hindrance, TASK)
    tally = work(labeling)
    assert len(labeling.submitted) == 1
    assert tally.failure is None


def test_another_image_than_the_experts_ends_the_work_with_the_reason() -> None:
    other = Volume(IMAGE.array[:-1], IMAGE.affine_lps)
    tally = work(Labeling(TASK, image=other))
    assert isinstance(tally.failure, PermanentError)
    assert tally.failure.code == "demo-geometry"
