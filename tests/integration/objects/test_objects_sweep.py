"""The sweep: what goes, what stays, and that it loses nothing beside writers who put again what is old."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from radloop.errors import Busy, TemporaryError
from radloop.objects import s3
from radloop.objects.sweep import Retention, Sweeper
from radloop.testing import FakeUnitOfWork

pytestmark = pytest.mark.integration

ROUNDS, KEYS = 6, 12


class Tables:
    """Stands for a service's tables: what it needs, and its audit trail."""

    def __init__(self, *needed):
        self.needed, self.audited, self.given_up = set(needed), [], set()

    def unit_of_work(self, read_only=False):
        uow = FakeUnitOfWork()
        if not read_only:
            uow.audit_entries = self.audited
        return uow

    def sweeper(self, objects, **more):
        return Sweeper("a", objects, self.unit_of_work, lambda _uow, keys: self.needed & set(keys), **more)


def aged(objects, *keys):
    """Wait until the store says of objects that they were stored before now; return that now."""
    deadline, pause = time.monotonic() + 10, threading.Event()
    while True:
        now = datetime.now(UTC)
        times = {each.key: each.stored_at for each in objects.listing("")}
        if all(times[key] < now - timedelta(seconds=1.1) for key in keys):
            return now - timedelta(seconds=1.1)
        assert time.monotonic() < deadline
        pause.wait(0.05)


def test_what_nothing_needs_goes(objects):
    refs = {key: objects.put(key, key.encode()) for key in ("a/1/x", "a/1/y", "a/2/z", "b/1/x")}
    aged(objects, *refs)
    tables = Tables("a/1/x")
    sweeper = tables.sweeper(objects)
    would = sweeper.sweep("anna", timedelta(0), dry_run=True)
    assert (would.kept, would.removed, would.removed_bytes) == (1, 2, 10)
    assert objects.keys("") == sorted(refs) and tables.audited == []
    swept = sweeper.sweep("anna", timedelta(0))
    assert (swept.kept, swept.kept_bytes, swept.removed, swept.removed_bytes) == (1, 5, 2, 10)
    assert objects.keys("") == ["a/1/x", "b/1/x"]
    assert sorted(tables.audited) == [("anna", "object-swept", "a/1/y"), ("anna", "object-swept", "a/2/z")]


def test_what_is_young_stays(objects):
    objects.put("a/1/x", b"x")
    assert Tables().sweeper(objects).sweep("anna", timedelta(hours=1)).kept == 1
    assert objects.keys("") == ["a/1/x"]


def test_what_is_put_while_it_looks_stays(objects, monkeypatch):
    """The row comes after the sweep has asked the tables, as it does when an old object is put again for a retry."""
    monkeypatch.setattr(s3, "REFRESH_AFTER", timedelta(0))
    ref = objects.put("a/1/x", b"x")
    aged(objects, "a/1/x")
    tables = Tables()

    def needed(_uow, keys):
        objects.put("a/1/x", b"x")
        return set()

    sweeper = Sweeper("a", objects, tables.unit_of_work, needed)
    assert sweeper.sweep("anna", timedelta(seconds=1)).removed == 0
    assert objects.get(ref) == b"x"


def test_retention_goes_by_age_and_tells_the_tables(objects):
    for key in ("a/1/map", "a/1/mask"):
        objects.put(key, b"x")
    aged(objects, "a/1/map", "a/1/mask")
    tables = Tables("a/1/map", "a/1/mask")
    by_age = Retention(
        lambda found, now: {each.key for each in found if each.key.endswith("map") and each.stored_at < now},
        lambda _uow, keys: tables.given_up.update(keys),
    )
    sweeper = tables.sweeper(objects, retention=by_age)
    assert sweeper.sweep("anna", timedelta(0), dry_run=True).removed == 1 and not tables.given_up
    assert sweeper.sweep("anna", timedelta(0)).removed == 1
    assert objects.keys("") == ["a/1/mask"] and tables.given_up == {"a/1/map"}


def test_one_sweep_at_a_time(objects):
    objects.put("a/1/x", b"x")
    aged(objects, "a/1/x")
    second = []

    def needed(_uow, keys):
        with pytest.raises(Busy, match="sweep-runs"):
            sweeper.sweep("bert", timedelta(0))
        second.append(True)
        return set(keys)

    sweeper = Sweeper("a", objects, Tables().unit_of_work, needed)
    assert sweeper.sweep("anna", timedelta(0)).kept == 1 and second
    assert sweeper.sweep("anna", timedelta(0), dry_run=True).kept == 1


def test_discarding_beside_writers_who_put_again_loses_nothing(objects, monkeypatch):
    """Each key is old when the race begins; a writer who has put it again, and was told so, must find it for ever."""
    monkeypatch.setattr(s3, "REFRESH_AFTER", timedelta(0))
    keys = [f"a/1/{number}" for number in range(KEYS)]
    discarded, draw = 0, random.Random(1)
    for _ in range(ROUNDS):
        refs = [objects.put(key, key.encode()) for key in keys]
        before = aged(objects, *keys)
        # Neighbours are about the same key and start together; which of them is first is drawn.
        both = (_put_until_told, _discard, _discard)
        work = [(key, before, chosen) for key in keys for chosen in draw.sample(both, 3)]
        with ThreadPoolExecutor(6) as pool:
            discarded += sum(pool.map(lambda item: item[2](objects, item[0], item[1]), work))
        assert [objects.get(ref) for ref in refs] == [key.encode() for key in keys]
    assert 0 < discarded < ROUNDS * KEYS * 2, "the race was none: one side always came first"


def _discard(objects, key, before):
    return objects.discard(key, before)


def _put_until_told(objects, key, _before):
    deadline, pause = time.monotonic() + 20, threading.Event()
    while True:
        try:
            objects.put(key, key.encode())
            return False
        except TemporaryError:  # it is being discarded at this moment
            assert time.monotonic() < deadline
            pause.wait(0.01)


def test_what_writers_left_half_written_goes(tmp_path):
    from radloop.objects import open_objects

    store = open_objects(f"file://{tmp_path}")
    left = tmp_path / ".unfinished" / "left"
    left.write_bytes(b"half")
    os.utime(left, (time.time() - 7200,) * 2)
    assert Tables().sweeper(store).sweep("anna", timedelta(hours=1)).uploads_aborted == 1
    assert not left.exists()
