"""The contract suite of the object store, run against every engine."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from radloop.errors import Conflict, Invalid, NotFound, PermanentError
from radloop.objects import Objects
from radloop.references import ObjectRef, digest_of

LARGE_BYTES = 33 * 2**20 + 7
"""More than S3 takes in one piece, and no whole number of parts."""


class ObjectsContract:
    """What any object store must do. Needs the fixture ``objects``."""

    def test_gives_back_what_was_put(self, objects: Objects) -> None:
        ref = objects.put("a/b/c.bin", b"pixels")
        assert objects.get(ref) == b"pixels"
        assert ref.size_bytes == 6 and ref.digest.startswith("sha256:")

    def test_same_bytes_again_change_nothing(self, objects: Objects) -> None:
        assert objects.put("a/b", b"x") == objects.put("a/b", b"x")

    def test_never_overwrites(self, objects: Objects) -> None:
        ref = objects.put("a/b", b"x")
        with pytest.raises(Conflict):
            objects.put("a/b", b"y")
        assert objects.get(ref) == b"x"

    def test_one_winner_of_a_race(self, objects: Objects) -> None:
        outcomes: list[str] = []

        def put(data: bytes) -> None:
            try:
                objects.put("race", data)
                outcomes.append("won")
            except Conflict:
                outcomes.append("lost")

        threads = [threading.Thread(target=put, args=(bytes([n]),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count("won") == 1

    def test_missing_object(self, objects: Objects) -> None:
        with pytest.raises(NotFound):
            objects.get(ObjectRef("no/such", "sha256:0", 0))

    def test_other_digest_is_damage(self, objects: Objects) -> None:
        ref = objects.put("a", b"x")
        with pytest.raises(PermanentError):
            objects.get(ObjectRef(ref.key, "sha256:" + "0" * 64, 1))

    def test_keys_by_prefix_and_delete(self, objects: Objects) -> None:
        for key in ("s/1/a", "s/1/b", "s/10/a", "t/1"):
            objects.put(key, key.encode())
        assert objects.keys("s/1/") == ["s/1/a", "s/1/b"]
        objects.delete("s/1/a")
        objects.delete("s/1/a")
        assert objects.keys("s/1/") == ["s/1/b"]

    @pytest.mark.parametrize("key", ["../a", "/a", "a//b", "", ".hidden", "a/../b", "a b"])
    def test_refuses_keys_that_are_paths(self, objects: Objects, key: str) -> None:
        with pytest.raises(Invalid):
            objects.put(key, b"x")

    @pytest.mark.parametrize("key", ["a", "A-z_0.9:x/b..c/-d/_e/1", "x" * 200, "/".join("p" * 9)])
    def test_takes_every_key_it_allows(self, objects: Objects, key: str) -> None:
        ref = objects.put(key, key.encode())
        assert objects.get(ref) == key.encode()
        assert objects.keys("") == objects.keys(key) == [key]

    def test_nothing_is_bytes_too(self, objects: Objects) -> None:
        assert objects.get(objects.put("empty", b"")) == b""

    def test_lists_more_than_a_page(self, objects: Objects) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: objects.put(f"many/{n:04d}", b"x"), range(1003)))
        assert objects.keys("many/") == [f"many/{n:04d}" for n in range(1003)]
        assert sum(each.size_bytes for each in objects.listing("many/1")) == 3

    def test_a_large_object(self, objects: Objects, tmp_path_factory: pytest.TempPathFactory) -> None:
        data = random.Random(1).randbytes(LARGE_BYTES)
        ref = objects.put("large/a", data)
        assert objects.get(ref) == data
        assert objects.put("large/a", data) == ref
        with pytest.raises(Conflict):
            objects.put("large/a", data[:-1] + b"!")
        file = tmp_path_factory.mktemp("large") / "file"
        file.write_bytes(data)
        assert objects.put_file("large/b", file) == replace(ref, key="large/b")
        assert objects.get(replace(ref, key="large/b")) == data

    def test_one_winner_of_a_large_race(self, objects: Objects) -> None:
        datas = [bytes([n]) * LARGE_BYTES for n in range(3)]
        with ThreadPoolExecutor(3) as pool:
            outcomes = list(pool.map(lambda data: _outcome(objects, "race/large", data), datas))
        assert outcomes.count("lost") == 2
        assert objects.get(ObjectRef("race/large", digest_of(datas[outcomes.index("won")]), LARGE_BYTES))

    def test_discards_only_what_is_old(self, objects: Objects) -> None:
        objects.put("old", b"x")
        (listed,) = objects.listing("old")
        assert not objects.discard("old", listed.stored_at)
        assert objects.keys("old") == ["old"]
        assert objects.discard("old", datetime.now(UTC) + timedelta(seconds=5))
        assert objects.discard("old", datetime.now(UTC))
        assert objects.keys("") == []

    def test_the_same_race_among_equals_has_no_loser(self, objects: Objects) -> None:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: _outcome(objects, "equal", b"same"), range(16))) == {"won"}

    def test_answers(self, objects: Objects) -> None:
        objects.check()


def _outcome(objects: Objects, key: str, data: bytes) -> str:
    try:
        objects.put(key, data)
    except Conflict:
        return "lost"
    return "won"
