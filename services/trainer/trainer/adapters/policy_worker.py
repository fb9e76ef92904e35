"""Looks at every project now and then and asks for a run where its policy says so."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from radloop.dispatch import Dispatcher
from trainer.domain.messages import StartRun
from trainer.domain.policy import is_due


class PolicyWorker:
    """Cheap look by a reading transaction; the decision is made again inside the handler's own."""

    def __init__(self, dispatcher: Dispatcher, read: Callable[[], AbstractContextManager[Any]]) -> None:
        self._dispatcher, self._read = dispatcher, read

    def step(self) -> bool:
        """Start at most one run for each project."""
        now = time.time()
        with self._read() as uow:
            projects = [uow.projects.get(project_id) for project_id in uow.projects.ids()]
            due = [p.project_id for p in projects if is_due(uow.runs.situation(p.project_id, now), p.training)]
        for project_id in due:
            self._dispatcher.dispatch(StartRun(project_id, now))
        return False  # what was due now has an unfinished run: look again after the pause
