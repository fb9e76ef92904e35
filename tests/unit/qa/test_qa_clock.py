"""A label that waits for its prediction, and a clock that is set while it does."""

import time

import pytest

from qa.adapters.sql import QaSqlUnitOfWork
from qa.adapters.wire import WIRE
from qa.domain.model import LabelSource, LabelVersion, Reading, Review
from radloop.references import ObjectRef
from radloop.sql import Database


@pytest.mark.parametrize(("hours", "due"), [(0, False), (5, True), (-5, True)])
def test_a_clock_that_jumps_keeps_no_label_waiting(database_url, monkeypatch, hours, due) -> None:
    database = Database(database_url, "qa")
    database.migrate("qa.adapters.migrations")
    label = LabelVersion(
        label_version_id="label",
        review_id="review",
        task_id="task",
        case_id="case",
        study_key="study",
        project_id="project",
        project_version=1,
        reader="reader-a",
        source=LabelSource.READER,
        reading=Reading.FIRST,
        mask=ObjectRef("labeling/study/case/label.nii", "sha256:1", 1),
        segments=(),
        started_from_model=False,
        attempt=1,
    )
    with QaSqlUnitOfWork(database, WIRE, source="/site-1/qa") as uow:
        uow.reviews.save(Review("review", "project", "case", "study", "task", "not heard of", "", None))
        uow.labels.save(label)
        now = time.time()
        monkeypatch.setattr("qa.adapters.sql.time.time", lambda: now + hours * 3600)
        assert uow.labels.next_to_check(600.0) == (label if due else None)
    database.close()
