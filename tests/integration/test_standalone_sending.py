"""From a volume to DICOM, over real associations into the real ingest service, and back: the same voxels at the same places."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from radloop.errors import RadloopError, TemporaryError
from radloop.imaging import read_nifti
from standalone.client import Client, operator_token
from standalone.demo import cohort, sending
from standalone.demo.project import project_of
from standalone.demo.state import PROJECT_ID, Choices
from standalone.layout import SERVICES, Layout
from standalone.supervisor.ports import HOST, free_ports
from standalone.supervisor.process import WatchedProcess
from standalone.supervisor.programs import AE_TITLE, service_programs
from tests.integration.labels.platform import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

CHOICES = Choices(
    seed=3,
    rounds=1,
    batch=4,
    start=1,
    pool=1,
    test=1,
    validation=1,
    initial_steps=0,
    update_steps=0,
    error_share=0.0,
    cohort="auto",
)


@dataclass
class Site:
    """What runs: control plane and ingest, as the supervisor starts them."""

    control_plane: Client
    ingest: Client
    destination: sending.Destination


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    layout = Layout(tmp_path_factory.mktemp("site"))
    ports = free_ports(len(SERVICES) + 2)
    addresses = {name: f"http://{HOST}:{port}" for name, port in zip(SERVICES, ports, strict=False)}
    programs = service_programs(
        layout, addresses, triton_port=ports[-1], dicom_port=ports[-2], environment=os.environ, overrides={}
    )
    needed = [program for program in programs if program.name in ("control-plane", "ingest")]
    processes = [WatchedProcess(program, layout.logs_folder / f"{program.name}.log") for program in needed]
    for process in processes:
        process.start(time.monotonic())
    clients = {}
    try:
        for process in processes:
            wait_for(lambda process=process: process.ready or process.step(time.monotonic()) == "ready")
        clients = {name: Client(addresses[name], operator_token(layout)) for name in ("control-plane", "ingest")}
        yield Site(clients["control-plane"], clients["ingest"], sending.Destination(HOST, ports[-2], AE_TITLE))
    finally:
        for client in clients.values():
            client.close()
        for process in processes:
            process.kill()


def test_what_was_sent_is_what_ingest_forms(site: Site) -> None:
    source = cohort.find_real_source(os.environ, Path(__file__).parents[2]) or cohort.phantom_source()
    drawn = cohort.load_cohort(source, seed=3, test=1, validation=1, start=1, pool=1)
    site.control_plane.put(f"/v1/projects/{PROJECT_ID}", project_of(CHOICES, validation_cases=1, pool_cases=4))
    volumes = {volume.series_instance_uid: volume for volume in drawn.volumes}
    asked = {"project_id": PROJECT_ID, "series": list(volumes)}
    wait_for(lambda: site.ingest.post("/v1/cases/resolve", asked))
    site.ingest.put(f"/v1/projects/{PROJECT_ID}/split", {"patients": drawn.split_list()})

    sent = sending.send_patients(drawn.patients, site.destination, associations=2)
    assert sent.refused == []
    assert sent.studies == 4
    site.ingest.post("/v1/complete")
    cases = wait_for(lambda: all_of(site.ingest.post("/v1/cases/resolve", asked)["cases"], len(volumes)))

    for case in cases:
        original = volumes[case["series"]].load_image()
        formed = read_nifti(site.ingest.get_bytes(f"/v1/cases/{case['case_id']}/volumes/0"))
        assert np.array_equal(formed.array, original.array)
        assert np.array_equal(formed.affine_lps, original.affine_lps)
    wanted = {row["patient_id"]: row["split"] for row in drawn.split_list()}
    by_series = {v.series_instance_uid: wanted[p.patient_id] for p in drawn.patients for v in p.volumes}
    assert {case["series"]: case["split"] for case in cases} == by_series


def all_of(cases: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    return cases if len(cases) == count else []


def test_sending_again_changes_nothing(site: Site) -> None:
    drawn = cohort.load_cohort(cohort.phantom_source(), seed=4, test=1, validation=0, start=0, pool=0)
    first = sending.send_patients(drawn.patients, site.destination)
    again = sending.send_patients(drawn.patients, site.destination)
    assert (first.instances, first.refused) == (again.instances, again.refused)


# pynetdicom drops the socket of a refused connection without closing it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_at_the_other_end_is_said(site: Site) -> None:
    drawn = cohort.load_cohort(cohort.phantom_source(), seed=5, test=1, validation=0, start=0, pool=0)
    (port,) = free_ports(1)
    with pytest.raises(TemporaryError, match="association-refused"):
        sending.send_patients(drawn.patients, sending.Destination(HOST, port, AE_TITLE))


def test_a_wrong_token_is_refused(site: Site) -> None:
    stranger = Client(site.ingest.url, "nonsense")
    with pytest.raises(RadloopError, match="unauthenticated"):
        stranger.get("/v1/studies")
    stranger.close()
