"""The settings of jobs: from the environment to what the engine of jobs is given."""

import pytest

from radloop.errors import PermanentError
from radloop.jobs import JobSettings
from radloop.settings import load
from trainer.settings import TrainerSettings

SHARED = {
    "RADLOOP_EVENTS_URL": "sqlite:///events.db",
    "RADLOOP_DATABASE_URL": "sqlite:///databases",
    "RADLOOP_OBJECTS_URL": "s3://radloop",
    "RADLOOP_AUTH_URL": "token:secret",
    "RADLOOP_JOBS_URL": "kubernetes:",
}


def loaded(monkeypatch: pytest.MonkeyPatch, **own: str) -> TrainerSettings:
    environ = SHARED | own
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return load(TrainerSettings, environ)


def test_what_nobody_sets_is_what_the_engine_takes_for_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, TRAINER_JOB_IMAGE="training:1").job_settings() == JobSettings(
        image="training:1", node_selector={}, tolerations=[], pull_secrets=[]
    )


def test_everything_about_jobs_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        TRAINER_BATCH_SIZE="4",
        TRAINER_PROCESSES="2",
        TRAINER_JOB_IMAGE="training:1",
        TRAINER_JOB_GPU_RESOURCE="nvidia.com/gpu",
        TRAINER_JOB_NODE_SELECTOR='{"gpu": "true"}',
        TRAINER_JOB_TOLERATIONS='[{"key": "nvidia.com/gpu", "operator": "Exists"}]',
        TRAINER_JOB_PULL_SECRETS='["registry"]',
        TRAINER_JOB_QUEUE="training",
        TRAINER_JOB_STORE_SECRET="objects",
        TRAINER_JOB_STORE_CA_SECRET="objects-ca",
    ).job_settings()
    assert (settings.store_secret, settings.store_ca_secret) == ("objects", "objects-ca")
    assert (settings.gpu_resource, settings.gpu_count, settings.queue) == ("nvidia.com/gpu", 2, "training")
    assert settings.node_selector == {"gpu": "true"} and settings.pull_secrets == ["registry"]
    assert settings.tolerations == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def test_without_a_resource_no_gpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, TRAINER_PROCESSES="2").job_settings().gpu_count == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAINER_PROCESSES", "3"),  # of a batch of 2
        ("TRAINER_JOB_NODE_SELECTOR", "gpu=true"),
        ("TRAINER_JOB_DEADLINE_S", "0"),
        ("TRAINER_JOB_GPU", "1"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_start_and_is_named(monkeypatch: pytest.MonkeyPatch, name, value) -> None:
    with pytest.raises(PermanentError, match=name):
        loaded(monkeypatch, **{name: value})


@pytest.mark.parametrize("jobs_url", ["kubernetes:", "process:"])
def test_a_cluster_whose_pods_cannot_reach_the_objects_is_refused(
    monkeypatch: pytest.MonkeyPatch, jobs_url: str
) -> None:
    own = {"RADLOOP_OBJECTS_URL": "file:///srv/objects", "RADLOOP_JOBS_URL": jobs_url}
    if jobs_url == "process:":
        assert loaded(monkeypatch, **own).shared.objects_url == "file:///srv/objects"
        return
    with pytest.raises(PermanentError) as refused:
        loaded(monkeypatch, **own)
    assert refused.value.code == "objects-out-of-reach" and refused.value.got == "file:…"
    assert "s3://" in refused.value.expected and "RADLOOP_OBJECTS_URL" in refused.value.do
