"""Orthanc and dcmtk's programs as real peers of `ingest`; tests that need them are skipped where they are not installed."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from standalone.supervisor.ports import free_ports

AE_TITLE = "ORTHANC"
# Debian's dcmtk and Orthanc leave Nagle's algorithm on, at 50 ms per instance; a PACS in a hospital does not.
ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}
_PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc/plugins"))

needs_orthanc = pytest.mark.skipif(shutil.which("Orthanc") is None, reason="needs Orthanc: scripts/dicom-peers")
needs_dcmtk = pytest.mark.skipif(shutil.which("dcmsend") is None, reason="needs dcmtk: scripts/dicom-peers")


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc.

    Attributes
    ----------
    port
        Where it speaks DICOM, as `AE_TITLE`; it answers C-ECHO, C-STORE, C-FIND, C-MOVE and C-GET of anybody.
    url
        Its own REST API; ``{url}/dicom-web`` is its DICOMweb.
    pid
        Its process.
    folder
        Where its files are.
    """

    port: int
    url: str
    pid: int
    folder: Path

    @property
    def web(self) -> str:
        """Address of its DICOMweb."""
        return f"{self.url}/dicom-web"

    def store(self, file: bytes) -> None:
        """Give it one Part 10 file."""
        httpx.post(f"{self.url}/instances", content=file, trust_env=False, timeout=30).raise_for_status()

    def get(self, path: str) -> Any:
        """Ask its REST API."""
        return httpx.get(f"{self.url}/{path}", trust_env=False, timeout=30).raise_for_status().json()

    def files(self) -> list[bytes]:
        """Return every instance it has, as Part 10 files."""
        return [self._bytes(f"instances/{each}/file") for each in self.get("instances")]

    def _bytes(self, path: str) -> bytes:
        return httpx.get(f"{self.url}/{path}", trust_env=False, timeout=30).raise_for_status().content


@contextmanager
def orthanc(
    folder: Path,
    modalities: Mapping[str, tuple[str, str, int]],
    ports: tuple[int, int] | None = None,
    **changes: Any,
) -> Iterator[Orthanc]:
    """Run an Orthanc until the block ends.

    Parameters
    ----------
    folder
        For its files; made where it is missing.
    modalities
        Whom it may send to by C-MOVE: AE title, host and port, by a name.
    ports
        For HTTP and DICOM; free ones where none are given.
    changes
        Further settings of its configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    http, dicom = ports or free_ports(2)
    plugins = [file for place in _PLUGINS if place.is_dir() for file in place.glob("libOrthancDicomWeb.so*")]
    configuration = {
        "StorageDirectory": str(folder / "files"),
        "IndexDirectory": str(folder / "files"),
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": AE_TITLE,
        "DicomPort": dicom,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowGet": True,
        "DicomModalities": {name: list(where) for name, where in modalities.items()},
        "Plugins": [str(plugins[0])] if plugins else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **changes,
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(file)], stdout=log, stderr=log, env=ENVIRONMENT)
    try:
        running = Orthanc(dicom, f"http://127.0.0.1:{http}", process.pid, folder)
        _wait_for(running, process, folder / "orthanc.log")
        yield running
    finally:
        process.kill()  # its folder goes, too; to end by itself it takes three seconds
        process.wait(20)


def _wait_for(running: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            running.get("system")
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"Orthanc does not answer: {log.read_text()[-2000:]}")
