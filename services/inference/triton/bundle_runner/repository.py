"""Laying a bundle out as a Triton model: ``<repository>/<name>-<digest12>/{config.pbtxt,1/model.py,1/bundle.zip}``.

Standard library only. The inference service needs no shared folder, it sends the same three files to Triton when it loads
a model; this is for a server that is started by hand, for tests and for benchmarks.
"""

import hashlib
import re
from importlib import resources
from pathlib import Path

CONFIG = 'backend: "python"\n'
"""The tensors are declared by the program (`triton_model.TritonPythonModel.auto_complete_config`)."""


def triton_name(model_name: str, digest: str) -> str:
    """Return the name under which Triton knows a bundle, ``<name>-<digest12>``.

    Parameters
    ----------
    model_name : str
        Anything but lower-case letters, digits and "-" becomes "-".
    digest : str
        ``sha256:<64 hex digits>`` of the bundle.
    """
    return f"{re.sub(r'[^a-z0-9-]+', '-', model_name.lower())}-{digest.removeprefix('sha256:')[:12]}"


def write_model_repository(bundle_zip: Path, repository_dir: Path, model_name: str) -> Path:
    """Lay a bundle out as a model of its own, version 1.

    Parameters
    ----------
    bundle_zip : pathlib.Path
        The bundle as a zip archive.
    repository_dir : pathlib.Path
        Triton's model repository; made if missing.
    model_name : str
        Name of the model, without the digest.

    Returns
    -------
    pathlib.Path
        The model's folder; its name is the name to load. Written again, it is the same bytes.
    """
    content = bundle_zip.read_bytes()
    folder = repository_dir / triton_name(model_name, f"sha256:{hashlib.sha256(content).hexdigest()}")
    version = folder / "1"
    version.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (version / "model.py").write_bytes(resources.files("bundle_runner").joinpath("model.py").read_bytes())
    (version / "bundle.zip").write_bytes(content)
    return folder
