"""A unit of work in memory, and shorthand for the events the handlers hear."""

from dataclasses import replace

import pytest

from inference.domain import messages as m
from inference.domain.model import Case, Model, PendingDeployment, Prediction, Project, Traffic
from radloop.references import ObjectRef
from radloop.testing import FakeUnitOfWork


class FakeProjects:
    def __init__(self) -> None:
        self.rows: dict[str, Project] = {}

    def get(self, project_id: str) -> Project | None:
        return self.rows.get(project_id)

    def save(self, project: Project) -> None:
        self.rows[project.project_id] = project


class FakeModels:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Model] = {}
        self.runs: set[str] = set()

    def get(self, project_id: str, model_digest: str) -> Model | None:
        return self.rows.get((project_id, model_digest))

    def save(self, model: Model) -> None:
        self.rows[model.project_id, model.model_digest] = model

    def all(self, project_id: str | None = None) -> list[Model]:
        return [model for model in self.rows.values() if project_id in (None, model.project_id)]

    def first_of_run(self, run_id: str) -> bool:
        known = run_id in self.runs
        self.runs.add(run_id)
        return not known


class FakeTraffic:
    def __init__(self) -> None:
        self.rows: dict[str, Traffic] = {}

    def get(self, project_id: str) -> Traffic:
        return self.rows.get(project_id, Traffic(project_id))

    def save(self, traffic: Traffic) -> None:
        self.rows[traffic.project_id] = traffic

    def all(self) -> list[Traffic]:
        return list(self.rows.values())


class FakeDeployments:
    def __init__(self) -> None:
        self.rows: dict[int, PendingDeployment] = {}
        self.given = 0

    def add(self, candidate: PendingDeployment) -> None:
        self.given += 1
        self.rows[self.given] = replace(candidate, deployment_id=self.given)

    def get(self, deployment_id: int) -> PendingDeployment | None:
        return self.rows.get(deployment_id)

    def next(self) -> PendingDeployment | None:
        return self.rows[min(self.rows)] if self.rows else None

    def of_project(self, project_id: str) -> list[PendingDeployment]:
        return [row for _, row in sorted(self.rows.items()) if row.project_id == project_id]

    def remove(self, deployment_id: int) -> None:
        self.rows.pop(deployment_id, None)


class FakePredictions:
    def __init__(self) -> None:
        self.rows: dict[str, Prediction] = {}
        self.rounds: dict[str, set[str]] = {}

    def get(self, prediction_id: str) -> Prediction | None:
        return self.rows.get(prediction_id)

    def save(self, prediction: Prediction) -> None:
        self.rows[prediction.prediction_id] = prediction

    def wait_for(self, prediction_id: str, round_id: str) -> None:
        self.rounds.setdefault(prediction_id, set()).add(round_id)

    def waiting_rounds(self, prediction_id: str) -> list[str]:
        return sorted(self.rounds.pop(prediction_id, set()))

    def of_case(self, case_id: str, model_digest: str | None) -> list[Prediction]:
        return [p for p in self.rows.values() if p.case_id == case_id and model_digest in (None, p.model_digest)]

    def asked_for(self) -> set[tuple[str, str]]:
        return {(p.project_id, p.model_digest) for p in self.rows.values() if p.state == "waiting"}

    def counts(self) -> tuple[int, int]:
        return sum(p.state == "waiting" for p in self.rows.values()), 0


class FakeCases:
    def __init__(self, predictions: FakePredictions) -> None:
        self.rows: dict[str, Case] = {}
        self.withdrawn: dict[str, bool] = {}
        self._predictions = predictions

    def get(self, case_id: str) -> Case | None:
        return self.rows.get(case_id)

    def add(self, case: Case) -> None:
        self.rows.setdefault(case.case_id, case)

    def withdraw(self, study_key: str) -> None:
        self.withdrawn[study_key] = False
        self.rows = {key: case for key, case in self.rows.items() if case.study_key != study_key}
        kept = {key: p for key, p in self._predictions.rows.items() if p.study_key != study_key}
        self._predictions.rows = kept

    def is_withdrawn(self, study_key: str) -> bool:
        return study_key in self.withdrawn

    def objects_to_delete(self) -> list[str]:
        return [study_key for study_key, deleted in self.withdrawn.items() if not deleted]

    def objects_deleted(self, study_key: str) -> None:
        self.withdrawn[study_key] = True


class FakeInferenceUnitOfWork(FakeUnitOfWork):
    """Everything the handlers touch, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.projects = FakeProjects()
        self.models = FakeModels()
        self.traffic = FakeTraffic()
        self.deployments = FakeDeployments()
        self.predictions = FakePredictions()
        self.cases = FakeCases(self.predictions)


@pytest.fixture
def uow() -> FakeInferenceUnitOfWork:
    return FakeInferenceUnitOfWork()


class Events:
    """Shorthand: the same project "p", models named by a letter."""

    @staticmethod
    def ref(name: str) -> ObjectRef:
        return ObjectRef(f"trainer/p/{name}.zip", f"sha256:{name:0<64}", 1)

    def digest(self, name: str) -> str:
        return self.ref(name).digest

    @staticmethod
    def project(mode: str = "automatic", version: int = 1, **changes) -> m.ProjectConfigured:
        policy = m.PromotionPolicy(m.PromotionMode(mode))
        event = m.ProjectConfigured("p", version, "model-p", (m.Segment(2), m.Segment(1)), False, policy, ())
        return replace(event, **changes)

    def trained(self, name: str, against: str = "", passes: bool = True, run: str = "") -> m.ModelTrained:
        comparison = m.Comparison(self.digest(against) if against else "", passes)
        return m.ModelTrained("model-p", self.digest(name), "p", run or f"run-{name}", self.ref(name), comparison)

    def promoted(self, name: str, sequence: int) -> m.ModelPromoted:
        if not name:
            return m.ModelPromoted("model-p", "p", "", None, sequence)
        return m.ModelPromoted("model-p", "p", self.digest(name), self.ref(name), sequence)

    @staticmethod
    def study(name: str, *cases: str) -> m.StudyIngested:
        volumes = (ObjectRef(f"ingest/{name}/channel-0.nii", "sha256:" + "1" * 64, 1),)
        return m.StudyIngested(name, "p", tuple(m.IngestedCase(case, volumes) for case in cases))

    def requested(self, case: str, model: str, round_id: str, study: str = "study") -> m.PredictionRequested:
        return m.PredictionRequested(case, study, "p", self.digest(model), round_id)

    @staticmethod
    def made(prediction_id: str, study: str = "study") -> m.ConcludePrediction:
        mask = ObjectRef(f"inference/{study}/{prediction_id}/mask.nii", "sha256:" + "2" * 64, 9)
        return m.ConcludePrediction(prediction_id, study, mask, None, None, (), ())


@pytest.fixture
def events() -> Events:
    return Events()
