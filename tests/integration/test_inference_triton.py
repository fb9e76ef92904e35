"""The service with a real Triton: studies in, predictions out, equal to bare torch; models that load and models that do not."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle_runner.sample import write_sample_bundle
from inference.adapters.triton import PROGRAM
from inference.domain.model import PredictionSettings, prediction_id_of
from radloop.auth import Role
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import infer_pb2, inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.imaging import SEGMENT_BITS, read_nifti, segment_voxels
from standalone.supervisor.ports import free_ports
from tests.integration.inference_platform import (
    AFFINE_LPS,
    THREADS,
    Site,
    TritonProcess,
    object_of,
    picture,
    wait_until,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
RAISES_ABOVE = 1e5


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    process = TritonProcess(tmp_path_factory.mktemp("triton"), free_ports(3))
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory, triton, s3):
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)  # sums are split over threads: equal bits need an equal number
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.credentials.items():
            patch.setenv(name, value)
        running = Site(tmp_path_factory.mktemp("site"), triton.url, s3.url.replace("?", "/inference-triton?"))
        yield running
        running.service.drain()
        running.log.close()
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def serving(site):
    """Return the digest of a model that serves the project "brain"; it raises on very bright images."""
    archive = write_sample_bundle(
        site.folder / "first.zip",
        transforms=(
            {
                "_target_": "Lambdad",
                "keys": "image",
                "func": f"$lambda x: x if x.max() < {RAISES_ABOVE} or x.max() > 1e30 else x.no_such_thing",
            },
        ),
    )
    site.configure("brain")
    digest = site.train("brain", archive)
    deployed = site.waits_for(inference_pb2.ModelDeployed, candidate_digest=digest)
    assert deployed.outcome == inference_pb2.DEPLOYMENT_SERVING
    assert deployed.serving_digest == digest and deployed.bundle.digest == digest and deployed.sequence == 1
    return digest


def check_equal(site, made, digest, bits: bool = False) -> np.ndarray:
    bare = site.bare(made.case_id, digest, bits)
    mask = read_nifti(site.objects.get(object_of(made.mask)))
    uncertainty = read_nifti(site.objects.get(object_of(made.uncertainty)))
    embedding = np.load(io.BytesIO(site.objects.get(object_of(made.embedding))))
    assert mask.array.dtype == (SEGMENT_BITS if bits else np.uint8)
    assert np.array_equal(mask.array, bare.mask.numpy())
    assert np.allclose(mask.affine_lps, AFFINE_LPS, atol=1e-5)
    assert np.array_equal(uncertainty.array, bare.uncertainty.numpy())
    assert np.array_equal(embedding, bare.embedding.numpy())
    assert {score.name: score.value for score in made.scores} == bare.scores
    voxel_ml = abs(np.linalg.det(AFFINE_LPS[:3, :3])) / 1000
    assert {score.name: score.value for score in made.volumes} == pytest.approx(
        {f"segment-{value}-ml": segment_voxels(mask.array, value).sum() * voxel_ml for value in (1, 2)}
    )
    return mask.array


def test_a_study_is_predicted_as_bare_torch_would(site, serving):
    site.ingest("brain", "plain", picture(35, 50, 36))
    made = site.waits_for(inference_pb2.PredictionMade, case_id="plain-case")
    assert made.prediction_id == prediction_id_of("plain-case", serving, PredictionSettings().digest)
    assert (made.study_key, made.project_id, made.model_name, made.round_id) == ("plain", "brain", "brain-model", "")
    check_equal(site, made, serving)


def test_a_large_volume_goes_through_in_windows(site, serving):
    site.ingest("brain", "large", picture(100, 90, 70, seed=1))
    check_equal(site, site.waits_for(inference_pb2.PredictionMade, case_id="large-case"), serving)


def test_a_round_gets_what_was_made_before_with_its_own_id(site, serving):
    site.ingest("brain", "again", picture(20, 20, 20, seed=2))
    first = site.waits_for(inference_pb2.PredictionMade, case_id="again-case")
    site.hear(
        edge_miner_pb2.PredictionRequested(
            case_id="again-case", study_key="again", project_id="brain", model_digest=serving, round_id="round-7"
        )
    )
    second = site.waits_for(inference_pb2.PredictionMade, case_id="again-case", round_id="round-7")
    first.round_id = "round-7"
    assert second == first


@pytest.mark.parametrize(
    ("name", "channels", "reason"),
    [
        ("bright", [picture(20, 20, 20) + 2e5], "PROGRAM_RAISED"),
        ("two-channels", [picture(20, 20, 20), picture(20, 20, 20)], "UNSUITABLE"),
        ("overflowing", [picture(20, 20, 20) * np.float32(1e36)], "NOT_FINITE"),
        ("with-holes", [np.where(picture(20, 20, 20) > 120, np.nan, 1).astype(np.float32)], "UNREADABLE"),
    ],
)
def test_what_cannot_be_predicted_on_is_said_with_its_reason(site, serving, name, channels, reason):
    site.ingest("brain", name, *channels)
    failed = site.waits_for(inference_pb2.PredictionFailed, case_id=f"{name}-case")
    assert inference_pb2.PredictionFailure.Name(failed.reason) == f"PREDICTION_FAILURE_{reason}"
    assert failed.model_digest == serving
    shown = site.client.get(f"/v1/predictions/{failed.prediction_id}", headers=site.headers(Role.SITE_ADMIN)).json()
    assert shown["state"] == "failed" and shown["detail"]
    # The service is well: the next study is predicted.
    site.ingest("brain", f"after-{name}", picture(16, 16, 16))
    site.waits_for(inference_pb2.PredictionMade, case_id=f"after-{name}-case")


def test_a_bundle_that_fails_to_load_is_reported_and_the_old_one_serves_on(site, serving):
    archive = site.folder / "broken.zip"
    source = site.bundles[serving]
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(archive, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"no weights" if name == "models/model.pt" else old.read(name))
    digest = site.train("brain", archive, compared_with=serving)
    deployed = site.waits_for(inference_pb2.ModelDeployed, candidate_digest=digest)
    assert deployed.outcome == inference_pb2.DEPLOYMENT_LOAD_FAILED
    assert deployed.serving_digest == serving and deployed.candidate_bundle.digest == digest
    site.ingest("brain", "after-broken", picture(16, 16, 16))
    assert site.waits_for(inference_pb2.PredictionMade, case_id="after-broken-case").model_digest == serving


def test_a_bundle_that_loads_and_cannot_predict_is_not_taken(site, serving):
    archive = write_sample_bundle(
        site.folder / "dead.zip", transforms=({"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x / 0 * 0"},)
    )
    digest = site.train("brain", archive, compared_with=serving)
    deployed = site.waits_for(inference_pb2.ModelDeployed, candidate_digest=digest)
    assert deployed.outcome == inference_pb2.DEPLOYMENT_LOAD_FAILED and deployed.serving_digest == serving
    models = site.client.get("/v1/models", headers=site.headers(Role.READER)).json()["models"]
    detail = next(model["detail"] for model in models if model["model_digest"] == digest)
    assert detail.startswith("not-finite")


def test_a_candidate_that_is_not_taken_is_unloaded(site, serving, triton):
    archive = write_sample_bundle(site.folder / "worse.zip", seed=9)
    digest = site.train("brain", archive, compared_with=serving, passes=False)
    deployed = site.waits_for(inference_pb2.ModelDeployed, candidate_digest=digest)
    assert deployed.outcome == inference_pb2.DEPLOYMENT_KEPT and deployed.serving_digest == serving
    name, served = (f"brain-model-{each.removeprefix('sha256:')[:12]}" for each in (digest, serving))
    wait_until(lambda: name not in triton.client.loaded(), "the candidate is unloaded")
    assert served in triton.client.loaded()


def test_the_last_wish_wins_and_each_is_answered(site, triton):
    def wish(sequence: int, digest: str) -> None:
        wanted = control_plane_pb2.ModelPromoted(
            model_name="wishes-model",
            project_id="wishes",
            model_digest=digest,
            bundle=bundles[digest],
            sequence=sequence,
        )
        site.hear(wanted)

    def answers(*sequences: int) -> list[tuple[str, str, str]]:
        said = [site.waits_for(inference_pb2.ModelDeployed, project_id="wishes", wish_sequence=n) for n in sequences]
        return [
            (inference_pb2.Deployment.Name(each.outcome), each.candidate_digest, each.serving_digest) for each in said
        ]

    site.configure("wishes")
    archives = [write_sample_bundle(site.folder / f"wish-{seed}.zip", seed=20 + seed) for seed in range(3)]
    refs = [site.store(f"trainer/wishes/{archive.name}", archive.read_bytes()) for archive in archives]
    bundles = {ref.digest: ref for ref in refs}
    first, second, third = bundles
    wish(1, first)
    assert answers(1) == [("DEPLOYMENT_SERVING", first, first)]
    wish(2, second)
    assert answers(2) == [("DEPLOYMENT_SERVING", second, second)]
    # Back and forth while the third is loading, and while the first is loaded again.
    wish(3, third)
    loading = f"wishes-model-{third.removeprefix('sha256:')[:12]}"
    wait_until(lambda: loading in triton.client.loaded(), "the third is loading")
    wish(4, first)
    wish(5, second)
    serving = ("DEPLOYMENT_SERVING", second, second)
    assert answers(5) == [serving]
    outcomes = {outcome for outcome, _, _ in answers(3, 4)}
    assert outcomes <= {"DEPLOYMENT_OVERTAKEN", "DEPLOYMENT_SERVING"}
    newest = max(site.said(inference_pb2.ModelDeployed, project_id="wishes"), key=lambda each: each.sequence)
    assert (newest.wish_sequence, newest.serving_digest) == (5, second)


@pytest.mark.parametrize(("project", "overlapping"), [("brought", False), ("brought-regions", True)])
def test_a_brought_bundle_serves_and_its_members_disagree(site, triton, project, overlapping):
    site.configure(project, overlapping)
    archive = write_sample_bundle(
        site.folder / f"{project}.zip",
        channels=2,
        members=3,
        postprocessing=({"_target_": "Activationsd", "keys": "pred", "sigmoid": True},) if overlapping else (),
        transforms=({"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 1.5], "mode": "bilinear"},),
    )
    form = {"project_id": project, "model_name": "visitor", "serve": "true"}
    wait_until(lambda: project in known_projects(site), "the project is known")
    answer = site.client.post(
        "/v1/models", data=form, files={"file": archive.read_bytes()}, headers=site.headers(Role.SITE_ADMIN)
    )
    assert answer.status_code == 201, answer.text
    digest = answer.json()["model_digest"]
    site.bundles[digest] = archive
    outcomes = [
        site.waits_for(inference_pb2.ModelDeployed, project_id=project, sequence=number).outcome for number in (1, 2)
    ]
    assert outcomes == [inference_pb2.DEPLOYMENT_IMPORTED, inference_pb2.DEPLOYMENT_SERVING]
    site.ingest(project, f"{project}-pair", picture(30, 28, 26, seed=3), picture(30, 28, 26, seed=4))
    made = site.waits_for(inference_pb2.PredictionMade, case_id=f"{project}-pair-case")
    assert made.model_name == "visitor"
    assert {"mutual-information", "pairwise-dice"} <= {score.name for score in made.scores}
    mask = check_equal(site, made, digest, overlapping)
    assert (segment_voxels(mask, 1) & segment_voxels(mask, 2)).any() == overlapping


def known_projects(site) -> set[str]:
    from inference.adapters.sql import SqlProjects

    with site.service.database.begin(read_only=True) as connection:
        return {project.project_id for project in SqlProjects(connection).all()}


def test_a_person_waits_for_a_prediction(site, serving):
    site.ingest("brain", "asked", picture(18, 18, 18, seed=5))
    site.waits_for(inference_pb2.PredictionMade, case_id="asked-case")
    body = {"project_id": "brain", "case_id": "asked-case"}
    lead = site.headers(Role.PROJECT_LEAD)
    answer = site.client.post("/v1/infer", json=body, headers=lead)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert set(shown) == {field.name for field in infer_pb2.InferResponse.DESCRIPTOR.fields}
    assert shown["state"] == "made" and shown["model_digest"] == serving
    mask = site.client.get(f"/v1/predictions/{shown['prediction_id']}/mask", headers=lead)
    assert read_nifti(mask.content).array.shape == (18, 18, 18)
    assert site.client.get(f"/v1/predictions/{shown['prediction_id']}/uncertainty", headers=lead).status_code == 200
    listed = site.client.get("/v1/predictions", params={"case_id": "asked-case"}, headers=lead).json()
    assert [one["prediction_id"] for one in listed["predictions"]] == [shown["prediction_id"]]
    for changed, code in (
        ({"model_digest": "sha256:" + "0" * 64}, "model-unknown"),
        ({"case_id": "nobody"}, "case-unknown"),
        ({"project_id": "brought", "case_id": "asked-case"}, "case-unknown"),
    ):
        refused = site.client.post("/v1/infer", json=body | changed, headers=lead)
        assert (refused.status_code, refused.json()["error"]) == (404, code)
    assert site.client.post("/v1/infer", json=body, headers=site.headers(Role.READER)).status_code == 403


def test_a_withdrawn_study_is_forgotten_and_stays_so(site, serving):
    site.ingest("brain", "secret", picture(16, 16, 16, seed=6))
    made = site.waits_for(inference_pb2.PredictionMade, case_id="secret-case")
    site.hear(ingest_pb2.StudyWithdrawn(study_key="secret", reason=ingest_pb2.WITHDRAW_REASON_CONSENT))
    wait_until(lambda: not site.objects.keys("inference/secret/"), "the objects are deleted")
    lead = site.headers(Role.PROJECT_LEAD)
    assert site.client.get(f"/v1/predictions/{made.prediction_id}", headers=lead).status_code == 404
    site.ingest("brain", "secret", picture(16, 16, 16, seed=6))
    site.ingest("brain", "after-secret", picture(16, 16, 16, seed=7))
    site.waits_for(inference_pb2.PredictionMade, case_id="after-secret-case")
    assert len(site.said(inference_pb2.PredictionMade, case_id="secret-case")) == 1


def test_studies_wait_while_triton_is_away_and_none_is_lost(site, serving, triton):
    triton.kill()
    lead = site.headers(Role.PROJECT_LEAD)

    def status() -> dict:
        return site.client.get("/v1/status", headers=lead).json()

    wait_until(lambda: status()["triton"] == "away", "the service sees that Triton is away")
    for number in range(6):
        site.ingest("brain", f"waiting-{number}", picture(16, 16, 16, seed=number))
    wait_until(lambda: status()["waiting"] == 6, "six predictions wait")
    triton.start()
    for number in range(6):
        made = site.waits_for(inference_pb2.PredictionMade, case_id=f"waiting-{number}-case")
        assert made.model_digest == serving
    assert status()["waiting"] == 0 and status()["serving"]["brain"] == serving


def test_the_service_sends_the_program_the_runner_has():
    assert (ROOT / "services/inference/triton/bundle_runner/model.py").read_bytes() == PROGRAM


def test_refused_bundles_say_what_is_missing(site, serving):
    admin = site.headers(Role.SITE_ADMIN)
    whole = site.bundles[serving]
    for missing in ("configs/metadata.json", "configs/inference.json", "models/model.pt"):
        archive = io.BytesIO()
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(archive, "w") as new:
            for name in old.namelist():
                if name != missing:
                    new.writestr(name, old.read(name))
        form = {"project_id": "brain", "model_name": "visitor"}
        answer = site.client.post("/v1/models", data=form, files={"file": archive.getvalue()}, headers=admin)
        assert answer.status_code == 422 and answer.json()["error"] == "bundle-incomplete"
        assert missing in json.dumps(answer.json())
