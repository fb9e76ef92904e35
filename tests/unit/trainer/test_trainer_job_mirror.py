"""What a pod of a run leaves to its successor, and in which order."""

from pathlib import Path

import pytest

from radloop.objects.shelf import Shelf
from radloop.testing import FakeObjects
from training_job.mirror import Mirror


@pytest.fixture
def objects() -> FakeObjects:
    return FakeObjects()


@pytest.fixture
def shelf(objects: FakeObjects) -> Shelf:
    return Shelf(objects, "trainer/p/runs/r")


def checkpoints(folder: Path, *names: str) -> None:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for file in (folder / "checkpoints").iterdir():
        file.unlink()
    for name in names:
        (folder / "checkpoints" / name).write_bytes(name.encode())


def test_a_successor_has_what_the_pod_before_it_took_to_the_store(tmp_path: Path, shelf: Shelf) -> None:
    shelf.put("task.json", b"{}")
    first = Mirror(tmp_path / "first", shelf)
    first.fetch()
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["shelved-task.json"]
    checkpoints(tmp_path / "first", "one.pt", "two.pt")
    (tmp_path / "first" / "progress.json").write_bytes(b'{"step": 1}')
    first.push()
    checkpoints(tmp_path / "first", "two.pt", "three.pt", "four.pt.new")
    first.push()

    second = Mirror(tmp_path / "second", shelf)
    second.fetch()
    assert sorted(path.name for path in (tmp_path / "second" / "checkpoints").iterdir()) == ["three.pt", "two.pt"]
    assert (tmp_path / "second" / "progress.json").read_bytes() == b'{"step": 1}'
    checkpoints(tmp_path / "second", "three.pt", "four.pt")
    second.push()
    assert shelf.names("checkpoints/") == ["checkpoints/four.pt", "checkpoints/three.pt"]


def test_a_checkpoint_goes_when_its_follower_is_there(tmp_path: Path, objects: FakeObjects, shelf: Shelf) -> None:
    mirror = Mirror(tmp_path, shelf)
    checkpoints(tmp_path, "one.pt")
    mirror.push()
    checkpoints(tmp_path, "two.pt")
    seen: list[list[str]] = []
    delete = objects.delete
    objects.delete = lambda key: (seen.append(shelf.names()), delete(key))[1]  # type: ignore[method-assign]
    mirror.push()
    assert seen == [["checkpoints/one.pt", "checkpoints/two.pt"]]


def test_the_result_comes_last_and_only_at_the_end(tmp_path: Path, objects: FakeObjects, shelf: Shelf) -> None:
    mirror = Mirror(tmp_path, shelf)
    for name in ("result.json", "bundle.zip", "serving.zip", "progress.json"):
        (tmp_path / name).write_bytes(name.encode())
    mirror.push()
    assert shelf.names() == ["progress.json"]
    mirror.push_all()
    assert [key.split("/")[4] for key in objects.stored] == ["progress.json", "bundle.zip", "result.json"]


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, objects: FakeObjects, shelf: Shelf) -> None:
    shelf.put("checkpoints/one.pt", b"1")
    shelf.put("checkpoints/two.pt", b"2")
    (two,) = objects.keys("trainer/p/runs/r/checkpoints/two.pt/")
    objects.stored[two] = b"cut"
    Mirror(tmp_path, shelf).fetch()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["one.pt"]
