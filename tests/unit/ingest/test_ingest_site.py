"""The site key's file, the vault, the settings and the wire."""

import stat
from pathlib import Path

import pytest

from ingest.adapters.site_key import SiteKeyFile, add_key, read_keys
from ingest.adapters.vault import Vault
from ingest.adapters.wire import make_wire
from ingest.domain.messages import Case, StudyIngested, StudyRejected, StudyWithdrawn
from ingest.domain.reasons import RejectReason, WithdrawReason
from ingest.settings import IngestSettings
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.errors import PermanentError
from radloop.messages import Envelope, Record
from radloop.references import ObjectRef, Split
from radloop.settings import load, table
from radloop.wire import from_protobuf


def test_site_key_is_made_once_for_its_owner_only(tmp_path):
    file = tmp_path / "folder" / "site-key"
    ring = SiteKeyFile(file).ring
    assert len(read_keys(file)[1]) == 32 and SiteKeyFile(file).ring.fingerprints == ring.fingerprints
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["site-key"]


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        ("00" * 32, 0o644, "site-key-exposed"),
        ("00" * 31, 0o600, "site-key-invalid"),
        ("zz", 0o600, "site-key-invalid"),
        ("0 " + "00" * 32, 0o600, "site-key-invalid"),
        ("", 0o600, "site-key-invalid"),
    ],
)
def test_site_key_that_is_none(tmp_path, text, mode, code):
    file = tmp_path / "site-key"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(PermanentError, match=code):
        SiteKeyFile(file)


def test_a_new_version_is_seen_by_whoever_uses_the_file(tmp_path):
    site_key = SiteKeyFile(tmp_path / "site-key")
    other, before = SiteKeyFile(tmp_path / "site-key"), site_key.ring.fingerprints
    assert add_key(tmp_path / "site-key") == 2
    assert other.ring.current == 2 and other.ring.fingerprints.items() > before.items()
    assert stat.S_IMODE((tmp_path / "site-key").stat().st_mode) == 0o600
    assert other.add() == 3
    site_key.drop(2)
    assert other.ring.versions == (3, 1)
    assert [one.name for one in tmp_path.iterdir()] == ["site-key"]


def test_vault():
    keys = [bytes(32)]
    vault = Vault(lambda: keys)
    sealed = vault.seal(b"Doe^Jane")
    assert vault.open(sealed) == b"Doe^Jane" and b"Doe" not in sealed
    assert vault.open_fields(vault.seal_fields({"patient_id": "é"})) == {"patient_id": "é"}
    with pytest.raises(PermanentError, match="vault-closed"):
        Vault(lambda: [bytes([1]) * 32]).open(sealed)
    keys.insert(0, bytes([1]) * 32)
    assert vault.open(sealed) == b"Doe^Jane"
    assert Vault(lambda: keys[:1]).open(vault.seal(b"new")) == b"new"


@pytest.fixture
def environ(tmp_path, monkeypatch):
    for name, value in {
        "RADLOOP_EVENTS_URL": "sqlite:///e.db",
        "RADLOOP_DATABASE_URL": "sqlite:///d",
        "RADLOOP_OBJECTS_URL": "file:///o",
        "RADLOOP_AUTH_URL": "token:t",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_settings(environ):
    environ.setenv("INGEST_QUIET_S", "2.5")
    settings = load(IngestSettings)
    assert (settings.quiet_s, settings.dicom_port, settings.ae_title) == (2.5, 11112, "RADLOOP")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("INGEST_QUITE_S", "1", "setting-unknown"),
        ("INGEST_DICOM_PORT", "70000", "setting-invalid"),
        ("INGEST_AE_TITLE", "much too long a title", "setting-invalid"),
    ],
)
def test_wrong_settings_stop_the_start(environ, name, value, code):
    environ.setenv(name, value)
    with pytest.raises(PermanentError, match=code):
        load(IngestSettings)


REF = ObjectRef("ingest/a", "sha256:0", 7)
CASE = Case(
    case_id="c",
    series_keys=("2.25.1",),
    phase=1,
    phase_count=2,
    manifest=REF,
    volumes=(REF,),
    modality="MR",
    shape=(6, 4, 3),
    spacing_mm=(3.0, 2.0, 1.5),
    affine_lps=tuple(float(number) for number in range(16)),
    quantity="HU",
)
SAID = [
    (StudyIngested("2.25.9", "site-1", "p", 3, 2, "patient-1", Split.TEST, (CASE,)), ingest_pb2.StudyIngested),
    (StudyRejected("2.25.9", "", RejectReason.TILTED, 5, "site-1", "r"), ingest_pb2.StudyRejected),
    (StudyWithdrawn("2.25.9", WithdrawReason.CONSENT, "site-1"), ingest_pb2.StudyWithdrawn),
]


@pytest.mark.parametrize(("message", "proto"), SAID, ids=[type(message).__name__ for message, _ in SAID])
def test_what_is_said_there_and_back(message, proto):
    record = make_wire().encode(message, source="/site-1/ingest", cause=None)
    assert record.key == "2.25.9"
    assert from_protobuf(proto.FromString(record.value), type(message)) == message


def test_every_reason_has_its_number():
    numbers = ingest_pb2.RejectReason.keys()
    assert {f"REJECT_REASON_{reason.name}" for reason in RejectReason} == set(numbers) - {"REJECT_REASON_UNSPECIFIED"}
    numbers = ingest_pb2.WithdrawReason.keys()
    assert {f"WITHDRAW_REASON_{one.name}" for one in WithdrawReason} == set(numbers) - {"WITHDRAW_REASON_UNSPECIFIED"}


def test_project_is_heard(project):
    cp = control_plane_pb2
    event = cp.ProjectConfigured(
        project_id="hippocampus",
        project_version=1,
        routing=[cp.RoutingRule(modality="MR")],
        split=cp.SplitPolicy(validation_fraction=0.2, test_fraction=0.2),
        phases=cp.PHASE_RULE_SPLIT,
        members=[cp.Member(subject="lead", role=cp.ROLE_PROJECT_LEAD)],
    )
    envelope = Envelope.new("project-configured", source="/site-1/control-plane", subject="hippocampus")
    record = Record("project-configured", "hippocampus", event.SerializeToString(), envelope.headers())
    assert make_wire().decode(record) == project()


def test_readme_shows_the_settings():
    readme = Path(__file__).parents[3] / "services" / "ingest" / "README.md"
    assert table(IngestSettings) in readme.read_text()
