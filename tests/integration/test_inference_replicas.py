"""The service with two real Tritons: a model is on both before it serves, and neither of them is missed when it is killed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle_runner.sample import write_sample_bundle
from radloop.auth import Role
from radloop.contracts.inference.v1 import inference_pb2
from standalone.supervisor.ports import free_ports
from tests.integration.inference_platform import Site, TritonProcess, picture, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SLOW = {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: (__import__('time').sleep(1.0), x)[1]"}
"""Takes a second for each image, so that predictions are under way when a server is killed."""
AT_ONCE = 4


@pytest.fixture
def tritons(tmp_path: Path) -> Iterator[list[TritonProcess]]:
    started = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        started.append(TritonProcess(tmp_path / name, free_ports(3)))
        started[-1].start()
    yield started
    for process in started:
        process.stop()


@pytest.fixture
def site(tmp_path: Path, tritons: list[TritonProcess]) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    urls = ",".join(process.url for process in tritons)
    running = Site(tmp_path / "site", urls, f"file://{tmp_path}/objects", in_flight=AT_ONCE)
    yield running
    running.service.drain()
    running.log.close()


def deploy(site: Site, seed: int, compared_with: str = "") -> tuple[str, str]:
    """Train a slow model and wait until it is deployed; return its digest and its name in Triton."""
    archive = write_sample_bundle(site.folder / f"slow-{seed}.zip", seed=seed, transforms=(SLOW,))
    digest = site.train("brain", archive, compared_with)
    deployed = site.waits_for(inference_pb2.ModelDeployed, candidate_digest=digest)
    assert deployed.outcome == inference_pb2.DEPLOYMENT_SERVING
    return digest, f"brain-model-{digest.removeprefix('sha256:')[:12]}"


def in_flight(site: Site) -> int:
    return site.client.get("/v1/status", headers=site.headers(Role.PROJECT_LEAD)).json()["in_flight"]


def test_a_replica_is_killed_in_mid_flight_and_no_prediction_is_lost(
    site: Site, tritons: list[TritonProcess], caplog: pytest.LogCaptureFixture
) -> None:
    lost, left = tritons
    site.configure("brain")
    digest, name = deploy(site, seed=1)
    assert name in lost.client.loaded() and name in left.client.loaded()  # before anybody heard that it serves

    cases = [f"study-{number}" for number in range(12)]
    for case in cases:
        site.ingest("brain", case, picture(16, 16, 16))
    wait_until(lambda: in_flight(site) == AT_ONCE and lost.predictions(name), "both are at work")
    lost.kill()
    for case in cases:
        assert site.waits_for(inference_pb2.PredictionMade, case_id=f"{case}-case").model_digest == digest
    said = Counter(made.case_id for made in site.said(inference_pb2.PredictionMade))
    assert set(said.values()) == {1} and len(said) == len(cases)
    assert not site.said(inference_pb2.PredictionFailed)
    assert "a replica of Triton was lost with a prediction, asking another" in caplog.messages

    lost.start()
    wait_until(lambda: name in lost.client.loaded(), "it has its model again")
    before = lost.predictions(name)
    for number in range(AT_ONCE):
        site.ingest("brain", f"later-{number}", picture(16, 16, 16))
    for number in range(AT_ONCE):
        site.waits_for(inference_pb2.PredictionMade, case_id=f"later-{number}-case")
    assert lost.predictions(name) > before

    _, newer = deploy(site, seed=2, compared_with=digest)
    assert newer in lost.client.loaded() and newer in left.client.loaded()
