"""A control plane in memory: what handlers see instead of a database."""

from dataclasses import dataclass, field

import pytest

from control_plane.domain.configuration import (
    CodedTerm,
    Member,
    MemberRole,
    PhaseRule,
    ProjectSettings,
    PromotionMode,
    PromotionPolicy,
    ReadingPolicy,
    RoutingRule,
    Segment,
    SelectionPolicy,
    SplitPolicy,
    TrainingPolicy,
)
from control_plane.ports import RegisteredModel, Wish
from radloop.testing import FakeUnitOfWork


class FakeProjects:
    def __init__(self):
        self.stored = {}

    def get(self, project_id):
        return self.stored.get(project_id)

    def with_model_name(self, model_name):
        return next((p.project_id for p in self.stored.values() if p.settings.model_name == model_name), None)

    def save(self, project, by):
        self.stored[project.project_id] = project


@dataclass
class FakeWishes:
    made: list = field(default_factory=list)
    training_requests: list = field(default_factory=list)

    def newest(self, project_id):
        made = [said for said, _, _ in self.made if said.project_id == project_id]
        return Wish(made[-1].sequence, made[-1].model_digest) if made else None

    def add(self, said, kind, by):
        self.made.append((said, kind, by))

    def add_training_request(self, said, by):
        self.training_requests.append((said, by))


@dataclass
class FakeStudies:
    studies: dict = field(default_factory=dict)
    rejections: dict = field(default_factory=dict)
    withdrawn: dict = field(default_factory=dict)
    withdrawn_case_ids: dict = field(default_factory=dict)

    def add(self, study):
        self.studies.setdefault(study.study_key, set()).update(case.case_id for case in study.cases)

    def add_rejection(self, rejection):
        self.rejections[rejection.rejection_id] = rejection

    def withdraw(self, withdrawal):
        self.withdrawn[withdrawal.study_key] = withdrawal.reason

    def is_withdrawn(self, study_key):
        return study_key in self.withdrawn

    def cases_of(self, study_key):
        return sorted(self.studies.get(study_key, ()))

    def withdraw_cases(self, study_key, case_ids):
        self.withdrawn_case_ids.update(dict.fromkeys(case_ids, study_key))

    def withdrawn_among(self, case_ids):
        return set(case_ids) & set(self.withdrawn_case_ids)

    def forget(self, study_key):
        self.studies.pop(study_key, None)


@dataclass
class FakeRounds:
    kept: list = field(default_factory=list)

    def _keep(self, event):
        self.kept.append(event)

    add_prediction = add_failed_prediction = add_flag = add_approval = _keep

    def forget(self, study_key):
        self.kept = [event for event in self.kept if event.study_key != study_key]


@dataclass
class FakeRegistry:
    bundles: dict = field(default_factory=dict)
    dice: dict = field(default_factory=dict)
    datasets: dict = field(default_factory=dict)
    runs: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)

    def add_dataset(self, started):
        self.datasets[started.dataset_version] = started.items

    def run_started(self, started):
        self.runs.setdefault(started.run_id, {})["started"] = True

    def run_waits(self, waiting):
        run = self.runs.setdefault(waiting.run_id, {})
        if "wait" not in run or run["wait"].sequence < waiting.sequence:
            run["wait"] = waiting

    def run_ended_with_model(self, trained):
        self.runs.setdefault(trained.run_id, {})["model"] = trained.model_digest

    def run_failed(self, failed):
        self.runs.setdefault(failed.run_id, {})["failure"] = failed.reason

    def add_trained_model(self, trained):
        self.bundles[trained.project_id, trained.model_digest] = trained.bundle

    def add_candidate(self, deployed):
        self.bundles.setdefault((deployed.project_id, deployed.candidate_digest), deployed.candidate_bundle)

    def add_dice(self, project_id, digest, part, dice):
        self.dice[project_id, digest, part] = list(dice)

    def forget_dice(self, case_ids):
        self.dice = {key: [row for row in rows if row.case_id not in set(case_ids)] for key, rows in self.dice.items()}

    def model(self, project_id, digest):
        bundle = self.bundles.get((project_id, digest))
        return RegisteredModel(project_id, digest, bundle) if bundle else None

    def add_deployment(self, site, deployed):
        self.history.setdefault((site, deployed.project_id), []).append(deployed.serving_digest)
        answered = self.answers.setdefault(deployed.project_id, {})
        answered[site] = max(answered.get(site, 0), deployed.wish_sequence)

    def served(self, project_id):
        return {site: served for (site, project), served in self.history.items() if project == project_id}

    def answered(self, project_id):
        return self.answers.get(project_id, {})


class FakeControlPlane(FakeUnitOfWork):
    def __init__(self):
        super().__init__()
        self.projects = FakeProjects()
        self.wishes = FakeWishes()
        self.studies = FakeStudies()
        self.rounds = FakeRounds()
        self.registry = FakeRegistry()
        self.site = "site-1"


@pytest.fixture
def uow():
    return FakeControlPlane()


def segment(value: int, name: str, code: str = "") -> Segment:
    category = CodedTerm("91723000", "SCT", "Anatomical Structure")
    return Segment(value, name, f"#0000{value:02x}", CodedTerm(code or name.upper(), "99RADLOOP", name), category, True)


@pytest.fixture
def make_segment():
    return segment


@pytest.fixture
def settings():
    return ProjectSettings(
        model_name="hippocampus",
        segments=(segment(1, "anterior"), segment(2, "posterior")),
        overlapping_segments=False,
        routing=(RoutingRule("RADLOOP", "MR", "", ""),),
        split=SplitPolicy(0.15, 0.15),
        phases=PhaseRule.SPLIT,
        selection=SelectionPolicy("entropy-and-sanity", 200, 10, 0.2, False, 0, 1),
        reading=ReadingPolicy(0.1, 0.8, 1800),
        training=TrainingPolicy(10, 5, 0, 400, 200, 2.0, 1, 0, (), (32, 48, 32), 0),
        promotion=PromotionPolicy(PromotionMode.AUTOMATIC, -0.01, 0.05),
        members=(Member("anna", MemberRole.READER), Member("dora", MemberRole.PROJECT_LEAD)),
    )
