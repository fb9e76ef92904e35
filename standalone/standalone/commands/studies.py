"""``ingest``: studies in. Out for good: `withdrawal`."""

import io
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

if TYPE_CHECKING:
    from standalone.client import Client

# Large enough that a request's own cost does not count, small enough to show progress and to fit into memory often.
BUNDLE_BYTES = 32_000_000

RECEIVING = "receiving"
"""State of a study that nobody has looked at as a whole."""

AT_THE_DOOR = {
    "not-dicom",
    "truncated",
    "no-pixel-data",
    "undecodable",
    "pixels-differ",
    "burned-in-text",
    "withdrawn",
}
"""Reasons an upload's own answer names; all others come when a study is looked at as a whole."""

FORMING_LIMIT_S = 300.0
"""How long `ingest` waits to say what became of the studies; they are formed whether it waits or not."""


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, zip files, or folders of either.", exists=True)],
    data: DataOption = DEFAULT_DATA,
    complete: Annotated[
        bool, typer.Option(help="Say that these studies are complete, instead of waiting for a quiet time.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Send DICOM files to the platform, as an archive would by C-STORE.

    Sending the same file again does no harm. What cannot become a case is listed with the reason.

    Example:

        radloop ingest ~/scans/study1 ~/scans/study2.zip
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from radloop.errors import Invalid
    from standalone.client import connect

    files = [file for path in paths for file in files_under(path)]
    if not files:
        named = ", ".join(str(path) for path in paths)
        raise Invalid(
            "nothing-to-send", expected="DICOM or zip files", got=f"none in {named}", do="name another folder"
        )
    sent = Sent()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal = console(error=True)
    with (
        connect(data) as client,
        Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress,
    ):
        task = progress.add_task("sending", total=len(files))
        for bundle in bundles(files):
            sent.send(client, bundle)
            progress.advance(task, bundle.count)
        if complete:
            client.post("/ingest/v1/complete")
            task = progress.add_task("forming cases", total=len(sent.studies))
            for study in formed(client, sent.studies):
                sent.note(study)
                progress.advance(task, 1)
    if as_json:
        print_json(sent.as_dict(formed=complete))
    else:
        sent.print(formed=complete)
    if sent.refused:
        raise typer.Exit(1)


@dataclass
class Sent:
    """What was sent, and what became of it."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    held: int = 0
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Instances, by reason and the words about it."""
    studies: set[str] = field(default_factory=set)
    cases: int = 0
    waiting: int = 0
    """Studies nobody has looked at yet."""

    def send(self, client: "Client", bundle: "Bundle") -> None:
        """Send a bundle; one that is refused as a whole does not stop the others."""
        from radloop.errors import Invalid

        try:
            answer = client.post("/ingest/v1/uploads", files={"file": (bundle.name, bundle.content)})
        except Invalid as error:
            self.refused[error.code, f"{bundle.source or 'files'}: {error.expected}"] += 1
            return
        self.received += answer["received"]
        self.stored += answer["stored"]
        self.duplicates += answer["duplicates"]
        self.held += answer["held"]
        self.studies |= set(answer["studies"])
        for each in answer["rejected"]:
            self.refused[each["reason"], ""] += each["count"]

    def note(self, study: dict[str, Any]) -> None:
        """Count the cases of a study, and what of it could not become one."""
        self.waiting += study["state"] == RECEIVING
        self.cases += len(study["cases"])
        series = {key for case in study["cases"] for key in case["series_keys"]}
        for each in study["rejections"]:
            # What was refused at the door was counted there; a series that was refused once may be a case by now.
            if each["reason"] not in AT_THE_DOOR and each["series_key"] not in series:
                self.refused[each["reason"], each["detail"]] += each["instance_count"]

    def as_dict(self, *, formed: bool) -> dict[str, Any]:
        """Return it for a program."""
        rejected: dict[str, int] = {}
        for (reason, _), count in self.refused.items():
            rejected[reason] = rejected.get(reason, 0) + count
        told = {"received": self.received, "stored": self.stored, "duplicates": self.duplicates, "held": self.held}
        cases = {"cases": self.cases, "waiting": self.waiting} if formed else {}
        return told | {"studies": sorted(self.studies)} | cases | {"rejected": rejected}

    def print(self, *, formed: bool) -> None:
        """Tell a person."""
        out = console()
        out.print(f"{self.received} received: {self.stored} stored, {self.duplicates} known already.")
        if self.held:
            out.print(f"{self.held} held until somebody has looked for burned-in text: GET /ingest/v1/quarantine")
        if formed and self.studies:
            out.print(f"{len(self.studies)} studies, {self.cases} cases.")
        if self.waiting:
            out.print(f"{self.waiting} studies are still being formed: radloop status")
        if self.refused:
            rows = [[reason, count, detail] for (reason, detail), count in sorted(self.refused.items())]
            print_table("Refused", ["reason", "instances", "more"], rows, empty="")


def formed(client: "Client", study_keys: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Wait until each study was looked at, at most `FORMING_LIMIT_S` for all, and describe it as ``ingest`` does."""
    from radloop.errors import NotFound

    deadline = time.monotonic() + FORMING_LIMIT_S
    for study_key in sorted(study_keys):
        try:
            while (study := client.get(f"/ingest/v1/studies/{study_key}"))["state"] == RECEIVING:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.2)
        except NotFound:
            continue  # withdrawn meanwhile
        yield study


def files_under(path: Path) -> Iterator[Path]:
    """Find the files in a folder, or the file itself; hidden ones and a DICOMDIR are no images."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and file.name.upper() != "DICOMDIR":
            yield file


@dataclass(frozen=True)
class Bundle:
    """What goes in one request: the name to send it under, its bytes, how many files it is, and which if it is one."""

    name: str
    content: bytes
    count: int
    source: Path | None = None


def bundles(files: list[Path]) -> Iterator[Bundle]:
    """Put files together for sending, in memory: nothing identified is written to a disk. A zip file goes as it is."""
    waiting: list[Path] = []
    size = 0
    for file in files:
        if is_zip(file):
            yield Bundle("studies.zip", file.read_bytes(), 1, file)
            continue
        waiting.append(file)
        size += file.stat().st_size
        if size > BUNDLE_BYTES:
            yield Bundle("studies.zip", _zipped(waiting), len(waiting))
            waiting, size = [], 0
    if len(waiting) == 1:
        yield Bundle("instance.dcm", waiting[0].read_bytes(), 1, waiting[0])
    elif waiting:
        yield Bundle("studies.zip", _zipped(waiting), len(waiting))


def is_zip(file: Path) -> bool:
    """Whether a file begins as a zip file does; `zipfile` wants its end too, which a broken one lacks."""
    with file.open("rb") as opened:
        return opened.read(4) == b"PK\x03\x04"


def _zipped(files: list[Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        # Names may identify somebody, and say nothing that the file does not.
        for number, file in enumerate(files):
            archive.writestr(f"{number:06d}.dcm", file.read_bytes())
    return buffer.getvalue()
