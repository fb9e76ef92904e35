"""A unit of work of `qa` that keeps everything in dictionaries."""

from collections import Counter

import pytest

from qa.domain.gold import GoldCase, GoldReading
from qa.domain.measurement import Population
from qa.domain.model import LabelVersion, Outcome, Project, Review
from qa.ports import KnownCase, KnownPrediction
from radloop.references import Split
from radloop.testing import FakeUnitOfWork


class FakeProjects:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Project] = {}

    def get(self, project_id, version):
        return self.rows.get((project_id, version))

    def newest(self, project_id):
        versions = [version for known, version in self.rows if known == project_id]
        return self.rows[project_id, max(versions)] if versions else None

    def save(self, project):
        self.rows[project.project_id, project.project_version] = project


class FakeCases:
    def __init__(self) -> None:
        self.rows: dict[str, KnownCase] = {}
        self.predictions: dict[str, KnownPrediction] = {}

    def get(self, case_id):
        return self.rows.get(case_id)

    def save(self, case):
        self.rows[case.case_id] = case

    def prediction(self, prediction_id):
        return self.predictions.get(prediction_id)

    def newest_prediction(self, case_id, round_id=""):
        known = [p for p in reversed(self.predictions.values()) if p.case_id == case_id]
        return next((p for p in known if round_id and p.round_id == round_id), next(iter(known), None))

    def save_prediction(self, prediction):
        self.predictions[prediction.prediction_id] = prediction


class FakeReviews:
    def __init__(self) -> None:
        self.rows: dict[str, Review] = {}

    def get(self, review_id):
        return self.rows.get(review_id)

    def of_case(self, case_id):
        return [review for review in self.rows.values() if review.case_id == case_id]

    def save(self, review):
        self.rows[review.review_id] = review

    def counts(self, project_id):
        return Counter(review.state for review in self.rows.values())


class FakeLabels:
    def __init__(self, cases: FakeCases, reviews: FakeReviews) -> None:
        self.rows: dict[str, LabelVersion] = {}
        self._cases, self._reviews = cases, reviews

    def get(self, label_version_id):
        return self.rows.get(label_version_id)

    def of_review(self, review_id):
        return [label for label in self.rows.values() if label.review_id == review_id]

    def save(self, label):
        self.rows[label.label_version_id] = label

    def next_to_check(self, prediction_wait_s):
        for label in self.rows.values():
            wanted = self._reviews.rows[label.review_id].prediction_id
            waits = wanted and wanted not in self._cases.predictions and prediction_wait_s > 0
            if label.outcome == Outcome.CHECKING and not waits:
                return label
        return None

    def cause(self, label_version_id):
        return None


class FakeApprovals:
    def __init__(self) -> None:
        self.rows: dict[str, tuple[LabelVersion, Split, int, float | None]] = {}

    def sequence(self, case_id):
        return self.rows[case_id][2] if case_id in self.rows else 0

    def save(self, label, *, split, sequence, mean_prediction_dice):
        self.rows[label.case_id] = (label, split, sequence, mean_prediction_dice)

    def population(self, project_id, without_case):
        rows = [row for case, row in self.rows.items() if case != without_case and row[1] != Split.TEST]
        return Population([row[0].measurement for row in rows], [row[3] for row in rows if row[3] is not None])


class FakeGold:
    def __init__(self, uow) -> None:
        self.rows: dict[str, GoldCase] = {}
        self.readings: dict[str, GoldReading] = {}
        self._uow = uow

    def get(self, case_id):
        return self.rows.get(case_id)

    def of_project(self, project_id):
        return [case for _, case in sorted(self.rows.items()) if case.project_id == project_id]

    def unread(self, project_id, reader):
        labelled = {label.case_id for label in self._uow.labels.rows.values() if label.reader == reader}
        asked = {reading.case_id for reading in self.readings.values() if reading.asked_of == reader}
        return [case for case in self.of_project(project_id) if case.case_id not in labelled | asked]

    def save(self, case):
        self.rows[case.case_id] = case

    def drop(self, case_id):
        del self.rows[case_id]

    def reading(self, review_id):
        return self.readings.get(review_id)

    def save_reading(self, reading):
        self.readings[reading.review_id] = reading

    def readers(self, project_id):
        return {label.reader for label in self._uow.labels.rows.values() if label.reader}


class FakeWithdrawn:
    def __init__(self, uow) -> None:
        self.keys: set[str] = set()
        self._uow = uow

    def contains(self, study_key):
        return study_key in self.keys

    def forget(self, study_key):
        self.keys.add(study_key)
        uow = self._uow
        of_labels = (uow.reviews.rows, uow.labels.rows, uow.gold.rows, uow.gold.readings)
        for rows in (uow.cases.rows, uow.cases.predictions, *of_labels):
            for key in [key for key, row in rows.items() if row.study_key == study_key]:
                del rows[key]


class FakeQaUnitOfWork(FakeUnitOfWork):
    """Everything in dictionaries; nothing is rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.projects = FakeProjects()
        self.cases = FakeCases()
        self.reviews = FakeReviews()
        self.labels = FakeLabels(self.cases, self.reviews)
        self.approvals = FakeApprovals()
        self.gold = FakeGold(self)
        self.withdrawn = FakeWithdrawn(self)


@pytest.fixture
def uow() -> FakeQaUnitOfWork:
    return FakeQaUnitOfWork()
