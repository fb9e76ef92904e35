"""A platform with what labels need on their way in: control plane, ingest, labeling, the gateway."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from typer.testing import CliRunner

from radloop.errors import NotFound, TemporaryError
from radloop.imaging import Volume, read_nifti
from standalone.association import associate
from standalone.client import Client, operator_token
from standalone.commands.root import app
from standalone.layout import SERVICES, Layout, Platform
from standalone.supervisor.ports import HOST, free_ports
from standalone.supervisor.process import WatchedProcess
from standalone.supervisor.programs import AE_TITLE, gateway_program, service_programs

CATEGORY = {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"}


def segment(value: int, name: str, code: str) -> dict[str, Any]:
    term = {"value": code, "scheme": "SCT", "meaning": name}
    return {
        "value": value,
        "name": name,
        "color": f"#3182{value:02x}",
        "type": term,
        "category": CATEGORY,
        "always_present": False,
    }


def project(modality: str, segments: Sequence[Mapping[str, Any]], *, overlapping: bool = False) -> dict[str, Any]:
    example = json.loads((Path(__file__).parents[3] / "docs/examples/project.json").read_text())
    return example | {
        "segments": list(segments),
        "overlapping_segments": overlapping,
        "routing": [{"called_ae_title": "", "modality": modality, "body_part": "", "description_contains": ""}],
        "split": {"validation_fraction": 0.0, "test_fraction": 0.0},
        "phases": "split",
        "members": [],
    }


def wait_for(call: Callable[[], Any], limit_s: float = 60) -> Any:
    """Call until it gives something true and raises nothing temporary."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if found := call():
                return found
        except (TemporaryError, NotFound):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@dataclass
class Site:
    """What runs."""

    layout: Layout
    client: Client
    url: str
    dicom_port: int

    def configure(self, project_id: str, body: Mapping[str, Any]) -> None:
        self.client.put(f"/control-plane/v1/projects/{project_id}", {**body, "model_name": project_id})
        wait_for(lambda: self.client.get(f"/labeling/v1/projects/{project_id}/segments"))
        wait_for(lambda: self.client.post("/ingest/v1/cases/resolve", {"project_id": project_id, "series": []}))

    def send(self, instances: Sequence[Dataset]) -> None:
        """Send images over a real association, and wait until their cases can take labels."""
        ae = AE(ae_title="MODALITY")
        for sop_class in {str(ds.SOPClassUID) for ds in instances}:
            ae.add_requested_context(sop_class, ExplicitVRLittleEndian)
        association = associate(ae, HOST, self.dicom_port, ae_title=AE_TITLE)
        assert association.is_established
        assert {association.send_c_store(ds).Status for ds in instances} == {0}
        association.release()
        self.client.post("/ingest/v1/complete")

    def cases(self, project_id: str, series: str, count: int = 1) -> list[dict[str, Any]]:
        asked = {"project_id": project_id, "series": [series]}

        def formed() -> list[dict[str, Any]]:
            found = self.client.post("/ingest/v1/cases/resolve", asked)["cases"]
            return found if len(found) == count else []

        cases = wait_for(formed)
        for case in cases:
            wait_for(lambda case=case: self.client.get(f"/labeling/v1/cases/{case['case_id']}/history"))
        return cases

    def run(self, path: Path, project_id: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
        """Run ``radloop labels import ... --json``; return its exit code and what it says of each file."""
        arguments = ["labels", "import", str(path), "--project", project_id, "--json", *options]
        answer = CliRunner().invoke(app, arguments, env=self.environment, catch_exceptions=False)
        return answer.exit_code, json.loads(answer.stdout[answer.stdout.index("{") :])["labels"]

    def table(self, path: Path, project_id: str, *options: str) -> str:
        """Run it as a person would, and return what it prints."""
        arguments = ["labels", "import", str(path), "--project", project_id, *options]
        return CliRunner().invoke(app, arguments, env=self.environment | {"COLUMNS": "400"}).output

    @property
    def environment(self) -> dict[str, str]:
        return {"RADLOOP_URL": self.url, "RADLOOP_TOKEN": operator_token(self.layout)}

    def label(self, label_version_id: str) -> np.ndarray:
        """Return a stored label: a mask of shape (i, j, k)."""
        return read_nifti(self.client.get_bytes(f"/labeling/v1/labels/{label_version_id}")).array

    def volume(self, case_id: str) -> Volume:
        """Return the image of a case as ingest formed it."""
        return read_nifti(self.client.get_bytes(f"/ingest/v1/cases/{case_id}/volumes/0"))

    def labels_of(self, case_id: str) -> list[dict[str, Any]]:
        return self.client.get(f"/labeling/v1/cases/{case_id}/history")["labels"]


@contextmanager
def platform(folder: Path) -> Iterator[Site]:
    """Run a platform in a folder."""
    layout = Layout(folder)
    ports = free_ports(len(SERVICES) + 3)
    addresses = {name: f"http://{HOST}:{port}" for name, port in zip(SERVICES, ports, strict=False)}
    url, dicom_port = f"http://{HOST}:{ports[-3]}", ports[-2]
    programs = service_programs(
        layout, addresses, triton_port=ports[-1], dicom_port=dicom_port, environment=os.environ, overrides={}
    )
    Platform(url, os.getpid(), addresses, HOST, dicom_port, AE_TITLE, "code", ready=True).write(layout)
    needed = [p for p in programs if p.name in ("control-plane", "ingest", "labeling")]
    processes = [WatchedProcess(p, layout.logs_folder / f"{p.name}.log") for p in needed]
    client = None
    try:
        for process in processes:
            process.start(time.monotonic())
        for process in processes:
            wait_for(lambda process=process: process.ready or process.step(time.monotonic()) == "ready")
        door = WatchedProcess(gateway_program(layout, url, os.environ), layout.logs_folder / "gateway.log")
        processes.append(door)
        door.start(time.monotonic())
        wait_for(lambda: door.ready or door.step(time.monotonic()) == "ready")
        client = Client(url, operator_token(layout))
        yield Site(layout, client, url, dicom_port)
    finally:
        if client is not None:
            client.close()
        for process in processes:
            process.kill()


def assert_nothing_named(site: Site, originals: Iterable[str]) -> None:
    """Search all that the platform wrote (logs, events, databases, objects) for texts of the originals."""
    wanted = [text.encode() for text in originals if text]
    files = [file for file in site.layout.folder.rglob("*") if file.is_file()]
    for file in files:
        data = file.read_bytes()
        assert [text for text in wanted if text in data] == [], file.name
    # What is written of it is there to be searched.
    assert any(b"label-submitted" in file.read_bytes() for file in files if file.name.startswith("events.db"))
    assert any(b"match" in file.read_bytes() or b"resolve" in file.read_bytes() for file in files)
