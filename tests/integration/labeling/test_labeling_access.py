"""Every endpoint with every role: who may, who may not, and nobody without a token."""

import pytest

from radloop.auth import Role

pytestmark = pytest.mark.integration

R, V, L, S, A = Role.READER, Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR
EVERYBODY = {R, V, L, S, A}
READING = {R, V}
IMPORTING = {L, S}
OVERSEEING = {V, L, S, A}

FORM = {"data": {"lease_id": "x", "project_id": "p"}, "files": {"label": b"x"}}

ENDPOINTS = {
    ("GET", "/v1/tasks"): (EVERYBODY, {"params": {"project_id": "p"}}),
    ("GET", "/v1/worklist"): (EVERYBODY, {"params": {"project_id": "p"}}),
    ("POST", "/v1/tasks/next"): (READING, {"json": {"project_id": "p"}}),
    ("GET", "/v1/tasks/{task_id}"): (EVERYBODY, {}),
    ("POST", "/v1/tasks/{task_id}/lease"): (READING, {}),
    ("PUT", "/v1/tasks/{task_id}/lease"): (READING, {"json": {"lease_id": "x"}}),
    ("DELETE", "/v1/tasks/{task_id}/lease"): (READING, {"params": {"lease_id": "x"}}),
    ("POST", "/v1/tasks/{task_id}/skip"): (READING, {"json": {"lease_id": "x", "reason": "no-time"}}),
    ("GET", "/v1/tasks/{task_id}/image"): (EVERYBODY, {}),
    ("GET", "/v1/tasks/{task_id}/manifest"): (EVERYBODY, {}),
    ("GET", "/v1/tasks/{task_id}/proposal"): (EVERYBODY, {}),
    ("GET", "/v1/tasks/{task_id}/frames"): (EVERYBODY, {}),
    ("GET", "/v1/tasks/{task_id}/uncertainty"): (EVERYBODY, {}),
    ("GET", "/v1/tasks/{task_id}/doubts"): (EVERYBODY, {}),
    ("GET", "/v1/cases/{case_id}/frames"): (OVERSEEING, {}),
    ("GET", "/v1/cases/{case_id}/prediction"): (OVERSEEING, {}),
    ("GET", "/v1/tasks/{task_id}/draft"): (READING, {}),
    ("POST", "/v1/tasks/{task_id}/draft"): (
        READING,
        {"json": {"lease_id": "x", "after_sequence": 0, "entries": [1]}},
    ),
    ("POST", "/v1/tasks/{task_id}/operations/{operation}"): (
        READING,
        {"json": {"segment": 1, "shape": [11, 9, 5], "runs": [0, 3]}},
    ),
    ("POST", "/v1/tasks/{task_id}/versions"): (READING, FORM),
    ("GET", "/v1/tasks/{task_id}/versions"): (EVERYBODY, {}),
    ("POST", "/v1/tasks/{task_id}/submit"): (READING, FORM),
    ("POST", "/v1/cases/{case_id}/labels"): (IMPORTING, FORM),
    ("POST", "/v1/cases/{case_id}/labels/check"): (IMPORTING, FORM),
    ("POST", "/v1/cases/{case_id}/report"): (READING, {"json": {"reason": "other"}}),
    ("GET", "/v1/cases/{case_id}/history"): (EVERYBODY, {}),
    # The label is ada's: a reader is blind to it, everybody else may look.
    ("GET", "/v1/labels/{label_version_id}"): (OVERSEEING, {}),
    ("GET", "/v1/status"): (EVERYBODY, {"params": {"project_id": "p"}}),
    ("GET", "/v1/projects/{project_id}/segments"): (EVERYBODY, {}),
    ("GET", "/v1/projects/{project_id}/instructions"): (EVERYBODY, {}),
    # The site's own administrator may, of all projects; those of one project may not.
    ("POST", "/v1/objects/sweep"): (set(), {"json": {"dry_run": True}}),
    # So may whoever reads the audit trail.
    ("GET", "/v1/audit"): (set(), {}),
    ("GET", "/v1/studies/{study_key}/remains"): (set(), {}),
    # Of oneself: whoever has a token, with whatever roles.
    ("GET", "/v1/me"): (EVERYBODY, {}),
}

# What roles for the whole site open beyond the table.
SITE_WIDE = {("POST", "/v1/objects/sweep"): {S}, ("GET", "/v1/audit"): {S, A}}
SITE_WIDE[("GET", "/v1/studies/{study_key}/remains")] = {S, A}

PUBLIC = {
    # How one gets in and out; without a cookie there is nothing to refresh and nothing to forget.
    ("GET", "/session/sign-in"): 200,
    ("GET", "/session/callback"): 404,
    ("POST", "/session/refresh"): 401,
    ("POST", "/session/sign-out"): 200,
}


@pytest.fixture(scope="module")
def site(site_on, tmp_path_factory):
    """One service for all: who may do what depends on no database and on nothing that is done here."""
    folder = tmp_path_factory.mktemp("access")
    site = site_on(folder, f"sqlite:///{folder}/state", f"file://{folder}/objects")
    yield site
    site.close()


@pytest.fixture(scope="module")
def ids(site) -> dict[str, str]:
    """One task that is open (case c2), and ada's label of another."""
    site.ready("c1", "c2")
    ada = site.person("ada")
    label = ada.submit(ada.next()).json()["label_version_id"]
    task = site.person("any").ask("GET", "/v1/tasks", params={"project_id": "p"}).json()["tasks"][0]["task_id"]
    return {
        "task_id": task,
        "case_id": "c2",
        "label_version_id": label,
        "project_id": "p",
        "operation": "smooth",
        "study_key": "s",
    }


def test_the_table_has_every_endpoint(site) -> None:
    paths = site.http.get("/openapi.json").json()["paths"]
    assert {
        (method.upper(), path) for path, methods in paths.items() for method in methods
    } == ENDPOINTS.keys() | PUBLIC.keys()


@pytest.mark.parametrize("method, path", PUBLIC)
def test_the_doors_answer_everybody_alike(site, method, path) -> None:
    for headers in ({}, site.headers("zoe", Role.SITE_ADMIN, project="*")):
        assert site.http.request(method, path, headers=headers).status_code == PUBLIC[method, path]


@pytest.mark.parametrize("method, path", ENDPOINTS)
def test_roles(site, ids, method, path) -> None:
    allowed, request = ENDPOINTS[method, path]
    place = path.format(**ids)
    for role in Role:
        # Each on their own, so that what one takes is not held against the next.
        response = site.person(f"some-{role}", role).ask(method, place, **request)
        answer = response.json() if response.content and "json" in response.headers["content-type"] else {}
        refused = response.status_code == 403 and answer["error"] in ("forbidden", "blind")
        if path.endswith("/proposal") and role in allowed:
            assert response.status_code == 200
        assert refused is (role not in allowed), (role, response.status_code, response.text[:200])
        assert response.status_code != 500
        if path.endswith(("/next", "/lease")) and method == "POST" and response.status_code == 200:
            lease = answer["lease"]["lease_id"]
            site.person(f"some-{role}", role).ask("DELETE", f"/v1/tasks/{answer['task_id']}/lease?lease_id={lease}")


@pytest.mark.parametrize("method, path", ENDPOINTS)
def test_nobody_without_a_token_or_with_another_projects(site, ids, method, path) -> None:
    _, request = ENDPOINTS[method, path]
    place = path.format(**ids)
    assert site.http.request(method, place, **request).status_code == 401
    forged = {"Authorization": "Bearer nonsense"}
    assert site.http.request(method, place, headers=forged, **request).status_code == 401
    elsewhere = site.headers("zoe", *Role, project="q")
    response = site.http.request(method, place, headers=elsewhere, **request)
    if path == "/v1/me":
        assert response.json()["roles"] == {"*": [], "q": sorted(Role)} and response.json()["projects"] == []
        return
    assert (response.status_code, response.json()["error"]) == (403, "forbidden")


@pytest.mark.parametrize("method, path", ENDPOINTS)
def test_roles_for_the_whole_site_and_none(site, ids, method, path) -> None:
    allowed, request = ENDPOINTS[method, path]
    place = path.format(**ids)
    for role in Role:
        headers = site.headers(f"all-{role}", role, project="*")
        response = site.http.request(method, place, headers=headers, **request)
        may = role in SITE_WIDE.get((method, path), allowed)
        assert response.status_code < 500
        refused = response.status_code == 403 and response.json()["error"] in ("forbidden", "blind")
        assert refused is not may, (role, response.status_code, response.text[:200])
        if path.endswith(("/next", "/lease")) and method == "POST" and response.status_code == 200:
            task = response.json()
            path_of_lease = f"/v1/tasks/{task['task_id']}/lease"
            site.http.delete(path_of_lease, params={"lease_id": task["lease"]["lease_id"]}, headers=headers)
    nothing = site.http.request(method, place, headers=site.headers("nobody"), **request)
    assert nothing.status_code == (200 if path == "/v1/me" else 403)


def test_the_whole_sites_status_needs_a_role_for_the_whole_site(site, ids) -> None:
    assert site.person("a", Role.AUDITOR).ask("GET", "/v1/status").status_code == 403
    everywhere = site.headers("root", Role.SITE_ADMIN, project="*")
    assert site.http.get("/v1/status", headers=everywhere).json()["tasks"]["open"] == 1
