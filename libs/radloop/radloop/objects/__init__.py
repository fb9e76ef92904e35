"""The object store: immutable objects by key, verified by digest. `RADLOOP_OBJECTS_URL` chooses the engine."""

from pathlib import Path

from radloop.errors import PermanentError, RadloopError
from radloop.objects.files import FileObjects
from radloop.objects.port import Objects, StoredObject

__all__ = ["Objects", "StoredObject", "answers", "open_objects"]


def answers(objects: Objects) -> bool | str:
    """Return true when the store answers now, else in words why not: what ``/readyz`` asks."""
    try:
        objects.check()
    except RadloopError as error:
        return str(error)
    return True


def open_objects(url: str, work_dir: Path | None = None) -> Objects:
    """Open the object store at ``file:///<folder>`` or ``s3://<bucket>[/prefix][?endpoint=…]``.

    Parameters
    ----------
    url
        See `radloop.objects.s3_url` for the options of S3.
    work_dir
        Folder for local copies of objects, needed by who calls `Objects.path`.

    Raises
    ------
    PermanentError
        When no engine answers to the URL's scheme.
    """
    if url.startswith("file:///"):
        return FileObjects(url.removeprefix("file://"))
    if url.startswith("s3://"):
        from radloop.objects.s3_url import open_s3  # boto3 takes a third of a second that a folder need not wait for

        return open_s3(url, work_dir)
    raise PermanentError(
        "objects-url-unknown",
        expected="file:///<folder> or s3://<bucket>",
        got=url.split(":", 1)[0] + ":…",
        do="set RADLOOP_OBJECTS_URL",
    )
