"""Opening a MONAI Bundle: files to transforms, inferer and networks with their weights.

The layout is that of the MONAI Bundle specification (https://docs.monai.io/en/stable/mb_specification.html). A bundle is
code (``_target_`` and ``$`` expressions are carried out), so this runs inside Triton or a training job and nowhere else.
Weights are read with ``weights_only=True``: a pickle that wants to run code is refused.
"""

import copy
import re
import sys
import tempfile
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.inferers import Inferer, SlidingWindowInferer
from monai.transforms import Compose

from bundle_runner.errors import BundleError
from bundle_runner.features import find_feature_layer

METADATA = "configs/metadata.json"
INFERENCE_CONFIGS = tuple(
    f"configs/{stem}.{suffix}" for stem in ("inference", "train") for suffix in ("json", "yaml", "yml")
)
WEIGHTS = "models/model.pt"

DEFAULT_WINDOW = (96, 96, 96)
"""Window in voxels of a bundle that names neither an inferer nor a spatial shape."""

# The runner hands over arrays that are loaded and have their channel first, and does the rest of these itself: it undoes
# the spatial transforms on probabilities, not on a mask, decides the label, and stores nothing.
_NOT_BEFORE = {"LoadImage", "LoadImaged", "EnsureChannelFirst", "EnsureChannelFirstd"}
_ACTIVATION = {"Activations", "Activationsd"}
_DISCRETE = {"AsDiscrete", "AsDiscreted"}
_NOT_AFTER = {"Invert", "Invertd", "SaveImage", "SaveImaged"}


@dataclass
class Bundle:
    """An opened bundle. `close` removes what was unpacked."""

    root: Path
    """Folder the bundle lies in."""
    metadata: dict[str, Any]
    """``configs/metadata.json``."""
    device: torch.device
    preprocessing: Compose
    """Transforms on the key "image" (channel first, with its affine), without loading."""
    before_label: Compose
    """Transforms on the key "pred" in the network's space: activation and whatever stands before the label is decided."""
    after_label: Compose
    """Transforms on the key "pred" that want a label map, ``(1, I, J, K)``, e.g. keeping the largest component."""
    activated: bool
    """Whether `before_label` turns logits into probabilities."""
    regions: bool
    """Whether the channels are regions that may overlap (sigmoid) and not classes (softmax)."""
    inferer: Inferer
    members: list[torch.nn.Module]
    """One network per weights file, in evaluation mode."""
    feature_layer: tuple[str, str] | None
    """Layer of the first member that embeds a case; see `features`."""
    channels: int | None
    """Number of image channels the bundle wants; None where it does not say."""
    _scratch: tempfile.TemporaryDirectory | None = field(default=None, repr=False)

    def close(self) -> None:
        """Remove the unpacked files; a bundle opened from a folder leaves the folder alone."""
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def open_bundle(path: Path | str, device: torch.device | str = "cpu") -> Bundle:
    """Open a bundle and load its weights.

    Parameters
    ----------
    path : pathlib.Path or str
        A bundle's folder, or a zip of it (with or without one folder around it).
    device : torch.device or str
        Where the networks run.

    Returns
    -------
    Bundle
        Ready to predict.

    Raises
    ------
    BundleError
        A required file is missing, the configuration cannot be carried out, or the weights do not fit the network.
    """
    path = Path(path)
    scratch = None
    try:
        if path.is_dir():
            root = path
        else:
            scratch = tempfile.TemporaryDirectory(prefix="bundle-")
            root = _unpack(path, Path(scratch.name))
        # What a stranger's configuration warns of (deprecated arguments, mostly) is nothing the caller could act on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bundle = _load(root, torch.device(device))
        bundle._scratch = scratch
        return bundle
    except BaseException:
        if scratch is not None:
            scratch.cleanup()
        raise


def _unpack(archive: Path, into: Path) -> Path:
    try:
        with zipfile.ZipFile(archive) as bundle:
            for name in bundle.namelist():
                if not (into / name).resolve().is_relative_to(into.resolve()):
                    raise BundleError(f"the archive's entry {name!r} leads out of the bundle")
            bundle.extractall(into)
    except zipfile.BadZipFile as error:
        raise BundleError("the bundle is not a zip archive") from error
    if (into / METADATA).is_file():
        return into
    inner = [folder for folder in into.iterdir() if (folder / METADATA).is_file()]
    if len(inner) != 1:
        raise BundleError(f"{METADATA} is missing")
    return inner[0]


def _load(root: Path, device: torch.device) -> Bundle:
    config = next((root / name for name in INFERENCE_CONFIGS if (root / name).is_file()), None)
    if config is None:
        raise BundleError("configs/inference.json is missing")
    if not (root / WEIGHTS).is_file():
        raise BundleError(f"{WEIGHTS} is missing")
    _make_importable(root)
    try:
        parser = ConfigParser()
        parser.read_config(str(config))
        parser.read_meta(str(root / METADATA))
        metadata = dict(parser.get("_meta_", {}))
        parser["bundle_root"] = str(root)
        parser["device"] = device
        preprocessing = _without(_transforms(parser, "preprocessing"), _NOT_BEFORE)
        before, after, activated, regions = _split(_transforms(parser, "postprocessing"))
        inferer = _inferer(parser, metadata)
        members = _members(parser, root, device)
    except BundleError:
        raise
    # Whatever a stranger's configuration raises means the same: this bundle cannot be opened.
    except Exception as error:
        raise BundleError(f"{config.name}: {type(error).__name__}: {error}") from error
    channels = _channels(metadata)
    layer = _feature_layer(members[0], inferer, channels, device)
    return Bundle(
        root=root,
        metadata=metadata,
        device=device,
        preprocessing=Compose(preprocessing),
        before_label=Compose(before),
        after_label=Compose(after),
        activated=activated,
        regions=regions,
        inferer=inferer,
        members=members,
        feature_layer=layer,
        channels=channels,
    )


def _make_importable(root: Path) -> None:
    """Let the configuration name the bundle's own modules (its folder ``scripts``)."""
    if (root / "scripts").is_dir() and str(root) not in sys.path:
        sys.path.insert(0, str(root))


def _transforms(parser: ConfigParser, key: str) -> list[Any]:
    """Instantiate the transforms under `key` and return them flat; none where the bundle has no such key."""
    if key not in parser:
        return []
    content = parser.get_parsed_content(key)
    return _flat(content)


def _flat(content: Any) -> list[Any]:
    if isinstance(content, Compose):
        return _flat(list(content.transforms))
    if isinstance(content, list | tuple):
        return [transform for item in content for transform in _flat(item)]
    return [content]


def _without(transforms: list[Any], names: set[str]) -> list[Any]:
    return [transform for transform in transforms if type(transform).__name__ not in names]


def _split(transforms: list[Any]) -> tuple[list[Any], list[Any], bool, bool]:
    """Divide the postprocessing at the place where the label is decided, and read the activation from it."""
    before: list[Any] = []
    after: list[Any] = []
    place = before
    activated = regions = False
    for transform in transforms:
        name = type(transform).__name__
        if name in _DISCRETE:
            place = after
            regions = regions or _thresholds(transform)
        elif name in _ACTIVATION:
            activated = True
            regions = regions or _is_sigmoid(transform)
            before.append(transform)
        elif name not in _NOT_AFTER:
            place.append(transform)
    return before, after, activated, regions


def _is_sigmoid(activation: Any) -> bool:
    value = getattr(activation, "sigmoid", False)
    return any(value) if isinstance(value, list | tuple) else bool(value)


def _thresholds(discrete: Any) -> bool:
    argmax = getattr(discrete, "argmax", False)
    takes_argmax = any(argmax) if isinstance(argmax, list | tuple) else bool(argmax)
    threshold = getattr(discrete, "threshold", None)
    has_threshold = (
        any(v is not None for v in threshold) if isinstance(threshold, list | tuple) else threshold is not None
    )
    return has_threshold and not takes_argmax


def _inferer(parser: ConfigParser, metadata: dict[str, Any]) -> Inferer:
    if "inferer" in parser:
        return parser.get_parsed_content("inferer")
    shape = _image_format(metadata).get("spatial_shape") or DEFAULT_WINDOW
    window = [size if isinstance(size, int) else default for size, default in zip(shape, DEFAULT_WINDOW, strict=False)]
    return SlidingWindowInferer(roi_size=window, overlap=0.25, mode="gaussian")


def _members(parser: ConfigParser, root: Path, device: torch.device) -> list[torch.nn.Module]:
    numbered = sorted(
        (int(match.group(1)), path)
        for path in (root / "models").iterdir()
        if (match := re.fullmatch(r"model_(\d+)\.pt", path.name))
    )
    key = "network_def" if "network_def" in parser else "network"
    definition = parser.get_parsed_content(key)
    members = []
    for path in [root / WEIGHTS, *(path for _, path in numbered)]:
        # A parsed item is one object; each member needs a network of its own.
        network = copy.deepcopy(definition)
        state = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in ("state_dict", "model"):
            if isinstance(state, dict) and wrapper in state and isinstance(state[wrapper], dict):
                state = state[wrapper]
        network.load_state_dict(state)
        network.to(device).eval()
        network.requires_grad_(False)
        members.append(network)
    return members


def _image_format(metadata: dict[str, Any]) -> dict[str, Any]:
    return metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})


def _channels(metadata: dict[str, Any]) -> int | None:
    value = _image_format(metadata).get("num_channels")
    return value if isinstance(value, int) else None


def _feature_layer(
    network: torch.nn.Module, inferer: Inferer, channels: int | None, device: torch.device
) -> tuple[str, str] | None:
    window = getattr(inferer, "roi_size", None) or DEFAULT_WINDOW
    window = (window,) * 3 if isinstance(window, int) else tuple(window)
    if len(window) != 3 or not all(isinstance(size, int) and size > 0 for size in window):
        window = DEFAULT_WINDOW
    sample = torch.zeros((1, channels or 1, *window), device=device)
    try:
        return find_feature_layer(network, sample)
    except Exception as error:
        raise BundleError(f"the network refused {tuple(sample.shape)}: {type(error).__name__}: {error}") from error
