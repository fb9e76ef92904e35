"""Every endpoint of `ingest` with every role and with none, held against a table written by hand."""

import pytest
from fastapi.testclient import TestClient

from radloop.auth import Role
from radloop.testing.access import EVERYBODY, endpoints, in_project, of_oneself, of_site, wrong_answers
from radloop.testing.databases import ONE_ENGINE

pytestmark = [pytest.mark.integration, ONE_ENGINE]

L, S, A = Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR
NOTHING = {"study_key": "none", "reason": "consent"}
WHY = {"reason": "a test"}
EXPORT = {"case_id": "none", "destination": "none", **WHY}
FILE = {"file": ("a.dcm", b"none")}

SERIES = "/studies/{study}/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
SEARCHES = ("/studies", "/series", "/studies/{study}/series", "/studies/{study}/instances", SERIES + "/instances")
RETRIEVALS = (
    *("/studies/{study}", SERIES, INSTANCE),
    *("/studies/{study}/metadata", SERIES + "/metadata", INSTANCE + "/metadata"),
    *(INSTANCE + "/frames/{frames}", INSTANCE + "/bulkdata/{tag}"),
    *(INSTANCE + "/rendered", INSTANCE + "/frames/{frame}/rendered", INSTANCE + "/thumbnail"),
)

# The door of the whole site stands above projects: whoever oversees only one sees no studies, which may belong to others.
TABLE = {
    ("POST", "/v1/uploads"): of_site(S, L, files=FILE),
    ("GET", "/v1/status"): of_oneself(),  # counts
    ("GET", "/v1/studies"): of_site(S, A, L),
    ("GET", "/v1/studies/{study_key}"): of_site(S, A, L),
    ("POST", "/v1/studies/{study_key}/identity"): of_site(S, json=WHY),
    ("GET", "/v1/studies/{study_key}/deidentification"): of_site(S, A),
    ("POST", "/v1/studies/{study_key}/complete"): of_site(S, L),
    ("POST", "/v1/studies/{study_key}/retry"): of_site(S, L),
    ("POST", "/v1/complete"): of_site(S, L),
    ("GET", "/v1/rejections"): of_site(S, A, L),
    ("GET", "/v1/quarantine"): of_site(S, A),
    ("POST", "/v1/quarantine/{held_id}/release"): of_site(S),
    ("GET", "/v1/withdrawn"): of_site(S, A),
    ("POST", "/v1/withdraw"): of_site(S, json=NOTHING),
    ("GET", "/v1/retention"): of_site(S, A),
    ("POST", "/v1/patients/admit"): of_site(S, json={"patient_id": "nobody"}),
    ("PUT", "/v1/projects/{project_id}/split"): in_project(S, L, json={"patients": []}),
    ("POST", "/v1/cases/resolve"): in_project(S, L, json={"project_id": "p", "series": []}),
    ("POST", "/v1/labels/match"): in_project(S, L, params={"project_id": "p"}, files=FILE),
    ("GET", "/v1/cases/{case_id}"): in_project(*EVERYBODY),
    ("GET", "/v1/cases/{case_id}/volumes/{channel}"): in_project(*EVERYBODY),
    # What somebody may not see is not found, which is an answer, too.
    **{("GET", f"/dicom-web{path}"): of_oneself() for path in SEARCHES},
    **{("GET", f"/dicom-web{path}"): in_project(*EVERYBODY) for path in RETRIEVALS},
    ("POST", "/dicom-web/studies"): of_site(S, L),
    ("POST", "/dicom-web/studies/{study}"): of_site(S, L),
    ("GET", "/v1/destinations"): of_oneself(),  # names of archives
    # Of a case that is not there; of one that is, a project's own lead may: test_ingest_exports.
    ("POST", "/v1/exports"): of_site(S, L, json=EXPORT),
    ("GET", "/v1/exports"): of_site(S, L, A),
    ("GET", "/v1/exports/{export_id}"): of_site(S, L, A),
    ("POST", "/v1/exports/{export_id}/retry"): of_site(S, L),
    ("POST", "/v1/cases/{case_id}/export"): of_site(S, json={"form": "seg", **WHY}),
    ("POST", "/v1/cases/{case_id}/re-identify"): of_site(S, json=WHY),
    ("GET", "/v1/disclosures"): of_site(S, A),
    ("GET", "/v1/keys"): of_site(S, A),
    ("POST", "/v1/keys/rotate"): of_site(S),
    ("POST", "/v1/keys/{version}/drop"): of_site(S),
    ("GET", "/v1/archives"): of_site(S),
    ("POST", "/v1/pulls"): of_site(S, json={}),
    ("GET", "/v1/pulls"): of_site(S),
    ("GET", "/v1/pulls/{pull_id}"): of_site(S),
    **{("POST", f"/v1/pulls/{{pull_id}}/{step}"): of_site(S) for step in ("pause", "resume", "cancel")},
    ("POST", "/v1/objects/sweep"): of_site(S, json={"dry_run": True}),
    ("GET", "/v1/audit"): of_site(S, A),
    ("GET", "/v1/studies/{study_key}/remains"): of_site(S, A),
    ("GET", "/v1/withdrawn/{study_key}/proof"): of_site(S, A),
}


@pytest.fixture
def ids(site, send, slice_of) -> dict[str, str]:
    """One case of project p."""
    site.configure()
    send([slice_of(number) for number in range(3)])
    site.settle()
    ((study_key, series, instance),) = site.rows("SELECT study_key, series_key, sop_key FROM instances LIMIT 1")
    ((case_id,),) = site.rows("SELECT case_id FROM cases")
    names = {"study_key": study_key, "study": study_key, "series": series, "instance": instance, "case_id": case_id}
    return (
        names
        | {"held_id": "none", "project_id": "p", "channel": "0", "frames": "1", "frame": "1"}
        | {"tag": "7FE00010", "version": "99", "export_id": "none", "pull_id": "none"}
    )


def test_the_table_has_every_endpoint(site) -> None:
    assert endpoints(site.http.get("/openapi.json").json()) == TABLE.keys()


def test_who_may(site, ids) -> None:
    http = TestClient(site.service.http, raise_server_exceptions=False)
    issue = site.service.http.state.authenticator.issue

    def ask(method, path, roles, request):
        token = {} if roles is None else {"Authorization": f"Bearer {issue('zoe', roles, lifetime_s=600)}"}
        return http.request(method, path, headers=token, **request)

    assert wrong_answers(TABLE, ids, ask) == []


def test_a_forged_token_opens_nothing(site, ids) -> None:
    for (method, path), rule in TABLE.items():
        answer = site.http.request(
            method, path.format(**ids), headers={"Authorization": "Bearer forged"}, **rule.request
        )
        assert answer.status_code == 401, path


def test_uploads_and_looks_are_in_the_audit_trail(site, slice_of, file_of) -> None:
    site.configure()
    files = [("file", (f"{number}.dcm", file_of(slice_of(number)))) for number in range(3)]
    (study,) = site.http.post("/v1/uploads", files=files).json()["studies"]
    site.http.post("/v1/uploads", files={"file": ("b.dcm", b"none")})  # nothing came of it
    site.settle()
    ((case_id,),) = site.rows("SELECT case_id FROM cases")
    for path in (f"/v1/cases/{case_id}", f"/v1/cases/{case_id}/volumes/0"):
        assert site.http.get(path).status_code == 200
        assert site.client(*EVERYBODY, project_id="q").get(path).status_code == 403
    found = site.http.get("/v1/audit").json()["entries"]
    assert [(each["subject"], each["action"], each["target"]) for each in found] == [
        ("somebody", "upload", study),
        ("somebody", "view-manifest", case_id),
        ("somebody", "view", case_id),
    ]
