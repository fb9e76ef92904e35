"""Local copies of objects: verified, bounded, held for who needs them, shared by processes."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from radloop.errors import Conflict
from radloop.objects import open_objects
from radloop.objects.cache import FORGOTTEN_S
from radloop.objects.serving import object_response

pytestmark = pytest.mark.integration

READER = """
import sys
from pathlib import Path
from radloop.objects import open_objects
from radloop.references import ObjectRef
url, work, digest = sys.argv[1:]
store = open_objects(url, Path(work))
for _ in range(20):
    assert store.path(ObjectRef("a", digest, 1)).read_bytes() == bytes(300_000)
"""


def copies(work):
    return sorted(file.name for file in (work / "object-cache").iterdir())


def name_of(ref):
    return ref.digest.removeprefix("sha256:")


def test_a_copy_is_fetched_once_and_cannot_be_written(s3_url, tmp_path):
    store = open_objects(s3_url, tmp_path)
    ref = store.put("a", b"x")
    path = store.path(ref)
    assert path.read_bytes() == b"x" and path.stat().st_mode & 0o777 == 0o444
    store.delete("a")
    assert store.path(ref) == path


def test_the_copies_used_longest_ago_go_first(s3_url, tmp_path):
    store = open_objects(f"{s3_url}&cache_gb={2_500 / 2**30}", tmp_path)
    first, second, third = (store.put(key, key.encode() * 1000) for key in "abc")
    for age_s, ref in ((60, first), (30, second)):
        os.utime(store.path(ref), (time.time() - age_s,) * 2)
    store.path(first)  # used again
    store.path(third)
    assert copies(tmp_path) == sorted([name_of(first), name_of(third)])


def test_what_nobody_used_for_a_day_goes(s3_url, tmp_path):
    store = open_objects(s3_url, tmp_path)
    old, new = store.put("a", b"old"), store.put("b", b"new")
    os.utime(store.path(old), (time.time() - FORGOTTEN_S - 1,) * 2)
    store.path(new)
    assert copies(tmp_path) == [name_of(new)]


def test_what_is_held_stays_when_its_copy_goes(s3_url, tmp_path):
    store = open_objects(s3_url, tmp_path)
    ref = store.put("a", b"x")
    held = store.path(ref, tmp_path / "run" / "objects")
    assert held.parent == tmp_path / "run" / "objects"
    store.path(ref).unlink()
    store.delete("a")
    assert held.read_bytes() == b"x"
    assert store.path(ref, tmp_path / "run" / "objects") == held


def test_processes_and_threads_share_a_folder(s3_url, tmp_path):
    store = open_objects(s3_url, tmp_path)
    ref = store.put("a", bytes(300_000))
    arguments = [sys.executable, "-c", READER, s3_url, str(tmp_path), ref.digest]
    readers = [subprocess.Popen(arguments) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        assert all(path.read_bytes() == bytes(300_000) for path in pool.map(lambda _: store.path(ref), range(40)))
    assert [reader.wait() for reader in readers] == [0, 0]
    assert copies(tmp_path) == [name_of(ref)]


def test_an_address_for_the_browser_reads_this_object_only_and_not_for_ever(s3_url):
    store = open_objects(s3_url)
    ref = store.put("a", b"x")
    other = store.put("b", b"y")
    answer = object_response(store, ref, "text/plain", presigned=True)
    url = answer.headers["location"]
    assert answer.status_code == 307 and answer.headers["repr-digest"].startswith("sha-256=:")
    assert httpx.get(url).content == b"x"
    assert httpx.get(url.replace("/a?", "/b?")).status_code == 403
    assert httpx.put(url, content=b"z").status_code == 403
    assert httpx.get(store.presigned_url(other, 300)).content == b"y"
    past = url.replace("X-Amz-Expires=300", "X-Amz-Expires=1")
    assert past != url and httpx.get(past).status_code == 403
    assert object_response(store, ref, "text/plain", presigned=False).body == b"x"


def test_files_have_no_address_and_answer_themselves(tmp_path):
    store = open_objects(f"file://{tmp_path}")
    answer = object_response(store, store.put("a", b"x"), "text/plain", presigned=True)
    assert (answer.status_code, answer.body) == (200, b"x")
    with pytest.raises(Conflict):
        store.put("a", b"y")
