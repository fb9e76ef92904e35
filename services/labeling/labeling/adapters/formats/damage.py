"""What a damaged DICOM file is: one that cannot be read, whatever pydicom raises on the way."""

from collections.abc import Iterator
from contextlib import contextmanager

from radloop.errors import Invalid, RadloopError


@contextmanager
def unreadable_where_damaged(expected: str) -> Iterator[None]:
    """Turn whatever is raised while a data set is looked at into ``label-unreadable``; our own errors pass."""
    try:
        yield
    except RadloopError:
        raise
    except (
        Exception
    ) as error:  # pydicom converts values when they are asked for, and raises many kinds for damaged ones
        raise Invalid("label-unreadable", expected=expected, got="one that is damaged", do="export it again") from error
