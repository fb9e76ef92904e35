"""The object store's contract against two S3 servers of different make, and what only S3 can get wrong."""

import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import boto3
import pytest

from radloop.objects import open_objects
from radloop.testing.object_contract import ObjectsContract
from standalone.supervisor.ports import free_ports

pytestmark = pytest.mark.integration

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
BUCKET = "radloop"


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    """Moto as a server: an endpoint with an empty bucket."""
    (port,) = free_ports(1)
    program = Path(sys.executable).with_name("moto_server")
    with (tmp_path_factory.mktemp("moto") / "log").open("w") as log:
        server = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert server.poll() is None and time.monotonic() < deadline
        endpoint = f"http://127.0.0.1:{port}"
        secrets = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        with closing(boto3.client("s3", endpoint_url=endpoint, **secrets)) as client:
            client.create_bucket(Bucket=BUCKET)
        yield endpoint
    finally:
        server.terminate()
        server.wait()


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def prefix(request):
    """A prefix of the test's own; the bucket is everybody's."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


class TestMoto(ObjectsContract):
    # Moto looks and writes in two steps: of several at once, more than one may win. Nothing we send can change that.
    test_one_winner_of_a_race = None
    test_one_winner_of_a_large_race = None

    @pytest.fixture
    def objects(self, moto, prefix, tmp_path, monkeypatch):
        for name in KEYS:
            monkeypatch.setenv(name, "any")
        return open_objects(f"s3://{BUCKET}/moto/{prefix}?endpoint={moto}&region=us-east-1", tmp_path)


class TestVersitygw(ObjectsContract):
    @pytest.fixture
    def objects(self, s3, prefix, tmp_path, monkeypatch):
        for name, value in s3.credentials.items():
            monkeypatch.setenv(name, value)
        return open_objects(f"s3://{BUCKET}/objects/{prefix}?endpoint={s3.endpoint}", tmp_path)
