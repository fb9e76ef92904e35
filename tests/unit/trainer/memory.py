"""The trainer's repositories in memory."""

from collections.abc import Sequence
from typing import Any

from radloop.references import Arm, Split
from radloop.testing import FakeUnitOfWork
from trainer.domain import messages as m
from trainer.domain.model import UNFINISHED
from trainer.domain.policy import Situation

NOW = 1_000.0


class FakeProjects:
    def __init__(self) -> None:
        self.rows: dict[str, m.ProjectConfigured] = {}

    def get(self, project_id: str) -> m.ProjectConfigured | None:
        return self.rows.get(project_id)

    def ids(self) -> Sequence[str]:
        return list(self.rows)

    def save(self, project: m.ProjectConfigured) -> None:
        known = self.rows.get(project.project_id)
        if known is None or known.project_version <= project.project_version:
            self.rows[project.project_id] = project


class FakeLabels:
    def __init__(self) -> None:
        self.cases: dict[str, Any] = {}
        self.labels: dict[str, Any] = {}
        self.new: dict[str, float] = {}
        self.flagged: dict[str, tuple[str, str, Arm]] = {}

    def case(self, case_id: str) -> Any:
        return self.cases.get(case_id)

    def save_case(self, case: Any) -> None:
        self.cases[case.case_id] = case

    def label(self, case_id: str) -> Any:
        return self.labels.get(case_id)

    def save_label(self, label: Any, at: float) -> None:
        self.labels[label.case_id], self.new[label.case_id] = label, at

    def save_flag(self, case_id: str, study_key: str, project_id: str, arm: Arm) -> None:
        self.flagged[case_id] = study_key, project_id, arm

    def flags(self, project_id: str) -> dict[str, Arm]:
        return {case_id: arm for case_id, (_, project, arm) in self.flagged.items() if project == project_id}

    def labelled(self, project_id: str) -> list[Any]:
        return [(self.cases[k], label) for k, label in self.labels.items() if label.project_id == project_id]

    def mark_used(self, case_ids: Sequence[str]) -> None:
        self.new = {case_id: at for case_id, at in self.new.items() if case_id not in case_ids}

    def mark_new(self, case_ids: Sequence[str]) -> None:
        self.new |= {case_id: NOW for case_id in case_ids if case_id in self.labels}


class FakeRuns:
    def __init__(self, labels: FakeLabels) -> None:
        self._labels = labels
        self.rows: dict[str, Any] = {}
        self.datasets: dict[str, Any] = {}
        self.requests: dict[str, tuple[str, bool]] = {}
        self.models: dict[str, Any] = {}

    def get(self, run_id: str) -> Any:
        return self.rows.get(run_id)

    def save(self, run: Any) -> None:
        self.rows[run.run_id] = run

    def of_project(self, project_id: str) -> list[Any]:
        return sorted((r for r in self.rows.values() if r.project_id == project_id), key=lambda run: run.run_number)

    def by_model(self, model_digest: str) -> Any:
        return next((run for run in reversed(self.rows.values()) if run.model_digest == model_digest), None)

    def situation(self, project_id: str, now: float) -> Situation:
        runs, labelled = self.of_project(project_id), self._labels.labelled(project_id)
        train = [case.case_id for case, _ in labelled if case.split is Split.TRAIN]
        new = [self._labels.new[case_id] for case_id in train if case_id in self._labels.new]
        return Situation(
            unfinished=any(run.state in UNFINISHED for run in runs),
            runs=len(runs),
            train_labels=len(train),
            validation_labels=sum(case.split is Split.VALIDATION for case, _ in labelled),
            new_labels=len(new),
            since_last_s=now - max(new) if new else 0.0,
            requested=bool(self.request(project_id)),
        )

    def dataset(self, digest: str) -> Any:
        return self.datasets.get(digest)

    def save_dataset(self, dataset: Any) -> None:
        self.datasets.setdefault(dataset.digest, dataset)

    def datasets_with(self, study_key: str) -> list[str]:
        return sorted(d.digest for d in self.datasets.values() if study_key in {item.study_key for item in d.items})

    def request(self, project_id: str) -> str:
        return min((key for key, row in self.requests.items() if row == (project_id, True)), default="")

    def save_request(self, request_id: str, project_id: str) -> None:
        self.requests.setdefault(request_id, (project_id, True))

    def close_requests(self, project_id: str) -> None:
        self.requests = {k: (p, is_open and p != project_id) for k, (p, is_open) in self.requests.items()}

    def serving(self, project_id: str) -> Any:
        return self.models.get(project_id)

    def save_serving(self, project_id: str, model: Any) -> None:
        if project_id not in self.models or self.models[project_id].sequence < model.sequence:
            self.models[project_id] = model


class FakeWithdrawn:
    """Nothing is withdrawn here: that is told in test_trainer_service_endings.py, where nothing is left behind."""

    def contains(self, study_key: str) -> bool:
        return False


class FakeTrainer(FakeUnitOfWork):
    def __init__(self) -> None:
        super().__init__()
        self.projects, self.labels = FakeProjects(), FakeLabels()
        self.runs, self.withdrawn = FakeRuns(self.labels), FakeWithdrawn()

    def state(self) -> Any:
        parts = (self.projects, self.labels, self.runs, self.withdrawn)
        return repr([{k: v for k, v in vars(part).items() if k != "_labels"} for part in parts])
