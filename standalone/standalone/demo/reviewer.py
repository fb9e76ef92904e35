"""The simulated senior: decides what no rule decides, by the public REST APIs of quality control and labeling.

What they know beyond that is what an expert knows of a picture: the right mask for it.
"""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from radloop.errors import PermanentError
from radloop.imaging import Volume, dice, read_nifti, same_geometry
from standalone.client import Client
from standalone.demo.readers import Expert, Person, Tally

PAUSE_S = 1.0
GOOD_DICE = 0.85
"""Dice with the expert mask, of every segment, from which on a label is approved."""


class Reviewer(Person):
    """Approves or returns the labels that are held for a reviewer, until told to stop.

    Parameters
    ----------
    subject
        Who it is; reads no case themselves, for nobody decides on a case they read.
    client
        The platform, with a reviewer's token.
    project_id
        Where it decides.
    expert
        Gives the expert mask of a case.
    tally
        Told what was done.
    stop
        Ends the work after the decision at hand.
    """

    def __init__(
        self, subject: str, client: Client, project_id: str, expert: Expert, *, tally: Tally, stop: threading.Event
    ) -> None:
        super().__init__(subject, PAUSE_S, tally, stop)
        self._client, self._project_id, self._expert = client, project_id, expert

    def step(self) -> bool:
        """Decide on all that is held."""
        held = self._client.get("/qa/v1/reviews", project_id=self._project_id, state="held-for-reviewer")
        for review in held["reviews"]:
            self.decide(review)
        return False

    def decide(self, review: Mapping[str, Any]) -> None:
        """Approve the label that is nearest to what an expert would draw, or return the newest."""
        path = f"/qa/v1/reviews/{review['review_id']}"
        labels = [label["label_version_id"] for label in self._client.get(path)["labels"]]
        expert = self._expert(review["case_id"])
        quality = {label: self._quality(label, expert) for label in labels}
        best = max(labels, key=lambda label: quality[label])
        if quality[best] >= GOOD_DICE:
            self._client.post(f"{path}/approve", {"label_version_id": best})
            self._tally.add("approved by a reviewer")
        else:
            self._client.post(f"{path}/return", {"label_version_id": labels[-1], "reason": "reviewer"})
            self._tally.add("returned by a reviewer")

    def _quality(self, label_version_id: str, expert: Volume) -> float:
        """Return the Dice of the worst segment; 0 for a mask that is not there or lies elsewhere."""
        try:
            mask = read_nifti(self._client.get_bytes(f"/labeling/v1/labels/{label_version_id}"))
        except PermanentError:
            return 0.0
        if not same_geometry(mask, expert):
            return 0.0
        segments = [int(value) for value in np.unique(expert.array) if value]
        return min(dice(mask.array, expert.array, value) for value in segments)
