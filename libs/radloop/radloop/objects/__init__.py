"""The object store: immutable objects by key, verified by digest. `RADLOOP_OBJECTS_URL` chooses the engine."""

from radloop.errors import PermanentError
from radloop.objects.files import FileObjects
from radloop.objects.port import Objects

__all__ = ["Objects", "open_objects"]


def open_objects(url: str) -> Objects:
    """Open the object store at ``file:///<folder>``.

    Raises
    ------
    PermanentError
        When no engine answers to the URL's scheme.
    """
    if url.startswith("file:///"):
        return FileObjects(url.removeprefix("file://"))
    raise PermanentError(
        "objects-url-unknown",
        expected="file:///<folder>",
        got=url.split(":", 1)[0] + ":…",
        do="set RADLOOP_OBJECTS_URL",
    )
