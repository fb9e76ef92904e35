"""MONAI Bundles that say canaries: in their metadata, and in what they print, warn of, log and raise."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from bundle_runner.sample import write_sample_bundle
from tests.privacy.canaries import Canaries

_SAYS = """
import logging, sys, warnings
def says(text):
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)
    warnings.warn(text)
    logging.getLogger("bundle").error(text)
def loaded(text):
    says(text)
    return lambda x: x
def raises_when_loaded(text):
    says(text)
    raise ValueError(text)
def raises_on(text, edge):
    # The service tries a model on an image of this edge first; what it raises on is a case.
    def transform(x):
        says(text)
        if x.shape[-1] != edge:
            raise ValueError(text)
        return x
    return transform
"""

TRIAL_EDGE = 24


def talkative(path: Path, canaries: Canaries) -> bytes:
    """Return a bundle that works, and talks while it is loaded."""
    return _bundle(path, canaries, "bundle that works", "loaded")


def raising_when_loaded(path: Path, canaries: Canaries) -> bytes:
    """Return a bundle that cannot be opened."""
    return _bundle(path, canaries, "bundle that raises when it is loaded", "raises_when_loaded")


def raising_on_a_case(path: Path, canaries: Canaries) -> bytes:
    """Return a bundle that passes the trial and raises on every case."""
    return _bundle(path, canaries, "bundle that raises on a case", "raises_on", edge=TRIAL_EDGE)


def wrong_weights(path: Path, canaries: Canaries) -> bytes:
    """Return a bundle whose weights are a pickle that names a class."""
    text = canaries.text("weights that are none")
    return _changed(talkative(path, canaries), {"models/model.pt": f"c{text}\n{text}\n.".encode()})


def not_bundles(path: Path, canaries: Canaries) -> list[bytes]:
    """Return what is refused before it is stored."""
    text = canaries.text("bundle that is refused")
    whole = talkative(path, canaries)
    return [
        text.encode() * 30,
        _changed(whole, {"configs/metadata.json": f"[{text}".encode()}),
        _changed(whole, {f"../{text}": b"out of the bundle"}),
        _changed(whole, {"configs/inference.json": None, f"configs/{text}.json": b"{}"}),
        whole[: len(whole) // 2] + text.encode() + whole[len(whole) // 2 :],
    ]


def _bundle(path: Path, canaries: Canaries, name: str, function: str, **arguments: Any) -> bytes:
    text = canaries.text(name)
    call = {"_target_": f"scripts.{text.lower()}.{function}", "text": text, **arguments}
    write_sample_bundle(path, transforms=({"_target_": "Lambdad", "keys": "image", "func": call},))
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("configs/metadata.json"))
    for field in ("name", "description", "authors", "copyright", "task", "intended_use", "version", "changelog"):
        metadata[field] = canaries.text(f"{name}, metadata {field}")
    metadata[canaries.text(f"{name}, a field of the metadata")] = [canaries.text(f"{name}, in that field")]
    inputs = metadata["network_data_format"]["inputs"]["image"]
    inputs["channel_def"] = {"0": canaries.text(f"{name}, channel name")}
    return _changed(
        path.read_bytes(),
        {
            "configs/metadata.json": json.dumps(metadata).encode(),
            f"scripts/{text.lower()}.py": _SAYS.encode(),
            "scripts/__init__.py": b"",
            "docs/README.md": canaries.text(f"{name}, read me").encode(),
            f"{canaries.text(f'{name}, file in it')}.txt": b"",
        },
    )


def _changed(bundle: bytes, files: dict[str, bytes | None]) -> bytes:
    """Return a bundle with files replaced or added; None takes one away."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            if name not in files:
                new.writestr(name, old.read(name))
        for name, content in files.items():
            if content is not None:
                new.writestr(name, content)
    return buffer.getvalue()
