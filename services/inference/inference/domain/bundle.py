"""What must be true of a brought bundle before it is stored: a sound archive with the files a MONAI Bundle needs.

Nothing of it is carried out here; that happens in Triton alone. Names follow the MONAI Bundle specification
(https://docs.monai.io/en/stable/mb_specification.html).
"""

import io
import json
import stat
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

from radloop.errors import Invalid

METADATA = "configs/metadata.json"
WEIGHTS = "models/model.pt"
CONFIGS = tuple(f"configs/{stem}.{suffix}" for stem in ("inference", "train") for suffix in ("json", "yaml", "yml"))

MAX_EXPANSION = 20
"""Largest ratio of unpacked to packed size; weights hardly compress, so more than this is an attack or a mistake."""
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What the archive says about itself."""

    version: str
    channels: int | None
    """Number of image channels it wants; None where it does not say."""


def check_bundle(archive: bytes) -> BundleFacts:
    """Check an archive and return what it says about itself.

    Parameters
    ----------
    archive : bytes
        A zip of the bundle's folder, with or without that folder around it.

    Raises
    ------
    Invalid
        ``bundle-not-zip``, ``bundle-path-escapes``, ``bundle-too-large``, ``bundle-incomplete`` (names the missing file)
        or ``bundle-metadata-invalid``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
            _check_entries(bundle.infolist(), len(archive))
            files = {entry.filename for entry in bundle.infolist() if not entry.is_dir()}
            root = _root(files)
            _require(files, root)
            damaged = bundle.testzip()
            if damaged is not None:
                raise Invalid("bundle-not-zip", expected="entries with the right checksum", got=f"a damaged {damaged}")
            return _facts(bundle.read(root + METADATA))
    except zipfile.BadZipFile as error:
        raise Invalid(
            "bundle-not-zip",
            expected="a zip archive of a MONAI Bundle",
            got=f"{len(archive)} other bytes",
            do="zip the bundle's folder",
        ) from error


def _check_entries(entries: list[zipfile.ZipInfo], size_bytes: int) -> None:
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in entry.filename or is_link:
            raise Invalid(
                "bundle-path-escapes",
                expected="files inside the bundle, no links",
                got="an entry that leads out of it",
                do="zip the bundle's folder itself",
            )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_EXPANSION * size_bytes + 1_000_000 or len(entries) > MAX_ENTRIES:
        raise Invalid(
            "bundle-too-large",
            expected=f"at most {MAX_EXPANSION} times its packed size and {MAX_ENTRIES} files",
            got=f"{unpacked} bytes in {len(entries)} files",
        )


def _root(files: set[str]) -> str:
    """Return what stands before ``configs/metadata.json``: nothing, or one folder and "/"."""
    places = [name.removesuffix(METADATA) for name in files if name == METADATA or name.endswith(f"/{METADATA}")]
    shallow = sorted(place for place in places if place.count("/") <= 1)
    if not shallow:
        raise _incomplete(METADATA)
    return shallow[0]


def _require(files: set[str], root: str) -> None:
    if not any(root + name in files for name in CONFIGS):
        raise _incomplete("configs/inference.json")
    if root + WEIGHTS not in files:
        raise _incomplete(WEIGHTS)


def _incomplete(missing: str) -> Invalid:
    return Invalid(
        "bundle-incomplete",
        expected=f"the file {missing}",
        got="an archive without it",
        do="add it as the MONAI Bundle specification says",
    )


def _facts(text: bytes) -> BundleFacts:
    try:
        metadata = json.loads(text)
        image = metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})
        channels = image.get("num_channels")
        return BundleFacts(str(metadata.get("version", "")), channels if isinstance(channels, int) else None)
    except (ValueError, AttributeError) as error:
        raise Invalid(
            "bundle-metadata-invalid", expected=f"a JSON object in {METADATA}", got="something else"
        ) from error
