"""Wire mapping, auth, settings, imaging and jobs of the library."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from fastapi import APIRouter, Depends
from fastapi.testclient import TestClient

from radloop.auth import Principal, Role, open_authenticator, pseudonym
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.errors import Forbidden, Invalid, PermanentError, TemporaryError, Unauthenticated
from radloop.http import authenticated, create_http
from radloop.imaging import (
    Volume,
    components,
    dice,
    lps_from_ras,
    read_nifti,
    same_geometry,
    surface_distance_95,
    write_nifti,
)
from radloop.jobs import JobState, open_jobs
from radloop.messages import Message
from radloop.references import Arm, ObjectRef, Split
from radloop.settings import ServiceSettings, load, settings_config, table
from radloop.wire import Wire, from_protobuf, to_protobuf


@dataclass(frozen=True)
class SomeCase:
    case_id: str
    manifest: ObjectRef
    volumes: tuple[ObjectRef, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class SomeStudy(Message):
    study_key: str
    split: Split
    cases: tuple[SomeCase, ...]


def test_wire_maps_there_and_back():
    ref = ObjectRef("a/b", "sha256:1", 3)
    study = SomeStudy("2.25.1", Split.VALIDATION, (SomeCase("c", ref, (ref, ref), (1, 2, 3)),))
    payload = to_protobuf(study, ingest_pb2.StudyIngested)
    assert payload.split == 2 and payload.cases[0].volumes[1].key == "a/b"
    assert from_protobuf(payload, SomeStudy) == study


def test_wire_refuses_what_is_unspecified_where_a_value_is_required():
    with pytest.raises(PermanentError, match="field-missing"):
        from_protobuf(ingest_pb2.StudyIngested(study_key="x"), SomeStudy)


@dataclass(frozen=True)
class PartOfALabel(Message):
    label_version_id: str
    arm: Arm | None


def test_wire_gives_none_for_an_optional_enum_and_refuses_a_future_one():
    assert from_protobuf(labeling_pb2.LabelSubmitted(label_version_id="v"), PartOfALabel) == PartOfALabel("v", None)
    with pytest.raises(PermanentError, match="enum-value-unknown"):
        from_protobuf(labeling_pb2.LabelSubmitted(arm=77), PartOfALabel)


def test_a_producer_must_have_every_field():
    with pytest.raises(TypeError, match="lacks"):
        Wire("x", incoming=[], outgoing=[(labeling_pb2.LabelSubmitted, PartOfALabel)])
    with pytest.raises(TypeError, match="does not know"):
        Wire("x", incoming=[(ingest_pb2.StudyWithdrawn, PartOfALabel)], outgoing=[])


def test_tokens(tmp_path):
    authenticator = open_authenticator(f"token:{tmp_path / 'secret'}")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    token = authenticator.issue("ada", {"p": [Role.READER]}, lifetime_s=60)
    principal = open_authenticator(f"token:{tmp_path / 'secret'}").authenticate(token)
    principal.require("p", Role.READER, Role.REVIEWER)
    with pytest.raises(Forbidden):
        principal.require("other", Role.READER)
    members = [
        SimpleNamespace(subject="ada", role=Role.REVIEWER),
        SimpleNamespace(subject="bob", role=Role.AUDITOR),
    ]
    assert principal.with_members("q", members).roles_in("q") == {Role.REVIEWER}
    for bad in (token[:-2] + "xx", "", authenticator.issue("ada", {}, lifetime_s=-10)):
        with pytest.raises(Unauthenticated):
            authenticator.authenticate(bad)
    assert "ada" not in pseudonym("ada") and pseudonym("ada") == pseudonym("ada")


def test_http_answers_errors_health_and_metrics(tmp_path):
    authenticator = open_authenticator(f"token:{tmp_path / 'secret'}")
    app = create_http("t", authenticator, {"database": lambda: False})
    router = APIRouter()

    @router.get("/v1/busy")
    def busy(principal: Principal = Depends(authenticated)) -> None:
        raise TemporaryError("full", delay_s=3, expected="room", got="none", do="wait")

    app.include_router(router)
    client = TestClient(app)
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").json()["checks"] == {"database": False}
    assert "radloop_outbox_oldest_seconds" in client.get("/metrics").text
    assert client.get("/v1/busy").status_code == 401
    token = authenticator.issue("ada", {}, lifetime_s=60)
    answer = client.get("/v1/busy", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.json() == {"error": "full", "expected": "room", "got": "none", "do": "wait"}


class BenchSettings(ServiceSettings):
    model_config = settings_config("BENCH_")
    quiet_s: float = 10.0
    """Quiet time in seconds."""


SHARED = {
    "RADLOOP_EVENTS_URL": "sqlite:////e",
    "RADLOOP_DATABASE_URL": "sqlite:////d",
    "RADLOOP_OBJECTS_URL": "file:///o",
    "RADLOOP_AUTH_URL": "token:/t",
}


def _load(monkeypatch, **more):
    environ = SHARED | more
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return load(BenchSettings, environ)


def test_settings_are_read_and_documented(monkeypatch):
    settings = _load(monkeypatch, BENCH_QUIET_S="3")
    assert settings.quiet_s == 3 and settings.shared.site == "site-1"
    assert "| `BENCH_QUIET_S` | `10.0` | Quiet time in seconds. |" in table(BenchSettings)


@pytest.mark.parametrize("name", ["BENCH_QUITE_S", "RADLOOP_EVENT_URL"])
def test_a_misspelt_setting_stops_the_start(monkeypatch, name):
    with pytest.raises(PermanentError, match=f"setting-unknown.*{name}"):
        _load(monkeypatch, **{name: "1"})


def test_a_bad_or_missing_setting_is_named(monkeypatch):
    with pytest.raises(PermanentError, match="BENCH_QUIET_S"):
        _load(monkeypatch, BENCH_QUIET_S="soon")
    monkeypatch.delenv("BENCH_QUIET_S")
    monkeypatch.delenv("RADLOOP_EVENTS_URL")
    with pytest.raises(PermanentError, match="RADLOOP_EVENTS_URL"):
        load(BenchSettings, {})


OBLIQUE = np.array([[0.8, -0.6, 0, 10], [0.6, 0.8, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]])


def test_nifti_keeps_an_oblique_volume():
    volume = Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), OBLIQUE)
    again = read_nifti(write_nifti(volume))
    assert np.array_equal(again.array, volume.array) and again.array.dtype == np.int16
    assert same_geometry(volume, again) and volume.spacing_mm == pytest.approx((1, 1, 2.5))
    assert write_nifti(volume) == write_nifti(again)


def test_lps_and_ras_differ_in_the_first_two_patient_axes():
    point_ras = lps_from_ras(OBLIQUE) @ [1, 2, 3, 1]
    point_lps = OBLIQUE @ [1, 2, 3, 1]
    assert point_ras == pytest.approx([-point_lps[0], -point_lps[1], point_lps[2], 1])


def test_geometry_differs_when_a_corner_moves():
    volume = Volume(np.zeros((10, 10, 10)), OBLIQUE)
    tilted = OBLIQUE.copy()
    tilted[0, 2] = 0.001
    assert not same_geometry(volume, Volume(volume.array, tilted))
    assert not same_geometry(volume, Volume(np.zeros((10, 10, 9)), OBLIQUE))


@pytest.mark.parametrize("data", [b"", b"no nifti", b"\x1f\x8bno gzip"])
def test_bad_nifti_is_invalid(data):
    with pytest.raises(Invalid, match="nifti-unreadable"):
        read_nifti(data)


def test_dice_and_surface_distance_by_hand():
    a, b = np.zeros((5, 5, 5), np.uint8), np.zeros((5, 5, 5), np.uint8)
    a[1:3, 1, 1] = 1
    b[2:4, 1, 1] = 1
    assert dice(a, b, 1) == 0.5 and dice(a, b, 2) == 1.0 and dice(a, b * 0, 1) == 0.0
    assert surface_distance_95(a, a, 1, (1, 1, 1)) == 0.0
    assert surface_distance_95(a, b * 0, 1, (1, 1, 1)) == float("inf")
    # voxels of a at x=1,2 and of b at x=2,3, 2 mm apart: distances 2,0 and 0,2
    assert surface_distance_95(a, b, 1, (2, 1, 1)) == pytest.approx(2.0)


def test_components_are_ordered_by_size():
    mask = np.zeros((6, 6, 6), bool)
    mask[0, 0, 0] = True
    mask[3:5, 3:5, 3] = True
    labels, sizes = components(mask)
    assert sizes.tolist() == [4, 1] and labels[3, 3, 3] == 1 and labels[0, 0, 0] == 2 and labels[5, 5, 5] == 0


def _wait(jobs, run, *states):
    deadline = time.monotonic() + 20
    while (status := jobs.status(run)).state not in states:
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    return status


def test_jobs_start_once_end_and_are_found_again(tmp_path):
    jobs = open_jobs("process:", tmp_path)
    assert jobs.status("r1").state is JobState.UNKNOWN
    count = [sys.executable, "-c", "open('n','a').write('x')"]
    jobs.start("r1", count, {})
    assert _wait(jobs, "r1", JobState.SUCCEEDED).exit_code == 0
    open_jobs("process:", tmp_path).start("r1", count, {})
    assert (tmp_path / "r1" / "n").read_text() == "x"


def test_a_job_whose_starter_dies_at_once_is_not_started_again(tmp_path):
    """Killed the moment the job was spawned: there was no time to write down anything."""
    count = [sys.executable, "-c", "open('n','a').write('x'); import time; time.sleep(2)"]
    dies = f"""
import os, signal
from pathlib import Path
from radloop.jobs import open_jobs
spawn = os.posix_spawn
def spawn_and_die(*args, **kwargs):
    spawn(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
os.posix_spawn = spawn_and_die
open_jobs("process:", Path({str(tmp_path)!r})).start("r", {count!r}, {{}})
"""
    assert subprocess.run([sys.executable, "-c", dies], check=False).returncode == -signal.SIGKILL
    jobs = open_jobs("process:", tmp_path)
    jobs.start("r", count, {})
    assert jobs.status("r").state is JobState.RUNNING
    assert _wait(jobs, "r", JobState.SUCCEEDED).exit_code == 0
    assert (tmp_path / "r" / "n").read_text() == "x"


def test_a_failed_job_starts_again_and_a_killed_one_is_failed(tmp_path):
    jobs = open_jobs("process:", tmp_path)
    jobs.start("r", [sys.executable, "-c", "import sys; sys.exit(3)"], {})
    assert _wait(jobs, "r", JobState.FAILED).exit_code == 3
    jobs.start("r", [sys.executable, "-c", "import time; time.sleep(60)"], {})
    other = open_jobs("process:", tmp_path)
    assert other.status("r").state is JobState.RUNNING
    assert any("time.sleep(60)" in " ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"]))
    other.cancel("r")
    assert _wait(jobs, "r", JobState.FAILED).exit_code in (None, 128 + signal.SIGTERM)
