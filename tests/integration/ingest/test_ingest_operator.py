"""What the operator's page asks of the running service: pages, reasons, forming again; and who may."""

import pytest

from radloop.auth import Role
from radloop.testing.databases import ONE_ENGINE

pytestmark = pytest.mark.integration

MINE = (Role.SITE_ADMIN, Role.PROJECT_LEAD, Role.AUDITOR)
ASKED = {
    ("GET", "/v1/studies"): MINE,
    ("GET", "/v1/studies/{study}"): MINE,
    ("GET", "/v1/rejections"): MINE,
    ("GET", "/v1/quarantine"): (Role.SITE_ADMIN, Role.AUDITOR),
    ("GET", "/v1/withdrawn"): (Role.SITE_ADMIN, Role.AUDITOR),
    ("POST", "/v1/studies/{study}/retry"): (Role.SITE_ADMIN, Role.PROJECT_LEAD),
    ("POST", "/v1/studies/{study}/complete"): (Role.SITE_ADMIN, Role.PROJECT_LEAD),
}


def study_of(slice_of, number: int, *, slices=range(3), **changes):
    """Slices of study ``number``, a patient of its own."""
    uid = f"1.2.826.4242.{number}"
    return [
        slice_of(
            n,
            StudyInstanceUID=uid,
            SeriesInstanceUID=f"{uid}.1",
            SOPInstanceUID=f"{uid}.1.{n}",
            PatientID=f"P{number}",
            **changes,
        )
        for n in slices
    ]


@pytest.fixture
def four(site, send, slice_of):
    """Four studies, the oldest first: with a case, of a modality nobody wants, without its third slice of five, held."""
    site.configure()
    send(study_of(slice_of, 1))
    send(study_of(slice_of, 2, Modality="CT"))
    send(study_of(slice_of, 3, slices=[0, 1, 2, 4]))
    send(study_of(slice_of, 4, slices=[0, 1], BurnedInAnnotation="YES"))
    site.settle()
    return [row["study_key"] for row in reversed(page(site, order="newest")["studies"])]


def page(site, **query) -> dict:
    answer = site.http.get("/v1/studies", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_page_says_what_came_of_each_study(site, four) -> None:
    found = page(site, order="newest")
    assert found["total"] == 4
    held, broken, unwanted, formed = found["studies"]
    assert [row["received_at"] for row in found["studies"]] == sorted(
        (row["received_at"] for row in found["studies"]), reverse=True
    )
    numbers = ("state", "instances", "series", "cases", "held", "rejected_instances", "reasons")
    assert [tuple(row[name] for name in numbers) for row in (formed, unwanted, broken, held)] == [
        ("ingested", 3, 1, 1, 0, 0, []),
        ("rejected", 3, 1, 0, 0, 3, ["no-project"]),
        ("rejected", 4, 1, 0, 0, 4, ["missing-slices"]),
        ("held", 0, 1, 0, 2, 2, ["burned-in-text"]),
    ]
    assert all(row["incomplete"] is None and not row["waiting"] for row in found["studies"])


def test_paging_filter_and_search(site, four) -> None:
    pages = [page(site, order="newest", offset=offset, limit=2) for offset in (0, 2, 4)]
    assert [row["study_key"] for one in pages for row in one["studies"]] == four[::-1]
    assert {one["total"] for one in pages} == {4}
    assert [row["study_key"] for row in page(site, state="rejected", order="newest")["studies"]] == [four[2], four[1]]
    both = page(site, state="held,ingested", order="newest")
    assert ([row["study_key"] for row in both["studies"]], both["total"]) == ([four[3], four[0]], 2)
    one = page(site, search=four[2][:20])
    assert [row["study_key"] for row in one["studies"]] == [four[2]]
    assert page(site, search="%")["total"] == 0


def test_paging_by_key_as_before(site, four) -> None:
    first = page(site, limit=3)["studies"]
    rest = page(site, after=first[-1]["study_key"])["studies"]
    assert [row["study_key"] for row in first + rest] == sorted(four)


@ONE_ENGINE
@pytest.mark.parametrize(
    "query",
    [{"state": "nope"}, {"order": "random"}, {"order": "newest", "after": "2.25"}, {"limit": 0}, {"offset": -1}],
)
def test_pages_that_cannot_be_made(site, query) -> None:
    assert site.http.get("/v1/studies", params=query).status_code == 422


def test_why_a_study_waits(site, send, slice_of) -> None:
    send(study_of(slice_of, 1))
    (row,) = page(site)["studies"]
    assert (row["incomplete"], row["formed_after"]) == ("quiet-time", row["received_at"] + 600)
    detail = site.http.get(f"/v1/studies/{row['study_key']}").json()
    assert (detail["incomplete"], detail["state"], detail["series"][0]["instances"]) == ("quiet-time", "receiving", 3)


def test_rejections_have_their_time(site, four) -> None:
    received = {row["study_key"]: row["received_at"] for row in page(site)["studies"]}
    found = site.http.get("/v1/rejections").json()
    assert found["total"] == 3
    times = [row["at"] for row in found["rejections"]]
    assert times == sorted(times, reverse=True)
    assert all(0 <= row["at"] - received[row["study_key"]] < 60 for row in found["rejections"])
    only = site.http.get("/v1/rejections", params={"reason": "missing-slices", "limit": 1}).json()
    assert (only["total"], only["rejections"][0]["study_key"]) == (1, four[2])
    assert only["rejections"][0]["detail"]


def test_quarantine_says_why_and_since_when(site, four) -> None:
    found = site.http.get("/v1/quarantine", params={"limit": 1}).json()
    assert found["total"] == 2 and len(found["quarantine"]) == 1
    held = found["quarantine"][0]
    assert (held["study_key"], held["reason"]) == (four[3], "burned-in-text") and held["detail"] and held["at"] > 0


def test_a_rejected_study_is_formed_again(site, four) -> None:
    """What it was rejected for is mended meanwhile: a project takes it."""
    site.configure("ct", modality="CT")
    assert site.http.post(f"/v1/studies/{four[1]}/retry").status_code == 200
    site.settle()
    row = site.http.get(f"/v1/studies/{four[1]}").json()
    assert row["state"] == "ingested" and [case["project_id"] for case in row["cases"]] == ["ct"]
    assert ("somebody", "form-again", four[1]) in site.rows("SELECT subject, action, target FROM audit")
    # To say that a rejected study is complete is to ask for the same; it is rejected again.
    assert site.http.post(f"/v1/studies/{four[2]}/complete").status_code == 200
    site.settle()
    row = site.http.get(f"/v1/studies/{four[2]}").json()
    assert (row["state"], [one["reason"] for one in row["rejections"]]) == ("rejected", ["missing-slices"] * 2)


def test_a_formed_study_stays_as_it_is(site, four) -> None:
    before = site.http.get(f"/v1/studies/{four[0]}").json()
    site.configure("more")
    site.http.post(f"/v1/studies/{four[0]}/complete")
    site.settle()
    assert site.http.get(f"/v1/studies/{four[0]}").json() == before
    answer = site.http.post(f"/v1/studies/{four[3]}/retry")
    assert (answer.status_code, answer.json()["error"]) == (409, "study-state")


def test_withdrawn_studies_are_listed(site, four) -> None:
    site.http.post("/v1/withdraw", json={"study_key": four[0], "reason": "consent"})
    (row,) = site.http.get("/v1/withdrawn").json()["withdrawn"]
    assert (row["study_key"], row["reason"]) == (four[0], "consent") and row["at"] > 0
    assert page(site)["total"] == 3


@ONE_ENGINE
@pytest.mark.parametrize(("method", "path", "allowed"), [(*asked, roles) for asked, roles in ASKED.items()])
def test_roles(site, send, slice_of, method, path, allowed) -> None:
    site.configure()
    send(study_of(slice_of, 2, Modality="CT"))
    site.settle()
    path = path.format(study=page(site)["studies"][0]["study_key"])
    for role in Role:
        assert site.client(role).request(method, path).status_code == (200 if role in allowed else 403), role
        assert site.client(role, project_id="p").request(method, path).status_code == 403
    nobody = site.client()
    del nobody.headers["authorization"]
    assert nobody.request(method, path).status_code == 401
