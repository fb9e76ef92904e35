"""Which network is trained and how an image reaches it: as MONAI configuration, so that the bundle carries the very same.

The network was chosen by measuring (docs/services/trainer.md): on two cores a small full-resolution U-Net of `DynUNet`
blocks learns more per second than wider ones that begin with a stride.
"""

from typing import Any

from monai.bundle import ConfigParser

FILTERS = (16, 32, 64, 96)
SHRINKS_BY = 8
"""How many times smaller along each axis the deepest feature maps are than the patch."""


def network_definition(channels: int, outputs: int) -> dict[str, Any]:
    """Return the network as MONAI configuration.

    Parameters
    ----------
    channels : int
        Image channels.
    outputs : int
        Output channels, see `plan.Plan.outputs`.
    """
    return {
        "_target_": "DynUNet",
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": outputs,
        "kernel_size": [3, 3, 3, 3],
        "strides": [1, 2, 2, 2],
        "upsample_kernel_size": [2, 2, 2],
        "filters": list(FILTERS),
        "norm_name": ["INSTANCE", {"affine": True}],
    }


def preprocessing_definition(spacing_mm: tuple[float, float, float] | None) -> dict[str, Any]:
    """Return the transforms on the key "image" (an array ``(C, I, J, K)`` with its affine) as MONAI configuration."""
    transforms: list[dict[str, Any]] = [
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
    ]
    if spacing_mm is not None:
        transforms.append({"_target_": "Spacingd", "keys": "image", "pixdim": list(spacing_mm), "mode": "bilinear"})
    transforms.append({"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True})
    return {"_target_": "Compose", "transforms": transforms}


def inferer_definition(window: tuple[int, int, int]) -> dict[str, Any]:
    """Return the sliding window as MONAI configuration; what lies outside the image repeats its border, as in training."""
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": list(window),
        "sw_batch_size": 4,
        "overlap": 0.25,
        "mode": "gaussian",
        "padding_mode": "replicate",
    }


def build(definition: dict[str, Any]) -> Any:
    """Instantiate a piece of MONAI configuration."""
    return ConfigParser({"item": definition}).get_parsed_content("item")
