"""Files by HTTP or from a folder, read in memory: an upload is identified, so it is never spooled to a disk."""

import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ingest.adapters.reception import Fate, Receiver
from radloop.errors import Invalid, TemporaryError

_ZIP = b"PK\x03\x04"
_LARGEST_MEMBER = 2 << 30
_LARGEST_UNPACKED = 16 << 30
"""Bytes that the zip files of one upload may unpack to, one member after the other in memory."""
_NO_INSTANCES = ("DICOMDIR", "LICENSE", "README", "README.MD")
"""Names that stand beside DICOM files and are none; they are passed over, not refused."""


class _InMemoryParser(MultiPartParser):
    # 0 means: never roll over to a file. Starlette's default writes parts above 1 MiB to the disk.
    spool_max_size = 0


async def files_of(request: Request, largest_bytes: int) -> list[bytes]:
    """Return the parts named ``file`` of a multipart request.

    Raises
    ------
    Invalid
        When the body is larger than ``largest_bytes``, damaged, or holds no such part.
    """

    try:
        form = await _InMemoryParser(request.headers, _limited(request, largest_bytes)).parse()  # type: ignore[arg-type]
    except (MultiPartException, KeyError) as error:
        raise Invalid(
            "upload-unreadable", expected="multipart/form-data with a part `file`", got="something else"
        ) from error
    try:
        files = [await part.read() for name, part in form.multi_items() if name == "file" and not isinstance(part, str)]
    finally:
        await form.close()
    if not files:
        raise Invalid("upload-empty", expected="a part `file` with a .dcm or .zip", got="none")
    return files


async def body_of(request: Request, largest_bytes: int) -> bytes:
    """Return the body of a request.

    Raises
    ------
    Invalid
        When it is larger than ``largest_bytes``.
    """
    return b"".join([chunk async for chunk in _limited(request, largest_bytes)])


async def _limited(request: Request, largest_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest_bytes:
            raise Invalid(
                "upload-too-large", expected=f"at most {largest_bytes} bytes", got="more", do="send it in parts"
            )
        yield chunk


def instances_in(files: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack zip files, in memory; everything else is passed on as it is. Names in a zip are no paths here: nothing is written.

    Raises
    ------
    Invalid
        When a zip file is damaged, encrypted, or unpacks to something huge.
    """
    left = _LARGEST_UNPACKED
    for data in files:
        if not data.startswith(_ZIP):
            yield data
            continue
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                for member in archive.infolist():
                    if member.is_dir() or not _may_be_instance(member.filename):
                        continue
                    if member.file_size > _LARGEST_MEMBER:
                        raise Invalid(
                            "zip-too-large", expected=f"files of at most {_LARGEST_MEMBER} bytes", got="a larger one"
                        )
                    left -= member.file_size
                    if left < 0:
                        raise Invalid(
                            "zip-too-large",
                            expected=f"files of at most {_LARGEST_UNPACKED} bytes in all",
                            got="more",
                            do="send them in several uploads",
                        )
                    yield archive.read(member)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise Invalid(
                "zip-unreadable", expected="a whole zip file without a password", got=type(error).__name__
            ) from error


def instances_under(folder: Path) -> Iterator[bytes]:
    """Read the files of a folder and its subfolders, in order of name; zip files are unpacked.

    Raises
    ------
    Invalid
        When there is no such folder.
    """
    if not folder.is_dir():
        raise Invalid("folder-missing", expected="a folder this service can read", got="none", do="check the path")
    for file in sorted(folder.rglob("*")):
        if file.is_file() and _may_be_instance(file.name):
            yield from instances_in([file.read_bytes()])


def _may_be_instance(name: str) -> bool:
    last = name.rpartition("/")[2]
    return not last.startswith(".") and not name.startswith("__MACOSX/") and last.upper() not in _NO_INSTANCES


@dataclass
class Tally:
    """What became of an upload's instances."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    held: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    studies: set[str] = field(default_factory=set)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer to the sender."""
        return {
            "received": self.received,
            "stored": self.stored,
            "duplicates": self.duplicates,
            "held": self.held,
            "rejected": [{"reason": reason, "count": count} for reason, count in sorted(self.rejected.items())],
            "studies": sorted(self.studies),
        }


def receive_all(receiver: Receiver, instances: Iterable[bytes]) -> Tally:
    """Take instances in, one after the other.

    Raises
    ------
    TemporaryError
        When one cannot be stored now; those before it are, and sending all again is safe.
    """
    tally = Tally()
    with receiver.open("") as reception:
        for data in instances:
            try:
                outcome = reception.receive(data)
            except TemporaryError as error:
                error.do = f"{error.do}; {tally.stored} instances are stored, send all again"
                raise
            tally.received += 1
            tally.stored += outcome.fate is Fate.STORED
            tally.duplicates += outcome.fate is Fate.DUPLICATE
            tally.held += outcome.fate is Fate.HELD
            if outcome.reason is not None:
                tally.rejected[outcome.reason.value] = tally.rejected.get(outcome.reason.value, 0) + 1
            if outcome.fate is not Fate.REFUSED:
                tally.studies.add(outcome.study_key)
    return tally
