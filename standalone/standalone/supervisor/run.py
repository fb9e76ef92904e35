"""``radloop up`` as a person sees it: what starts, how long it took, where to go, and the end."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from standalone.commands.options import console
from standalone.layout import Layout
from standalone.setup import settle_setup
from standalone.supervisor.platform import Supervisor, locked
from standalone.supervisor.process import WatchedProcess


def run_up(
    folder: Path,
    *,
    port: int,
    dicom_port: int,
    environment: Mapping[str, str],
    overrides: Mapping[str, str],
    owner: int,
    asked: Mapping[str, Any],
) -> None:
    """Run a platform in the foreground until SIGINT or SIGTERM.

    ``asked`` are the fields of `Setup` that this start names.

    Raises
    ------
    Conflict
        Another platform runs in the folder, a port is taken, or the folder was made otherwise.
    PermanentError
        A program does not start.
    """
    out = console()
    began = time.monotonic()
    layout = Layout(folder)
    supervisor: Supervisor

    def said(what: str, name: str, process: WatchedProcess | None) -> None:
        if what == "ready" and process is not None:
            count = sum(each.ready for each in supervisor.processes)
            out.print(
                f"  {name:<14} ready after {process.ready_after_s:.1f} s   ({count} of {len(supervisor.processes)})"
            )
        elif what == "died" and process is not None:
            out.print(f"  {name:<14} died; starts again. Its log: {process.log_file}")
        elif what == "up":
            platform = supervisor.platform
            out.print(f"radloop is up after {time.monotonic() - began:.0f} s.")
            out.print(
                f"  open   {platform.url}/?token={platform.login_code}   (works once; radloop token --browser: another)"
            )
            if "labeling" in platform.services:
                out.print(f"  read   {platform.url}/labeling/   (the reading room, once that is opened)")
            if "ingest" in platform.services:
                out.print(f"  DICOM  {platform.dicom_ae_title} at {platform.dicom_host}:{platform.dicom_port}")
            if engines := layout.engines:
                out.print(f"  Kafka  {engines.events_url}")
            out.print(f"  look   radloop status --data {folder}")
            out.print("Ctrl-C ends it.")

    with locked(layout):
        settle_setup(layout.setup_file, asked)
        out.print(f"radloop starts in {folder}; logs in {layout.logs_folder}")
        supervisor = Supervisor(
            layout,
            port=port,
            dicom_port=dicom_port,
            environment=environment,
            overrides=overrides,
            owner=owner,
            said=said,
        )
        supervisor.run()
        out.print(f"radloop has ended. Everything is kept in {folder}.")
