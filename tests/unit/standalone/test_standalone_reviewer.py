"""The simulated senior, before services that give prepared answers."""

import threading
from typing import Any

import numpy as np
import pytest

from radloop.errors import NotFound, TemporaryError
from radloop.imaging import Volume, write_nifti
from standalone.demo import phantom
from standalone.demo.readers import Tally
from standalone.demo.reviewer import Reviewer

_, EXPERT = phantom.generate("phantom_001a", 1)
WRONG = Volume(np.where(EXPERT.array == 1, 0, EXPERT.array).astype(np.uint8), EXPERT.affine_lps)


class Services:
    """Holds one review until it is decided, then asks the reviewer to stop."""

    def __init__(self, **masks: Any) -> None:
        self.masks, self.decisions, self.stop = masks, [], threading.Event()
        self.trouble = [TemporaryError("away")]

    def get(self, path: str, **parameters: Any) -> Any:
        if path == "/qa/v1/reviews":
            if self.trouble:
                raise self.trouble.pop()
            assert parameters == {"project_id": "p", "state": "held-for-reviewer"}
            return {"reviews": [] if self.decisions else [{"review_id": "r1", "case_id": "case-1"}]}
        return {"labels": [{"label_version_id": name} for name in self.masks]}

    def get_bytes(self, path: str) -> bytes:
        mask = self.masks[path.rsplit("/", 1)[-1]]
        if isinstance(mask, Exception):
            raise mask
        return write_nifti(mask)

    def post(self, path: str, body: Any) -> None:
        self.decisions.append((path, body))
        self.stop.set()


def decisions_on(**masks: Any) -> list[Any]:
    services, tally = Services(**masks), Tally()
    reviewer = Reviewer("senior", services, "p", lambda case_id: EXPERT, tally=tally, stop=services.stop)
    reviewer.start()
    reviewer.join(20)
    assert not reviewer.is_alive() and tally.failure is None
    return services.decisions


@pytest.mark.parametrize("masks", [{"a": EXPERT}, {"a": WRONG, "b": EXPERT}, {"b": EXPERT, "a": NotFound("gone")}])
def test_the_label_an_expert_would_draw_is_approved(masks: dict[str, Any]) -> None:
    good = next(name for name, mask in masks.items() if mask is EXPERT)
    assert decisions_on(**masks) == [("/qa/v1/reviews/r1/approve", {"label_version_id": good})]


def test_the_newest_goes_back_when_none_is_right() -> None:
    back = {"label_version_id": "b", "reason": "reviewer"}
    assert decisions_on(a=WRONG, b=WRONG) == [("/qa/v1/reviews/r1/return", back)]
