"""What a brought bundle must hold, and what stays loaded."""

import io
import json
import stat
import zipfile

import numpy as np
import pytest

from inference.domain.bundle import check_bundle
from inference.domain.measures import segment_volumes
from inference.domain.model import Model, ModelState, Traffic, triton_name
from inference.domain.promotion import digests_to_keep, names_to_unload
from radloop.errors import Invalid
from radloop.imaging import SEGMENT_BITS, bits_of
from radloop.references import ObjectRef, Score

METADATA = json.dumps({"version": "1.2", "network_data_format": {"inputs": {"image": {"num_channels": 2}}}})
SOUND = {"configs/metadata.json": METADATA, "configs/inference.json": "{}", "models/model.pt": "weights"}


def archive(files, links=()):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        for name, text in files.items():
            bundle.writestr(name, text)
        for name in links:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            bundle.writestr(entry, "/etc/passwd")
    return content.getvalue()


def without(name):
    return {key: text for key, text in SOUND.items() if key != name}


def test_a_sound_bundle_says_its_version_and_channels():
    for files in (
        SOUND,
        {f"my_bundle/{name}": text for name, text in SOUND.items()},
        without("configs/inference.json") | {"configs/inference.yaml": "{}"},
        without("configs/inference.json") | {"configs/train.json": "{}"},
    ):
        facts = check_bundle(archive(files))
        assert (facts.version, facts.channels) == ("1.2", 2)
    assert check_bundle(archive(SOUND | {"configs/metadata.json": "{}"})).channels is None


@pytest.mark.parametrize("missing", SOUND)
def test_the_missing_file_is_named(missing):
    with pytest.raises(Invalid, match=f"bundle-incomplete: expected the file {missing}"):
        check_bundle(archive(without(missing)))


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_paths_that_escape_are_refused(name):
    with pytest.raises(Invalid, match="bundle-path-escapes"):
        check_bundle(archive(SOUND | {name: "x"}))


def test_links_are_refused():
    with pytest.raises(Invalid, match="bundle-path-escapes"):
        check_bundle(archive(SOUND, links=["models/link"]))


def test_a_bundle_that_unpacks_to_far_more_than_itself_is_refused():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in SOUND.items():
            bundle.writestr(name, text)
        bundle.writestr("zeros", bytes(5_000_000))
    with pytest.raises(Invalid, match="bundle-too-large"):
        check_bundle(content.getvalue())


@pytest.mark.parametrize("data", [b"", b"not a zip", archive(SOUND)[:-30]])
def test_what_is_no_zip_is_said(data):
    with pytest.raises(Invalid, match="bundle-not-zip"):
        check_bundle(data)


def test_damaged_bytes_are_found():
    data = bytearray(archive(SOUND))
    data[data.find(b"weights") + 2] ^= 255
    with pytest.raises(Invalid, match="bundle-not-zip"):
        check_bundle(bytes(data))


@pytest.mark.parametrize("text", ["{", "[]", '{"network_data_format": 3}'])
def test_metadata_must_be_an_object(text):
    with pytest.raises(Invalid, match="bundle-metadata-invalid"):
        check_bundle(archive(SOUND | {"configs/metadata.json": text}))


def test_volumes_by_hand():
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[:2, 0, 0], mask[0, 1, :3] = 1, 3
    affine = np.diag([2.0, -0.5, 4.0, 1.0])  # a voxel is 4 mm^3 = 0.004 mL
    assert segment_volumes(mask, affine, (1, 2, 3)) == (
        Score("segment-1-ml", 0.008),
        Score("segment-2-ml", 0.0),
        Score("segment-3-ml", 0.012),
    )
    assert segment_volumes(bits_of(mask), affine, (1, 2, 3)) == segment_volumes(mask, affine, (1, 2, 3))


def test_volumes_of_segments_that_overlap_count_a_voxel_for_each():
    mask = np.array([1, 3, 3, 2**31], SEGMENT_BITS).reshape(4, 1, 1)
    volumes = {score.name: score.value for score in segment_volumes(mask, np.eye(4), (1, 2, 32))}
    assert volumes == {"segment-1-ml": 0.003, "segment-2-ml": 0.002, "segment-32-ml": 0.001}


def test_names_in_triton():
    digest = "sha256:" + "0123456789abcdef" * 4
    assert triton_name("hippocampus", digest) == "hippocampus-0123456789ab"
    assert triton_name("My Model_2", digest) == "my-model-2-0123456789ab"


def model(name):
    digest = f"sha256:{name:0<64}"
    return Model("p", digest, "m", ObjectRef("k", digest, 1), ModelState.KEPT)


def test_only_what_serves_was_just_replaced_or_is_asked_for_stays():
    a, b, c, d = (model(name) for name in "abcd")
    traffic = [Traffic("p", a.model_digest, b.model_digest), Traffic("empty")]
    keep = digests_to_keep(traffic, {("p", c.model_digest)})
    loaded = {a.triton_name, b.triton_name, c.triton_name, d.triton_name, "somebody-elses"}
    assert names_to_unload([a, b, c, d], keep, loaded) == {d.triton_name}
    assert names_to_unload([a, b, c, d], digests_to_keep(traffic, set()), {"somebody-elses"}) == set()
