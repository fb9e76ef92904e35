"""S3 on bad days: killed writers, damaged objects, a server that is away, refuses or is full."""

import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

from radloop.errors import NotFound, PermanentError, Unavailable
from radloop.objects import answers, open_objects
from radloop.references import ObjectRef
from standalone.engines.s3 import S3Server
from standalone.supervisor.ports import free_ports

pytestmark = pytest.mark.integration

SECRET = "a-secret-that-nobody-may-read"
WRITER = """
import sys
from radloop.objects import open_objects
open_objects(sys.argv[1]).put("large", bytes(400 * 2**20))
"""


def until(condition, limit_s=30.0):
    """Wait for a condition, at most so long."""
    deadline, pause = time.monotonic() + limit_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s"
        pause.wait(0.01)


@pytest.fixture
def objects(s3_url, tmp_path):
    return open_objects(s3_url, tmp_path / "work")


@pytest.fixture
def client(s3, s3_url):
    client = boto3.session.Session().client("s3", endpoint_url=s3.endpoint)
    yield client
    client.close()


@pytest.fixture
def prefix(s3_url):
    return s3_url.split("?")[0].split("/", 3)[3]


def uploads(client, prefix):
    found = client.list_multipart_uploads(Bucket="radloop", Prefix=f"{prefix}/").get("Uploads", [])
    return [{"Bucket": "radloop", "Key": each["Key"], "UploadId": each["UploadId"]} for each in found]


def test_a_writer_killed_in_the_middle_leaves_nothing_visible(objects, s3_url, client, prefix):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, s3_url])
    until(lambda: any("Parts" in client.list_parts(**each) for each in uploads(client, prefix)))
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    assert objects.keys("") == []
    assert len(uploads(client, prefix)) == 1
    now = datetime.now(UTC)
    assert objects.abort_unfinished("", now - timedelta(hours=1)) == 0
    assert objects.abort_unfinished("", now + timedelta(hours=1)) == 1
    assert uploads(client, prefix) == []


def test_an_upload_taken_for_abandoned_is_sent_again(objects, client, prefix, monkeypatch):
    data = bytes(40 * 2**20)
    sent = objects._client.upload_part
    aborted = []

    def send(**part):
        if not aborted:
            aborted.append(objects.abort_unfinished("", datetime.now(UTC) + timedelta(hours=1)))
        return sent(**part)

    monkeypatch.setattr(objects._client, "upload_part", send)
    assert objects.get(objects.put("large", data)) == data
    assert sum(aborted) == 1 and uploads(client, prefix) == []


def test_an_upload_that_ended_meanwhile_is_not_counted(objects, client, prefix, monkeypatch):
    client.create_multipart_upload(Bucket="radloop", Key=f"{prefix}/left")
    abort = objects._client.abort_multipart_upload

    def after_another_sweep(**upload):
        abort(**upload)
        return abort(**upload)

    monkeypatch.setattr(objects._client, "abort_multipart_upload", after_another_sweep)
    assert objects.abort_unfinished("", datetime.now(UTC) + timedelta(hours=1)) == 0
    assert uploads(client, prefix) == []


def test_a_part_that_fails_ends_the_upload(objects, client, prefix, monkeypatch):
    def refuse(**_part):
        raise ConnectionError

    monkeypatch.setattr(objects._client, "upload_part", refuse)
    with pytest.raises(Unavailable, match="object-store-unavailable"):
        objects.put("large", bytes(40 * 2**20))
    assert objects.keys("") == [] and uploads(client, prefix) == []


def test_a_damaged_object_is_said(objects, client, prefix, tmp_path):
    ref = objects.put("a", b"as stored")
    client.put_object(Bucket="radloop", Key=f"{prefix}/a", Body=b"as rotten")
    for read in (objects.get, objects.path):
        with pytest.raises(PermanentError, match="object-damaged") as raised:
            read(ref)
        assert ref.digest in str(raised.value)
    assert [file for file in (tmp_path / "work").rglob("*") if file.is_file()] == []


def test_bytes_that_somebody_else_put_there_are_compared(objects, client, prefix):
    client.put_object(Bucket="radloop", Key=f"{prefix}/theirs", Body=b"same")
    assert objects.get(objects.put("theirs", b"same")) == b"same"


def test_wrong_keys(s3_url, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    store = open_objects(s3_url)
    for ask in (store.check, lambda: store.put("a", b"x"), lambda: store.get(ObjectRef("a", "sha256:0", 1))):
        with pytest.raises(Unavailable, match="object-store-refused.*check the keys") as raised:
            ask()
        assert SECRET not in str(raised.value)
    assert "check the keys" in str(answers(store))


def test_no_keys(s3_url, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unavailable, match="object-store-no-credentials.*AWS_ACCESS_KEY_ID"):
        open_objects(s3_url).put("a", b"x")


def test_no_bucket(s3, s3_url):
    store = open_objects(s3_url.replace("s3://radloop/", "s3://elsewhere/"))
    for ask in (store.check, lambda: store.put("a", b"x"), lambda: store.get(ObjectRef("a", "sha256:0", 1))):
        with pytest.raises(Unavailable, match="object-store-bucket-missing"):
            ask()


def test_a_missing_object_is_not_an_outage(objects):
    with pytest.raises(NotFound, match="object-missing"):
        objects.path(ObjectRef("a", "sha256:" + "0" * 64, 1))


@contextmanager
def running(server):
    program = server.program()
    process = subprocess.Popen(program.arguments, env=program.environment, stdout=subprocess.DEVNULL)
    try:
        until(server.answers)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_server_killed_and_back(tmp_path, monkeypatch):
    server = S3Server(tmp_path / "s3", free_ports(1)[0], "radloop", secrets.token_urlsafe(16))
    server.prepare()
    for name, value in server.credentials.items():
        monkeypatch.setenv(name, value)
    store = open_objects(server.url)
    with pytest.raises(Unavailable, match="object-store-unavailable"):
        store.check()
    with running(server):
        ref = store.put("a", b"x")
    assert "object-store-unavailable" in str(answers(store))
    for ask in (
        lambda: store.put("b", b"x"),
        lambda: store.get(ref),
        lambda: store.keys(""),
        lambda: store.delete("a"),
    ):
        with pytest.raises(Unavailable, match="object-store-unavailable.*endpoint") as raised:
            ask()
        assert server.secret_key not in str(raised.value)
    with running(server):
        assert answers(store) is True and store.get(ref) == b"x" and store.keys("") == ["a"]


class FullServer(BaseHTTPRequestHandler):
    """Answers as a server without room does."""

    def do_PUT(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b"<Error><Code>XMinioStorageFull</Code><Message>full</Message></Error>"
        self.send_response(507)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_full_server(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with ThreadingHTTPServer(("127.0.0.1", 0), FullServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            store = open_objects(f"s3://radloop?endpoint=http://127.0.0.1:{server.server_port}")
            with pytest.raises(Unavailable, match="object-store-full.*make room"):
                store.put("a", b"x")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "url", ["s3://", f"s3://key:{SECRET}@bucket", "s3://bucket?secret=a", f"s3://bucket#{SECRET}", "s3:///prefix"]
)
def test_a_url_that_is_none_is_not_repeated(url):
    with pytest.raises(PermanentError, match="objects-url-invalid.*AWS_SECRET_ACCESS_KEY") as raised:
        open_objects(url)
    assert SECRET not in str(raised.value)
