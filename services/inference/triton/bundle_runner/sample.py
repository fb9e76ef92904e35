"""A small MONAI Bundle with random weights: to try an installation, for tests and for benchmarks. It knows no anatomy."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import monai
import torch
from monai.networks.nets import UNet


def write_sample_bundle(
    path: Path,
    *,
    channels: int = 1,
    classes: int = 3,
    members: int = 1,
    window: tuple[int, int, int] = (32, 32, 32),
    features: tuple[int, ...] = (8, 16, 32),
    transforms: tuple[dict[str, Any], ...] = (),
    postprocessing: tuple[dict[str, Any], ...] = (),
    network_def: dict[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Write a bundle as a zip archive.

    Parameters
    ----------
    path : pathlib.Path
        The archive to write.
    channels, classes : int
        Image channels and output classes (background included) of its U-Net.
    members : int
        Number of weights files, each random in its own way.
    window : tuple of int
        Sliding window in voxels (i, j, k).
    features : tuple of int
        Channels of the U-Net's levels; each level halves the resolution.
    transforms, postprocessing : tuple of dict
        Configurations of further transforms: before the normalisation, and after the network.
    network_def : dict, optional
        Another network than the U-Net, to go with the U-Net's weights.
    seed : int
        Of the weights.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    unet = {
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": classes,
        "channels": list(features),
        "strides": [2] * (len(features) - 1),
        "num_res_units": 1,
    }
    config: dict[str, Any] = {
        "network_def": network_def or {"_target_": "UNet", **unet},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
                *transforms,
                {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(window),
            "sw_batch_size": 1,
            "overlap": 0.25,
            "mode": "gaussian",
        },
    }
    if postprocessing:
        config["postprocessing"] = {"_target_": "Compose", "transforms": list(postprocessing)}
    metadata = {
        "version": "0.1.0",
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__,
        "description": "Random weights",
        "network_data_format": {
            "inputs": {"image": {"type": "image", "num_channels": channels, "spatial_shape": list(window)}},
            "outputs": {"pred": {"type": "image", "num_channels": classes}},
        },
    }
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("configs/metadata.json", json.dumps(metadata))
        bundle.writestr("configs/inference.json", json.dumps(config))
        for member in range(members):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + member)
                weights = io.BytesIO()
                torch.save(UNet(**unet).state_dict(), weights)
            name = "models/model.pt" if member == 0 else f"models/model_{member}.pt"
            bundle.writestr(name, weights.getvalue())
    return path
