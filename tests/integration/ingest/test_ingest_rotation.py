"""The site key is rotated while the service runs, and while it is killed: nobody is named twice, everything stays readable."""

import random
import runpy
import sys
import threading
from pathlib import Path

import httpx
import pytest

from ingest.adapters.site_key import add_key, read_keys
from ingest.domain.keys import KeyRing
from radloop.auth import Role

pytestmark = pytest.mark.integration

KILLED = Path(__file__).with_name("test_ingest_kill.py")
SEED = 20261126
LATEST_S = (0.0, 0.05, 0.5)
"""For each kill, the longest time after a new version stands in the file: at once, about its adoption, while encrypting."""


def encrypted_with(site) -> set[int]:
    """Return the versions that something is still encrypted with."""
    versions = site.http.get("/v1/keys").json()["versions"]
    return {each["version"] for each in versions if each["needed_by"].get("encrypted")}


WHY = {"reason": "a test"}


def burned_in(slice_of, number=2):
    return slice_of(number, BurnedInAnnotation="YES")


def held_objects(site) -> set[str]:
    return {key for key in site.stored() if "/held/" in key}


def test_a_rotation_names_the_new_and_encrypts_the_old_anew(site, send, slice_of):
    assert send([slice_of(0), burned_in(slice_of)])[0].Status == 0
    (study,) = site.http.get("/v1/studies").json()["studies"]
    path = f"/v1/studies/{study['study_key']}/identity"
    identity, sealed = site.http.post(path, json=WHY).json(), site.rows("SELECT identity FROM studies")
    (held,) = held_objects(site)
    answer = site.http.post("/v1/keys/rotate").json()
    assert answer["current"] == 2 and len({each["fingerprint"] for each in answer["versions"]}) == 2
    site.until(lambda: encrypted_with(site) == {2})
    assert site.http.post(path, json=WHY).json() == identity
    assert site.rows("SELECT identity FROM studies") != sealed
    site.until(lambda: len(held_objects(site)) == 1 and held_objects(site) != {held})
    assert (
        send(
            [
                slice_of(0),
                slice_of(1),
                slice_of(3, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1", PatientID="NEW"),
            ]
        )[0].Status
        == 0
    )
    ring = KeyRing(read_keys(site.folder / "site-key"))
    assert {row[0] for row in site.rows("SELECT study_key FROM studies")} == {study["study_key"], ring[2].uid("1.2.9")}
    assert site.rows("SELECT count(*) FROM instances") == [(3,)]
    (quarantined,) = site.http.get("/v1/quarantine").json()["quarantine"]
    assert site.http.post(f"/v1/quarantine/{quarantined['id']}/release").status_code == 200
    assert held_objects(site) == set()
    # What outside calls the old study is understood.
    site.configure()
    site.settle()
    series = {"project_id": "p", "series": ["1.2.826.4242.1", "1.2.3"]}
    resolved = site.http.post("/v1/cases/resolve", json=series).json()
    assert resolved["unknown"] == ["1.2.3"]
    body = {"study_instance_uid": "1.2.826.4242", "reason": "consent"}
    assert site.http.post("/v1/withdraw", json=body).json()["study_key"] == study["study_key"]


def test_who_may_do_what_with_keys(site):
    for client in (site.client(Role.READER), site.client(Role.PROJECT_LEAD)):
        assert client.get("/v1/keys").status_code == 403
        assert client.post("/v1/keys/rotate").status_code == client.post("/v1/keys/1/drop").status_code == 403
    assert site.client(Role.AUDITOR).get("/v1/keys").status_code == 200
    text = site.http.get("/v1/keys").text
    assert all(key.hex() not in text for key in read_keys(site.folder / "site-key").values())
    assert site.http.post("/v1/keys/rotate").status_code == 200
    assert ("rotate-site-key",) in site.rows("SELECT action FROM audit")


def test_a_version_goes_when_nothing_needs_it(site, send, slice_of):
    send([slice_of(0)])
    assert site.http.post("/v1/keys/rotate").status_code == 200
    refused = site.http.post("/v1/keys/1/drop")
    assert refused.status_code == 409 and "patients: 1" in refused.json()["got"]
    assert site.http.post("/v1/keys/2/drop").status_code == 409
    assert site.http.post("/v1/keys/9/drop").status_code == 404


def test_a_version_that_nothing_was_named_under_can_go(site, start, send, slice_of):
    assert site.http.post("/v1/keys/rotate").status_code == 200
    send([slice_of(0)])
    assert [each["version"] for each in site.http.post("/v1/keys/1/drop").json()["versions"]] == [2]
    assert list(read_keys(site.folder / "site-key")) == [2]
    site.service.drain()
    again = start()
    assert again.http.get("/v1/keys").json()["current"] == 2


def test_a_version_made_while_the_service_was_down_is_taken_up(site, start, slice_of, send_to):
    send_to(site.port, [slice_of(0)])
    site.service.drain()
    add_key(site.folder / "site-key")
    again = start()
    assert again.http.get("/v1/keys").json()["current"] == 2
    send_to(again.port, [slice_of(0), slice_of(1)])
    assert again.rows("SELECT count(*) FROM studies") == [(1,)]


@pytest.mark.timeout(600)
def test_killed_while_rotating(tmp_path, make_database):
    """SIGKILL at random moments of rotations: every key that names something is in the file, everything can be read."""
    site = runpy.run_path(str(KILLED))["Site"](tmp_path, make_database("sqlite"))
    try:
        site.start()
        accepted = site.send()
        identities = None
        draw, wake = random.Random(SEED), threading.Event()
        for latest_s in LATEST_S:
            before = len(read_keys(tmp_path / "site-key"))
            rotating = threading.Thread(target=_rotate, args=(str(site.http.base_url), dict(site.http.headers)))
            rotating.start()
            while rotating.is_alive() and len(read_keys(tmp_path / "site-key")) == before:
                wake.wait(0.001)
            wake.wait(draw.uniform(0.0, latest_s))
            site.stop()
            rotating.join()
            site.start()
            found = _identities(site)
            assert identities in (None, found) and found
            identities = found
        site.until(lambda: encrypted_with(site) == {site.http.get("/v1/keys").json()["current"]})
        assert _identities(site) == identities
        ring = KeyRing(read_keys(tmp_path / "site-key"))
        known = {each["version"]: each["fingerprint"] for each in site.http.get("/v1/keys").json()["versions"]}
        assert known == ring.fingerprints and ring.current == 1 + len(LATEST_S)
        assert site.send() == accepted
        assert _identities(site) == identities
    finally:
        site.stop()
        site.http.close()
        site.log.close()


def _rotate(url: str, headers: dict) -> None:
    try:
        httpx.post(f"{url}/v1/keys/rotate", headers=headers, timeout=10)
    except httpx.TransportError:
        print("killed before it answered", file=sys.stderr)


def _identities(site) -> dict[str, dict]:
    keys = [one["study_key"] for one in site.http.get("/v1/studies").json()["studies"]]
    return {key: site.http.post(f"/v1/studies/{key}/identity", json=WHY).json() for key in keys}
