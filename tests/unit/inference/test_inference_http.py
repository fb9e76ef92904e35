"""The HTTP API on fakes: who may see what, what is waited for, which bundles are taken."""

import io
import zipfile
from dataclasses import replace
from functools import partial

import pytest
from fastapi.testclient import TestClient

from inference.adapters.http import InferApi, router
from inference.domain import messages as m
from inference.domain.model import PredictionSettings, PredictionState
from inference.handlers import HANDLERS
from radloop.auth import Role, TokenAuthenticator
from radloop.contracts.inference.v1 import infer_pb2
from radloop.http import create_http
from radloop.testing import FakeObjects, deliver

SETTINGS = PredictionSettings()
MASK = b"a mask"


def archive(*left_out):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        for name in ("configs/metadata.json", "configs/inference.json", "models/model.pt"):
            if name not in left_out:
                bundle.writestr(name, "{}")
    return content.getvalue()


class Api:
    def __init__(self, uow):
        self.uow, self.objects, self.ready = uow, FakeObjects(), True
        self.authenticator = TokenAuthenticator("s" * 32)
        handlers = dict(HANDLERS) | {
            m.AskForPrediction: partial(HANDLERS[m.AskForPrediction], settings=SETTINGS),
            m.StudyIngested: partial(HANDLERS[m.StudyIngested], settings=SETTINGS),
        }
        self.handlers = handlers
        api = InferApi(
            partial(deliver, handlers, uow),
            lambda read_only=False: uow,
            self.objects,
            lambda: self.ready,
            settings=SETTINGS,
            wait_s=0.1,
            bundle_limit_bytes=2000,
        )
        app = create_http("inference", self.authenticator, {})
        app.include_router(router(api))
        self.client = TestClient(app)

    def headers(self, *roles, subject="dora", project="p"):
        token = self.authenticator.issue(subject, {project: roles}, lifetime_s=60)
        return {"Authorization": f"Bearer {token}"}

    def hand(self, *messages):
        return deliver(self.handlers, self.uow, *messages)


@pytest.fixture
def overlapping():
    """Whether the project's segments may overlap."""
    return False


@pytest.fixture
def api(uow, events, overlapping):
    """An API over a project whose model "a" serves, with one case waiting to be predicted."""
    api = Api(uow)
    members = (m.Member("paul", m.MemberRole.REVIEWER),)
    api.hand(events.project(members=members, overlapping_segments=overlapping), events.trained("a"))
    api.hand(m.ConcludeDeployment(1, events.digest("a"), True, ""), events.study("study", "case"))
    return api


@pytest.fixture
def made(api):
    (waiting,) = api.uow.predictions.rows.values()
    prediction = replace(waiting, state=PredictionState.MADE, mask=api.objects.put("inference/study/p/mask.nii", MASK))
    api.uow.predictions.save(prediction)
    return prediction


BODY = {"project_id": "p", "case_id": "case"}


def test_a_prediction_that_was_made_is_answered_as_the_contract_says(api, made):
    answer = api.client.post("/v1/infer", json=BODY, headers=api.headers(Role.PROJECT_LEAD))
    assert answer.status_code == 200
    shown = answer.json()
    assert set(shown) == {field.name for field in infer_pb2.InferResponse.DESCRIPTOR.fields}
    assert shown["state"] == "made" and shown["mask"]["digest"] == made.mask.digest and shown["reason"] is None
    assert f"PREDICTION_STATE_{shown['state'].upper()}" in infer_pb2.PredictionState.keys()


@pytest.mark.parametrize("overlapping", [True])
def test_a_prediction_of_bits_is_found_under_its_own_identity(api, made):
    answer = api.client.post("/v1/infer", json=BODY, headers=api.headers(Role.PROJECT_LEAD))
    assert answer.status_code == 200 and answer.json()["prediction_id"] == made.prediction_id
    assert answer.json()["settings_digest"] == replace(SETTINGS, segment_bits=True).digest
    assert len(api.uow.predictions.rows) == 1


def test_states_are_those_of_the_contract():
    names = {name.removeprefix("PREDICTION_STATE_") for name in infer_pb2.PredictionState.keys()} - {"UNSPECIFIED"}
    assert names == {state.name for state in PredictionState}


@pytest.mark.parametrize(("ready", "got"), [(True, "Triton is busy"), (False, "Triton is away")])
def test_waiting_too_long_is_no_failure_and_says_why(api, ready, got):
    api.ready = ready
    answer = api.client.post("/v1/infer", json=BODY, headers=api.headers(Role.PROJECT_LEAD))
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "5"
    assert answer.json()["error"] == "prediction-waits" and answer.json()["got"] == got
    (waiting,) = api.uow.predictions.rows.values()
    assert waiting.urgent and waiting.state is PredictionState.WAITING


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"case_id": "nobody"}, 404, "case-unknown"),
        ({"model_digest": "sha256:x"}, 404, "model-unknown"),
        ({"case_id": None}, 422, "request-invalid"),
    ],
)
def test_what_is_unknown_is_named(api, changed, status, code):
    answer = api.client.post("/v1/infer", json=BODY | changed, headers=api.headers(Role.PROJECT_LEAD))
    assert (answer.status_code, answer.json()["error"]) == (status, code)


@pytest.mark.parametrize("role", Role)
def test_readers_and_auditors_see_no_predictions_here(api, made, role):
    allowed = role in (Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN)
    identity = made.prediction_id
    for call in (
        lambda headers: api.client.post("/v1/infer", json=BODY, headers=headers),
        lambda headers: api.client.get(f"/v1/predictions/{identity}", headers=headers),
        lambda headers: api.client.get(f"/v1/predictions/{identity}/mask", headers=headers),
        lambda headers: api.client.get("/v1/predictions?case_id=case", headers=headers),
    ):
        assert call(api.headers(role)).status_code == (200 if allowed else 403)
        assert call(api.headers(role, project="another")).status_code == 403
    assert api.client.get(f"/v1/predictions/{identity}").status_code == 401


def test_membership_of_the_project_counts(api, made):
    headers = api.headers(subject="paul", project="another")
    assert api.client.get(f"/v1/predictions/{made.prediction_id}", headers=headers).status_code == 200
    assert len(api.client.get("/v1/models", headers=headers).json()["models"]) == 1
    assert api.client.get("/v1/models", headers=api.headers(project="another")).json() == {"models": []}


def test_a_view_of_a_mask_is_audited_and_what_is_missing_is_404(api, made):
    headers = api.headers(Role.REVIEWER)
    assert api.client.get(f"/v1/predictions/{made.prediction_id}/mask", headers=headers).content == MASK
    assert api.uow.audit_entries[-1] == ("dora", "view-mask", "case") and api.uow.committed
    missing = api.client.get(f"/v1/predictions/{made.prediction_id}/uncertainty", headers=headers)
    assert (missing.status_code, missing.json()["error"]) == (404, "uncertainty-missing")
    assert api.client.get("/v1/predictions/unknown", headers=headers).status_code == 404


def bring(api, data, *roles, **form):
    form = {"project_id": "p", "model_name": "visitor"} | form
    return api.client.post("/v1/models", data=form, files={"file": data}, headers=api.headers(*roles))


def test_a_site_administrator_brings_a_model(api):
    answer = bring(api, archive(), Role.SITE_ADMIN)
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["state"] == "imported" and shown["model_name"] == "visitor"
    (key,) = api.objects.keys("inference/models/")
    assert key == f"inference/models/{shown['model_digest'].removeprefix('sha256:')}.zip"
    assert bring(api, archive(), Role.SITE_ADMIN).json() == shown
    assert api.uow.deployments.next() is None
    bring(api, archive(), Role.SITE_ADMIN, serve="true")
    assert api.uow.deployments.next().model_digest == shown["model_digest"]


@pytest.mark.parametrize(
    ("data", "role", "form", "status", "code"),
    [
        (archive(), Role.PROJECT_LEAD, {}, 403, "forbidden"),
        (archive(), Role.SITE_ADMIN, {"model_name": "../x"}, 422, "request-invalid"),
        (b"no zip", Role.SITE_ADMIN, {}, 422, "bundle-not-zip"),
        (archive("models/model.pt"), Role.SITE_ADMIN, {}, 422, "bundle-incomplete"),
        (bytes(2001), Role.SITE_ADMIN, {}, 422, "bundle-too-large"),
    ],
)
def test_bundles_that_are_refused_leave_nothing(api, data, role, form, status, code):
    answer = bring(api, data, role, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert api.objects.stored == {} and len(api.uow.models.rows) == 1


def test_a_model_for_an_unknown_project_is_refused_before_it_is_stored(api):
    token = api.authenticator.issue("root", {"*": [Role.SITE_ADMIN]}, lifetime_s=60)
    answer = api.client.post(
        "/v1/models",
        data={"project_id": "q", "model_name": "visitor"},
        files={"file": archive()},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert (answer.status_code, answer.json()["error"]) == (404, "project-unknown")
    assert api.objects.stored == {}


def test_status_shows_what_waits_and_what_serves(api, events):
    status = api.client.get("/v1/status", headers=api.headers(Role.READER)).json()
    assert status == {"waiting": 1, "in_flight": 0, "serving": {"p": events.digest("a")}, "triton": "ready"}


def test_a_failed_prediction_tells_the_site_why(api):
    (waiting,) = api.uow.predictions.rows.values()
    api.hand(m.GiveUpPrediction(waiting.prediction_id, m.PredictionFailure.UNSUITABLE, "wants 2 channels"))
    shown = api.client.post("/v1/infer", json=BODY, headers=api.headers(Role.PROJECT_LEAD)).json()
    assert (shown["state"], shown["reason"], shown["detail"]) == ("failed", "unsuitable", "wants 2 channels")
