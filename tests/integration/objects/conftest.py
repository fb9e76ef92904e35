"""An object store of each make, with a prefix of the test's own."""

import pytest

from radloop.objects import open_objects


@pytest.fixture
def s3_url(s3, request, monkeypatch):
    """URL of an empty prefix; the keys are in the environment."""
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    prefix = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    bucket, _, options = s3.url.partition("?")
    return f"{bucket}/{prefix}?{options}"


@pytest.fixture(params=["files", "s3"])
def objects(request, tmp_path):
    """Either engine."""
    if request.param == "files":
        return open_objects(f"file://{tmp_path / 'objects'}")
    return open_objects(request.getfixturevalue("s3_url"), tmp_path / "work")
