"""The simulated readers: people who use the labeling service's public REST API, each with a token, and nothing else.

What they know beyond that is what an expert knows of a picture: the right mask for it (`answers`).
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from radloop.errors import Conflict, Forbidden, NotFound, PermanentError, TemporaryError
from radloop.imaging import Volume, read_nifti, same_geometry, write_nifti
from standalone.client import Client
from standalone.demo.answers import ReadingOf, answer, planted_error
from standalone.demo.phantom import random_of

Expert = Callable[[str], Volume]

PAUSE_S = 0.5
_LONGEST_PAUSES = 4


class Tally:
    """What all readers did so far; shared between their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        """Label versions the service said are stored."""
        self.failure: Exception | None = None

    def add(self, what: str) -> None:
        """Count one thing done: "first", "second", "adjudication", "corrected", "error"."""
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> dict[str, int]:
        """Return the counts."""
        with self._lock:
            return dict(self._counts)


class Person(threading.Thread):
    """Somebody who works by the public APIs until told to stop: step after step, with a pause when there is nothing to do.

    Parameters
    ----------
    subject
        Who it is.
    pause_s
        Between two looks for work.
    tally
        Told what stopped them.
    stop
        Ends the work after the step at hand.
    """

    def __init__(self, subject: str, pause_s: float, tally: Tally, stop: threading.Event) -> None:
        super().__init__(name=subject, daemon=True)
        self._pause_s, self._tally, self._ending = pause_s, tally, stop

    def step(self) -> bool:
        """Do what there is; return whether to look again at once."""
        raise NotImplementedError

    def run(self) -> None:
        """Work, look again, go home. Who finds nothing to do looks less and less often: a training takes minutes."""
        pause_s = self._pause_s
        while not self._ending.is_set():
            try:
                busy = self.step()
            except (TemporaryError, Conflict):
                # The service restarts, or somebody else was first meanwhile: look again.
                busy = False
            except Exception as error:
                self._tally.failure = error
                return
            if busy:
                pause_s = self._pause_s
            else:
                self._ending.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSES * self._pause_s)


class Reader(Person):
    """One reader.

    Parameters
    ----------
    subject
        Who it is.
    client
        The platform, with this reader's token.
    project_id
        Where it reads.
    expert
        Gives the expert mask of a case.
    seed, error_share
        Which readings are wrong on purpose.
    tally
        Told what was done.
    stop
        Ends the work after the task at hand.
    """

    def __init__(
        self,
        subject: str,
        client: Client,
        project_id: str,
        expert: Expert,
        *,
        seed: int,
        error_share: float,
        tally: Tally,
        stop: threading.Event,
    ) -> None:
        super().__init__(subject, PAUSE_S, tally, stop)
        self._subject, self._client, self._project_id, self._expert = subject, client, project_id, expert
        self._seed, self._error_share = seed, error_share

    def step(self) -> bool:
        """Read the next task, if there is one."""
        task = self._client.post("/labeling/v1/tasks/next", {"project_id": self._project_id})
        if task is not None:
            self.read(task)
        return task is not None

    def read(self, task: Mapping[str, Any]) -> None:
        """Look at the image, draw, submit.

        Raises
        ------
        PermanentError
            The image is not the one the expert mask belongs to.
        """
        path = f"/labeling/v1/tasks/{task['task_id']}"
        image = read_nifti(self._client.get_bytes(f"{path}/image"))
        expert = self._expert(task["case_id"])
        if not same_geometry(image, expert):
            raise PermanentError("demo-geometry", expected="the image the expert drew on", got="another geometry")
        offered = self._proposal(path, image) if task.get("proposal_available") else None
        asked = ReadingOf(task["case_id"], task["reading"], 2 if task.get("returned") else 1)
        drawn = answer(self._seed, self._error_share, asked, expert.array)
        form = {
            "lease_id": task["lease"]["lease_id"],
            "format": "nifti",
            "started_from_model": str(offered is not None).lower(),
            "active_time_s": str(self._active_time_s(asked, offered is not None)),
        }
        label = write_nifti(Volume(drawn, image.affine_lps))
        made = self._client.post(f"{path}/submit", form, files={"label": ("label.nii", label)})
        self._tally.acknowledged.append(made["label_version_id"])
        self._tally.add("corrected" if asked.attempt > 1 else asked.reading)
        if planted_error(self._seed, self._error_share, asked):
            self._tally.add("error")

    def _proposal(self, path: str, image: Volume) -> Volume | None:
        """Fetch the model's mask, as the viewer would to show it; None where this reading is blind or there is none."""
        try:
            proposal = read_nifti(self._client.get_bytes(f"{path}/proposal"))
        except (NotFound, Forbidden):
            return None
        return proposal if same_geometry(proposal, image) else None

    def _active_time_s(self, asked: ReadingOf, from_model: bool) -> float:
        """Say how long a person would have needed: less when correcting the model's mask than when drawing anew."""
        random: np.random.Generator = random_of(
            "time", self._seed, self._subject, asked.case_id, asked.reading, asked.attempt
        )
        return round(float(random.uniform(60, 180) if from_model else random.uniform(240, 480)), 1)
