"""``ingest`` and ``withdraw``: studies in, and out for good."""

import io
import zipfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, console, print_json, print_table

if TYPE_CHECKING:
    from standalone.client import Client

# Large enough that a request's own cost does not count, small enough to show progress and to fit into memory often.
BUNDLE_BYTES = 32_000_000


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

    from standalone.client import connect

    files = [file for path in paths for file in files_under(path)]
    total: dict[str, Any] = {"received": 0, "stored": 0, "duplicates": 0, "rejected": {}}
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with connect(data) as client, Progress(*columns, console=console(error=True), transient=True) as progress:
        task = progress.add_task("", total=len(files))
        for name, content, count in bundles(files):
            answer = client.post("/ingest/v1/uploads", files={"file": (name, content)})
            for key in ("received", "stored", "duplicates"):
                total[key] += answer[key]
            for refused in answer["rejected"]:
                total["rejected"][refused["reason"]] = total["rejected"].get(refused["reason"], 0) + refused["count"]
            progress.advance(task, count)
        if complete:
            client.post("/ingest/v1/complete")
    if as_json:
        print_json(total)
        return
    out = console()
    out.print(f"{total['received']} received: {total['stored']} stored, {total['duplicates']} known already.")
    rows = [[reason, count] for reason, count in sorted(total["rejected"].items())]
    if rows:
        print_table("Refused", ["reason", "instances"], rows, empty="")
        raise typer.Exit(1)


def files_under(path: Path) -> Iterator[Path]:
    """Find the files in a folder, or the file itself; hidden ones and a DICOMDIR are no images."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and file.name.upper() != "DICOMDIR":
            yield file


def bundles(files: list[Path]) -> Iterator[tuple[str, bytes, int]]:
    """Put files together for sending, in memory: nothing identified is written to a disk.

    Yields
    ------
    tuple of (str, bytes, int)
        File name to send under, content, number of files in it. A zip file goes as it is.
    """
    waiting: list[Path] = []
    size = 0
    for file in files:
        if zipfile.is_zipfile(file):
            yield "studies.zip", file.read_bytes(), 1
            continue
        waiting.append(file)
        size += file.stat().st_size
        if size > BUNDLE_BYTES:
            yield "studies.zip", _zipped(waiting), len(waiting)
            waiting, size = [], 0
    if len(waiting) == 1:
        yield "instance.dcm", waiting[0].read_bytes(), 1
    elif waiting:
        yield "studies.zip", _zipped(waiting), len(waiting)


def _zipped(files: list[Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        # Names may identify somebody, and say nothing that the file does not.
        for number, file in enumerate(files):
            archive.writestr(f"{number:06d}.dcm", file.read_bytes())
    return buffer.getvalue()


class WithdrawReason(StrEnum):
    """Why a study is to be forgotten."""

    CONSENT = "consent"
    SENT_IN_ERROR = "sent-in-error"
    IDENTIFIABLE = "identifiable"


def withdraw(
    study: Annotated[str, typer.Argument(help="Its original Study Instance UID, or the platform's study key.")],
    reason: Annotated[WithdrawReason, typer.Option(help="Why.")],
    data: DataOption = DEFAULT_DATA,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make the platform forget a study, everywhere and for good.

    Its images, predictions, tasks and labels are deleted, it is refused when sent again, and datasets and models that
    contained it are listed for you; they are not rebuilt by themselves.

    Example:

        radloop withdraw 1.2.840.113619.2.5.1762583153.215519 --reason consent
    """
    from standalone.client import connect

    if not yes:
        typer.confirm("Forget this study for good?", abort=True)
    with connect(data) as client:
        # A study key is a UID too (2.25.…): which of the two this is, is seen by looking for it.
        if _is_known(client, study):
            client.post("/ingest/v1/withdraw", {"study_key": study, "reason": reason.value})
            known = True
        else:
            wanted = {"study_instance_uid": study, "reason": reason.value}
            known = _is_known(client, client.post("/ingest/v1/withdraw", wanted)["study_key"])
    out = console()
    if known:
        out.print("Withdrawn. Every service forgets it now: radloop events tail --topic study-withdrawn")
    else:
        out.print("No such study was received. It is refused from now on; mend the UID if you meant another.")


def _is_known(client: "Client", study_key: str) -> bool:
    from radloop.errors import NotFound

    try:
        client.get(f"/ingest/v1/studies/{study_key}")
    except NotFound:
        return False
    return True
