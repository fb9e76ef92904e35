"""Whether ids of two sites, or of two times at one site, match: as the policy of the site's key says (docs/operate/keys.md)."""

import secrets
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from ingest import app
from ingest.adapters.cleaning import load_profile
from ingest.adapters.reception import Fate, Receiver
from ingest.adapters.site_key import SiteKeyFile
from ingest.adapters.vault import Vault
from ingest.domain.messages import AdoptSiteKeys
from radloop.dispatch import Dispatcher
from radloop.testing import FakeObjects
from tests.unit.ingest.conftest import FakeClock, FakeIngestUnitOfWork

NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "PatientID", "StudyDate")


class Site:
    """A site with an index of its own, and a key in a file."""

    def __init__(self, name: str, file: Path, uow: FakeIngestUnitOfWork | None = None) -> None:
        self.uow, self.objects, self.key = uow or FakeIngestUnitOfWork(), FakeObjects(), SiteKeyFile(file)
        self._dispatch = Dispatcher(app.bind(name, lambda: self.key.ring, FakeClock()), lambda: self.uow).dispatch
        self.adopt()

    def adopt(self) -> None:
        self._dispatch(AdoptSiteKeys(tuple(self.key.ring.fingerprints.items())))

    def take(self, *files: bytes) -> tuple[list[Fate], list[tuple[str, ...]]]:
        """Receive files; return what became of each, and every name in what is stored."""
        receiver = Receiver(
            self._dispatch,
            lambda: self.uow,
            self.objects,
            lambda: self.key.ring,
            load_profile(),
            Vault(self.key.vault_keys),
        )
        with receiver.open("RADLOOP") as reception:
            fates = [reception.receive(file).fate for file in files]
        stored = [pydicom.dcmread(BytesIO(data)) for _, data in sorted(self.objects.stored.items())]
        return fates, sorted(tuple(str(ds[name].value) for name in NAMES) for ds in stored)


@pytest.fixture
def key_file(tmp_path):
    def write(name: str, key: bytes | None = None) -> Path:
        file = tmp_path / name
        file.touch(mode=0o600)
        file.write_text((key or secrets.token_bytes(32)).hex())
        return file

    return write


@pytest.fixture
def study(phantoms):
    return phantoms.series(3, FrameOfReferenceUID="1.2.3.4.77")


def test_two_sites_with_keys_of_their_own_have_no_name_in_common(key_file, study):
    (_, here), (_, there) = Site("a", key_file("a")).take(*study), Site("b", key_file("b")).take(*study)
    for mine, theirs in zip(here, there, strict=True):
        assert not set(mine[:5]) & set(theirs[:5])  # days may be the same by chance


def test_two_sites_that_share_a_key_have_every_name_in_common(key_file, study):
    shared = secrets.token_bytes(32)
    assert Site("a", key_file("a", shared)).take(*study)[1] == Site("b", key_file("b", shared)).take(*study)[1]


def test_the_same_study_twice_through_one_site_is_one_study(key_file, study):
    file = key_file("a")
    site = Site("a", file)
    (fates, first), (again, second) = site.take(*study), site.take(*study)
    assert (set(fates), set(again)) == ({Fate.STORED}, {Fate.DUPLICATE}) and first == second
    # A site whose disk was lost and whose key was kept gives the same names.
    assert Site("a", file).take(*study)[1] == first


def test_after_a_rotation_who_is_known_keeps_every_name_and_who_is_new_gets_others(key_file, study, phantoms):
    file = key_file("a")
    site, before = Site("a", file), Site("never-rotated", key_file("same", read(file)))
    _, known = site.take(*study)
    site.key.add()
    site.adopt()
    frame = {"FrameOfReferenceUID": "1.2.3.4.78"}
    later = phantoms.series(2, number=2, study="1.2.3.5", StudyDate="20200210", **frame)
    new = phantoms.series(2, number=3, study="1.2.3.6", PatientID="PAT-2", **frame)
    assert set(site.take(*study)[0]) == {Fate.DUPLICATE}
    _, all_names = site.take(*later, *new)
    _, of_first_key = before.take(*study, *later, *new)
    assert set(known) < set(all_names)
    mine = set(all_names) & set(of_first_key)
    assert len(mine) == 5  # three and two of the patient who was known: the same as without a rotation
    patients = {names[4] for names in all_names}
    assert len(patients) == 2 and len(patients & {names[4] for names in of_first_key}) == 1


def read(file: Path) -> bytes:
    """Return the key in a file of one version."""
    return bytes.fromhex(file.read_text().split()[-1])
