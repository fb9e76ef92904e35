"""Files that change, on a store whose objects do not."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from radloop.errors import PermanentError, Unavailable
from radloop.objects import Objects, open_objects
from radloop.objects.shelf import Shelf
from radloop.testing import FakeObjects


@pytest.fixture(params=["memory", "folder"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FakeObjects() if request.param == "memory" else open_objects(f"file://{tmp_path / 'objects'}")


@pytest.fixture
def shelf(objects: Objects) -> Shelf:
    return Shelf(objects, "trainer/p/runs/r")


def test_a_name_means_its_newest_version(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.get("progress.json") is None and shelf.names() == []
    for data in (b"1", b"22", b"1", b""):
        shelf.put("progress.json", data)
        assert shelf.get("progress.json") == data
    (tmp_path / "file").write_bytes(b"of a file")
    shelf.put_file("progress.json", tmp_path / "file")
    assert shelf.get("progress.json") == b"of a file"


def test_older_versions_go_and_equal_ones_are_none(shelf: Shelf, objects: Objects) -> None:
    for data in (b"1", b"2", b"3", b"3"):
        shelf.put("a", data)
    assert [key[:28] for key in objects.keys("trainer/p/runs/r/")] == [  # the one before is there for late readers
        "trainer/p/runs/r/a/00000002-",
        "trainer/p/runs/r/a/00000003-",
    ]


def test_names_may_have_parts_and_begin_alike(shelf: Shelf) -> None:
    for name in ("log/attempt-1.txt", "log/attempt-10.txt", "log", "result.json"):
        shelf.put(name, name.encode())
    assert shelf.names() == ["log", "log/attempt-1.txt", "log/attempt-10.txt", "result.json"]
    assert shelf.names("log/") == ["log/attempt-1.txt", "log/attempt-10.txt"]
    assert [shelf.get(name) for name in shelf.names()] == [name.encode() for name in shelf.names()]
    shelf.remove("log")
    shelf.remove("never")
    assert shelf.get("log") is None and shelf.get("log/attempt-1.txt") == b"log/attempt-1.txt"
    shelf.clear(keep=("log/",))
    assert shelf.names() == ["log/attempt-1.txt", "log/attempt-10.txt"]
    shelf.clear()
    assert shelf.names() == []


def test_another_shelf_is_another(shelf: Shelf, objects: Objects) -> None:
    shelf.put("a", b"1")
    assert Shelf(objects, "trainer/p/runs/r2").get("a") is None
    assert Shelf(objects, "trainer/p/runs").get("a") is None


def test_a_writer_that_died_before_it_tidied_does_no_harm(shelf: Shelf, objects: Objects) -> None:
    shelf.put("a", b"old")
    (old,) = objects.keys("trainer/p/")
    shelf.put("a", b"new")
    objects.put(old, b"old")
    assert shelf.get("a") == b"new"
    shelf.put("a", b"newer")
    assert len(objects.keys("trainer/p/")) == 2


def test_a_reader_beside_a_writer_sees_whole_versions(tmp_path: Path) -> None:
    shelf = Shelf(open_objects(f"file://{tmp_path}"), "trainer/p/runs/r")
    shelf.put("a", b"0" * 1000)
    end, seen = threading.Event(), set[bytes]()

    def write() -> None:
        number = 0
        while not end.is_set():
            number += 1
            shelf.put("a", str(number % 10).encode() * 1000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        deadline = time.monotonic() + 20
        while len(seen) < 5:
            assert time.monotonic() < deadline
            try:
                data = shelf.get("a")
            except Unavailable:  # a writer in great haste
                continue
            assert data is not None and len(data) == 1000 and len(set(data)) == 1
            seen.add(data)
    finally:
        end.set()
        writer.join()


def test_damage_is_told(shelf: Shelf) -> None:
    objects = FakeObjects()
    damaged = Shelf(objects, "s")
    damaged.put("a", b"1")
    objects.stored = dict.fromkeys(objects.stored, b"2")
    with pytest.raises(PermanentError):
        damaged.get("a")
