"""`trainer`'s HTTP API with its real database and object store: who may ask what, and exports that others can read."""

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from radloop.auth import EVERY_PROJECT, Role
from radloop.imaging import Volume, read_nifti, write_nifti
from radloop.objects import open_objects
from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus, Split, digest_of
from radloop.settings import SharedSettings
from radloop.testing.databases import ONE_ENGINE
from trainer.adapters.sql import TrainerSqlUnitOfWork
from trainer.adapters.tables import METADATA
from trainer.adapters.wire import WIRE
from trainer.app import build
from trainer.domain import messages as m
from trainer.domain.dataset import canonical
from trainer.domain.model import ApprovedLabel, RunState, TrainingCase, run_id_of
from trainer.settings import TrainerSettings

pytestmark = pytest.mark.integration

PROJECT, OTHER = "hippocampus", "prostate"
RUN = run_id_of("site-1", PROJECT, 1)
SPLITS = (Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)
AFFINE = np.array([[-0.8, 0.1, 0.0, 5.0], [0.1, -0.8, 0.0, -3.0], [0.0, 0.0, 2.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
OVERSEERS = {Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR}
DECIDERS = {Role.PROJECT_LEAD, Role.SITE_ADMIN}
ANYBODY = set(Role)
ENDPOINTS = {
    "GET /v1/runs": OVERSEERS,
    "GET /v1/runs/{run_id}": OVERSEERS,
    "GET /v1/runs/{run_id}/log": OVERSEERS,
    "POST /v1/runs/{run_id}/cancel": DECIDERS,
    "GET /v1/datasets/{digest}": OVERSEERS,
    "GET /v1/datasets/{digest}/export": DECIDERS,
    "GET /v1/withdrawn": OVERSEERS,
    "GET /v1/status": ANYBODY,  # counts only; as of the other services
}


def array(number: int, channel: int) -> np.ndarray:
    return np.random.default_rng([number, channel]).integers(0, 1000, (6, 5, 4)).astype(np.int16)


def mask(number: int) -> np.ndarray:
    return np.random.default_rng([number, 9]).integers(0, 3, (6, 5, 4)).astype(np.uint8)


class Site:
    """A service with one queued run on four cases of two channels; its loops are never turned, so no job starts."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder / 'events.db'}",
            database_url=database_url,
            objects_url=f"file:///{folder / 'objects'}",
            auth_url=f"token:{folder / 'secret'}",
            work_dir=folder / "work",
        )
        self.service = build(TrainerSettings(shared=shared))
        self.client = TestClient(self.service.http)
        self.objects = open_objects(shared.objects_url)
        self.policy = next(worker for worker in self.service.workers if worker.name == "policy")
        for number, split in enumerate(SPLITS):
            self.take_in(number, split)
        self.tell(project(PROJECT), project(OTHER))
        self.policy.step()
        with self.open() as uow:
            self.version = uow.runs.get(RUN).dataset_version

    def open(self) -> TrainerSqlUnitOfWork:
        return TrainerSqlUnitOfWork(self.service.database, WIRE, source="/site-1/trainer")

    def tell(self, *projects: m.ProjectConfigured) -> None:
        with self.open() as uow:
            for each in projects:
                uow.projects.save(each)
            uow.commit()

    def take_in(self, number: int, split: Split) -> None:
        put = partial(self.put, number)
        volumes = tuple(put(f"channel-{channel}", array(number, channel)) for channel in (0, 1))
        ids = (f"case-{number}", f"study-{number}", PROJECT)
        states = tuple(SegmentStatus(value, SegmentState.ANNOTATED) for value in (1, 2))
        arm = Arm.MINED if number == 1 else None
        with self.open() as uow:
            uow.labels.save_case(TrainingCase(*ids, f"patient-{number}", split, volumes))
            uow.labels.save_label(
                ApprovedLabel(*ids, f"label-{number}", put("label", mask(number)), states, arm, 1), 1.0
            )
            uow.commit()

    def put(self, number: int, name: str, values: np.ndarray) -> ObjectRef:
        return self.objects.put(f"ingest/study-{number}/{name}.nii", write_nifti(Volume(values, AFFINE)))

    def ask(self, endpoint: str, roles: dict[str, set[Role]] | None, subject: str = "ada", **query: str) -> Any:
        method, path = endpoint.format(run_id=RUN, digest=self.version).split(" ")
        issue = self.service.http.state.authenticator.issue
        headers = {} if roles is None else {"Authorization": f"Bearer {issue(subject, roles, lifetime_s=600)}"}
        wants_project = path in ("/v1/runs", "/v1/withdrawn")
        query = ({"project_id": PROJECT} if wants_project else {}) | query
        return self.client.request(method, path, headers=headers, params={k: v for k, v in query.items() if v})

    def archive(self, layout: str) -> zipfile.ZipFile:
        answer = self.ask("GET /v1/datasets/{digest}/export", {PROJECT: {Role.PROJECT_LEAD}}, format=layout)
        assert answer.status_code == 200, answer.text
        return zipfile.ZipFile(io.BytesIO(answer.content))

    def leftovers(self) -> list[Path]:
        return list((self.folder / "work").glob("export-*"))


def project(project_id: str, *members: m.Member, version: int = 1, overlapping: bool = False) -> m.ProjectConfigured:
    return m.ProjectConfigured(
        project_id,
        version,
        "model",
        (m.Segment(1, "anterior"), m.Segment(2, "posterior")),
        m.TrainingPolicy(2, 1, 0, 10, 5, 3.0, 1, 7, (), (16, 16, 16), 0),
        m.PromotionPolicy(m.PromotionMode.AUTOMATIC, 0.0, 0.05),
        members,
        overlapping,
    )


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    site = Site(tmp_path, database_url)
    yield site
    site.client.close()
    site.service.consumer.close()
    site.service.event_log.close()
    site.service.database.close()


# Who may ask


def test_the_table_names_every_endpoint(site: Site) -> None:
    paths = site.service.http.openapi()["paths"]
    found = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert found == {*ENDPOINTS, "POST /v1/objects/sweep", "GET /v1/audit", "GET /v1/studies/{study_key}/remains"}


def test_only_the_sites_administrator_sweeps(site: Site) -> None:
    for role in Role:
        may = role is Role.SITE_ADMIN
        for roles, status in (({EVERY_PROJECT: {role}}, 200 if may else 403), ({PROJECT: {role}}, 403)):
            token = site.service.http.state.authenticator.issue("ada", roles, lifetime_s=600)
            headers = {"Authorization": f"Bearer {token}"}
            assert site.client.post("/v1/objects/sweep", json={"dry_run": True}, headers=headers).status_code == status


def test_a_sweep_without_grace_is_refused(site: Site) -> None:
    token = site.service.http.state.authenticator.issue("ada", {EVERY_PROJECT: {Role.SITE_ADMIN}}, lifetime_s=600)
    answer = site.client.post("/v1/objects/sweep", json={"grace_s": 0}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 422 and answer.json()["error"] == "grace-too-short"


@ONE_ENGINE
@pytest.mark.parametrize("endpoint", list(ENDPOINTS))
def test_roles(site: Site, endpoint: str) -> None:
    may = ENDPOINTS[endpoint]
    for role in Role:
        expected = 200 if role in may else 403
        assert site.ask(endpoint, {PROJECT: {role}}).status_code == expected, role
        assert site.ask(endpoint, {EVERY_PROJECT: {role}}).status_code == expected, role
        elsewhere = 200 if may == ANYBODY else 403
        assert site.ask(endpoint, {OTHER: {role}}).status_code == elsewhere, role
    assert site.ask(endpoint, {}).status_code == (200 if may == ANYBODY else 403)
    assert site.ask(endpoint, None).status_code == 401


@ONE_ENGINE
@pytest.mark.parametrize("endpoint", [name for name in ENDPOINTS if name != "GET /v1/status"])
def test_a_reader_is_refused_and_nothing_happens(site: Site, endpoint: str) -> None:
    answer = site.ask(endpoint, {PROJECT: {Role.READER}})
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    with site.open() as uow:
        assert uow.runs.get(RUN).state is RunState.QUEUED
    assert site.leftovers() == []


@pytest.mark.parametrize(("role", "status"), [("reviewer", 200), ("reader", 403)])
def test_the_projects_own_members_need_no_role_in_their_token(site: Site, role: str, status: int) -> None:
    site.tell(project(PROJECT, m.Member("ada", m.Role(role)), version=2))
    assert site.ask("GET /v1/runs", {}).status_code == status
    assert site.ask("GET /v1/runs", {}, subject="eve").status_code == 403


def test_all_runs_are_for_who_sees_the_whole_site(site: Site) -> None:
    assert site.ask("GET /v1/runs", {PROJECT: {Role.SITE_ADMIN}}, project_id="").status_code == 403
    answer = site.ask("GET /v1/runs", {EVERY_PROJECT: {Role.AUDITOR}}, project_id="")
    assert [run["run_id"] for run in answer.json()["runs"]] == [RUN]


@ONE_ENGINE
@pytest.mark.parametrize("path", ["/v1/runs/unknown", "/v1/datasets/sha256:0", "/v1/datasets/sha256:0/export"])
def test_what_is_not_there(site: Site, path: str) -> None:
    assert site.ask(f"GET {path}", {EVERY_PROJECT: {Role.SITE_ADMIN}}).status_code == 404


# What is answered


def test_a_run_and_its_dataset_version(site: Site) -> None:
    lead = {PROJECT: {Role.PROJECT_LEAD}}
    (run,) = site.ask("GET /v1/runs", lead).json()["runs"]
    assert run == site.ask("GET /v1/runs/{run_id}", lead).json()
    assert (run["state"], run["progress"], run["dataset_version"]) == ("queued", {}, site.version)
    assert "plan" not in run
    dataset = site.ask("GET /v1/datasets/{digest}", lead).json()
    assert digest_of(canonical({"format": 1, "items": dataset["items"]})) == site.version
    assert [item["split"] for item in dataset["items"]] == ["train", "train", "validation", "test"]
    assert [item["weight"] for item in dataset["items"]] == [1.0, 3.0, 1.0, 1.0]


def test_a_cancelled_run_cannot_be_revived_and_is_audited(site: Site) -> None:
    lead = {PROJECT: {Role.PROJECT_LEAD}}
    for _ in range(2):
        assert site.ask("POST /v1/runs/{run_id}/cancel", lead).json()["state"] == "cancelled"
    site.policy.step()
    assert site.ask("GET /v1/status", {}).json() == {"runs": {"cancelled": 1}}
    assert ("ada", "run-cancelled", RUN) in _audited(site)


def test_the_log_of_a_run_is_shown(site: Site) -> None:
    ask = partial(site.ask, "GET /v1/runs/{run_id}/log", {PROJECT: {Role.AUDITOR}})
    assert ask().text == ""
    (site.folder / "work" / RUN).mkdir(parents=True)
    (site.folder / "work" / RUN / "log.txt").write_text("begun\n")
    assert ask().text == "begun\n" and ask().headers["content-type"].startswith("text/plain")


def test_progress_is_shown(site: Site) -> None:
    (site.folder / "work" / RUN).mkdir(parents=True)
    (site.folder / "work" / RUN / "progress.json").write_text('{"step": 3, "steps": 9, "loss": 0.5}')
    answer = site.ask("GET /v1/runs/{run_id}", {PROJECT: {Role.AUDITOR}})
    assert answer.json()["progress"] == {"step": 3, "steps": 9, "loss": 0.5}


# Exports


def test_a_monai_datalist_that_monai_loads(site: Site, tmp_path: Path) -> None:
    from monai.data import load_decathlon_datalist

    folder = tmp_path / "monai"
    site.archive("monai").extractall(folder)
    loaded = {
        section: load_decathlon_datalist(folder / "datalist.json", True, section)
        for section in ("training", "validation", "test")
    }
    assert {section: len(entries) for section, entries in loaded.items()} == {"training": 2, "validation": 1, "test": 1}
    for number, entry in enumerate([*loaded["training"], *loaded["validation"], *loaded["test"]]):
        for channel, path in enumerate(entry["image"]):
            read = read_nifti(Path(path).read_bytes())
            assert np.array_equal(read.array, array(number, channel)) and np.allclose(read.affine_lps, AFFINE)
        assert np.array_equal(read_nifti(Path(entry["label"]).read_bytes()).array, mask(number))
        assert entry["label_version_id"] == f"label-{number}"
    assert [(entry["weight"], entry["arm"]) for entry in loaded["training"]] == [(1.0, "none"), (3.0, "mined")]
    content = json.loads((folder / "datalist.json").read_text())
    assert content["labels"] == {"0": "background", "1": "anterior", "2": "posterior"}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.nii.gz")}
    images = {f"images/case-{n}_{channel:04d}.nii.gz" for n in range(4) for channel in (0, 1)}
    assert files == images | {f"labels/case-{n}.nii.gz" for n in range(4)}


def test_the_nnunet_layout_is_complete(site: Site, tmp_path: Path) -> None:
    site.archive("nnunet").extractall(tmp_path / "raw")
    (root,) = (tmp_path / "raw").iterdir()
    assert root.name == f"Dataset001_{PROJECT}"
    content = json.loads((root / "dataset.json").read_text())
    assert content == {
        "channel_names": {"0": "channel-0", "1": "channel-1"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    splits = json.loads((root / "splits_final.json").read_text())
    assert splits == [{"train": ["case-0", "case-1"], "val": ["case-2"]}]
    files = {path.relative_to(root).as_posix() for path in root.rglob("*.nii.gz")}
    parts = ["Tr", "Tr", "Tr", "Ts"]
    images = {f"images{parts[n]}/case-{n}_{channel:04d}.nii.gz" for n in range(4) for channel in (0, 1)}
    assert files == images | {f"labels{parts[n]}/case-{n}.nii.gz" for n in range(4)}
    for number, part in enumerate(parts):
        label = read_nifti((root / f"labels{part}" / f"case-{number}.nii.gz").read_bytes())
        image = read_nifti((root / f"images{part}" / f"case-{number}_0001.nii.gz").read_bytes())
        assert np.array_equal(label.array, mask(number)) and np.array_equal(image.array, array(number, 1))
        assert np.allclose(label.affine_lps, image.affine_lps)


def test_segments_that_overlap_go_out_as_they_are_stored_and_in_no_label_map(site: Site, tmp_path: Path) -> None:
    from monai.data import load_decathlon_datalist

    assert "description" not in json.loads(site.archive("monai").read("datalist.json"))
    site.tell(project(PROJECT, version=2, overlapping=True))
    site.archive("monai").extractall(tmp_path)
    content = json.loads((tmp_path / "datalist.json").read_text())
    assert "bit v - 1 is set" in content["description"] and content["labels"]["2"] == "posterior"
    assert len(load_decathlon_datalist(tmp_path / "datalist.json", True, "training")) == 2
    with site.open() as uow:
        stored = {source.case_id: site.objects.get(source.mask) for source in uow.runs.dataset(site.version).sources}
    assert {name: gzip.decompress((tmp_path / f"labels/{name}.nii.gz").read_bytes()) for name in stored} == stored
    answer = site.ask("GET /v1/datasets/{digest}/export", {PROJECT: {Role.PROJECT_LEAD}}, format="nnunet")
    assert (answer.status_code, answer.json()["error"]) == (409, "export-overlapping-segments")
    assert "format=monai" in answer.json()["do"] and site.leftovers() == []


def test_the_same_version_is_the_same_zip_but_for_its_dates(site: Site) -> None:
    first, second = site.archive("monai"), site.archive("monai")
    assert [(entry.filename, entry.CRC) for entry in first.infolist()] == [
        (entry.filename, entry.CRC) for entry in second.infolist()
    ]


def test_an_export_is_audited_and_leaves_no_file(site: Site) -> None:
    site.archive("monai")
    assert ("ada", "dataset-exported", site.version) in _audited(site)
    assert site.leftovers() == []


@pytest.mark.parametrize("layout", ["monai", "nnunet"])
def test_an_export_that_fails_leaves_no_file(site: Site, layout: str) -> None:
    site.objects.delete("ingest/study-2/label.nii")
    answer = site.ask("GET /v1/datasets/{digest}/export", {PROJECT: {Role.PROJECT_LEAD}}, format=layout)
    assert (answer.status_code, answer.json()["error"]) == (404, "object-missing")
    assert site.leftovers() == []


def test_what_was_withdrawn_is_listed_and_not_exported(site: Site) -> None:
    with site.open() as uow:
        uow.withdrawn.forget("study-1", [site.version])
        uow.commit()
    listed = site.ask("GET /v1/withdrawn", {PROJECT: {Role.AUDITOR}}).json()["withdrawn"]
    assert listed == [{"study_key": "study-1", "dataset_version": site.version, "model_digest": ""}]
    answer = site.ask("GET /v1/datasets/{digest}/export", {PROJECT: {Role.PROJECT_LEAD}})
    assert (answer.status_code, answer.json()["error"]) == (409, "dataset-withdrawn")


def test_no_such_layout(site: Site) -> None:
    answer = site.ask("GET /v1/datasets/{digest}/export", {PROJECT: {Role.PROJECT_LEAD}}, format="dicom")
    assert answer.status_code == 422


def _audited(site: Site) -> list[tuple[str, str, str]]:
    with site.open() as uow:
        rows = uow.connection.execute(METADATA.tables["audit"].select())
        return [(row.subject, row.action, row.target) for row in rows]
