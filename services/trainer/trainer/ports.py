"""What `trainer` needs: repositories, and a place for dataset manifests."""

from collections.abc import Sequence
from typing import Protocol

from radloop.references import Arm, ObjectRef
from radloop.uow import UnitOfWork
from trainer.domain.messages import ProjectConfigured
from trainer.domain.model import ApprovedLabel, DatasetVersion, Run, ServingModel, TrainingCase
from trainer.domain.policy import Situation


class Projects(Protocol):
    """Newest version of each project."""

    def get(self, project_id: str) -> ProjectConfigured | None:
        """Return a project."""
        ...

    def ids(self) -> Sequence[str]:
        """Return the ids of all projects."""
        ...

    def save(self, project: ProjectConfigured) -> None:
        """Keep a project, unless a newer version is known."""
        ...


class Labels(Protocol):
    """Cases, their newest approved labels, and why they were read."""

    def case(self, case_id: str) -> TrainingCase | None:
        """Return a case."""
        ...

    def save_case(self, case: TrainingCase) -> None:
        """Keep a case."""
        ...

    def label(self, case_id: str) -> ApprovedLabel | None:
        """Return the newest approved label of a case."""
        ...

    def save_label(self, label: ApprovedLabel, at: float) -> None:
        """Keep a label as new: no run has used it. ``at``: seconds since the epoch."""
        ...

    def save_flag(self, case_id: str, study_key: str, project_id: str, arm: Arm) -> None:
        """Keep why a case was read; the newest reason counts."""
        ...

    def flags(self, project_id: str) -> dict[str, Arm]:
        """Return the arm of each flagged case."""
        ...

    def labelled(self, project_id: str) -> Sequence[tuple[TrainingCase, ApprovedLabel]]:
        """Return each case of a project that has an approved label."""
        ...

    def mark_used(self, case_ids: Sequence[str]) -> None:
        """Note that a run uses the labels of these cases."""
        ...

    def mark_new(self, case_ids: Sequence[str]) -> None:
        """Note that no run uses the labels of these cases after all."""
        ...


class Runs(Protocol):
    """Runs, dataset versions, requests, and the model that serves."""

    def get(self, run_id: str) -> Run | None:
        """Return a run."""
        ...

    def save(self, run: Run) -> None:
        """Keep a run."""
        ...

    def of_project(self, project_id: str) -> Sequence[Run]:
        """Return the runs of a project, oldest first."""
        ...

    def by_model(self, model_digest: str) -> Run | None:
        """Return the run that trained a model."""
        ...

    def situation(self, project_id: str, now: float) -> Situation:
        """Return what the policy looks at; ``now`` in seconds since the epoch."""
        ...

    def dataset(self, digest: str) -> DatasetVersion | None:
        """Return a dataset version."""
        ...

    def save_dataset(self, dataset: DatasetVersion) -> None:
        """Keep a dataset version; the same again changes nothing."""
        ...

    def datasets_with(self, study_key: str) -> Sequence[str]:
        """Return the digests of the dataset versions that contain a study."""
        ...

    def request(self, project_id: str) -> str:
        """Return the oldest open request of a project, empty when there is none."""
        ...

    def save_request(self, request_id: str, project_id: str) -> None:
        """Keep a request as open."""
        ...

    def close_requests(self, project_id: str) -> None:
        """Note that the open requests of a project are served."""
        ...

    def serving(self, project_id: str) -> ServingModel | None:
        """Return the model that serves a project."""
        ...

    def save_serving(self, project_id: str, model: ServingModel) -> None:
        """Keep which model serves, unless something newer is known."""
        ...


class Withdrawn(Protocol):
    """Studies that must stay forgotten."""

    def contains(self, study_key: str) -> bool:
        """Whether a study was withdrawn."""
        ...

    def forget(self, study_key: str, dataset_versions: Sequence[str]) -> None:
        """Delete the rows of a study; remember its key and the dataset versions that contained it."""
        ...


class ManifestStore(Protocol):
    """Where dataset manifests are kept."""

    def put(self, key: str, data: bytes) -> ObjectRef:
        """Store bytes; the same again change nothing."""
        ...


class TrainerUnitOfWork(UnitOfWork, Protocol):
    """The transaction with its repositories."""

    projects: Projects
    labels: Labels
    runs: Runs
    withdrawn: Withdrawn
