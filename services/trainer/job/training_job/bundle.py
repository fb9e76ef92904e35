"""The MONAI Bundle a run ends with. The same weights give the same bytes, because a model's identity is the digest of this file.

Layout: MONAI Bundle specification (https://docs.monai.io/en/stable/mb_specification.html). No ``$`` expression, no script:
nothing in it asks for more than torch and MONAI.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import monai
import torch

from training_job.network import inferer_definition, network_definition, preprocessing_definition
from training_job.plan import Plan

_TIME = (1980, 1, 1, 0, 0, 0)
"""The first a zip can name: the hour of packing must not change the digest."""

_DECISION = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
]
_DECISION_PER_SEGMENT = [
    {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
    {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
]
"""Of segments that may overlap: output ``value - 1`` says of each voxel whether it is in the segment."""

_README = """# {name}

Segments {segments} on {channels}-channel volumes. Research use only.

Trained by radloop: run {run_number}, plan `{plan_digest}`, dataset version `{dataset_version}`.
`models/model.pt` is the first member{more}; the label is decided on the mean of the members' probabilities{bits}.
Arrays come as `(C, I, J, K)` with their affine (RAS, mm) under the key `image`; no transform loads a file.
"""

_LICENSE = """The weights in this bundle were trained on data of the site that made it and belong to that site.
They come without warranty of any kind and are for research use only, not for diagnosis or treatment.
The configuration files are part of radloop, Apache License 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""


def pack(
    plan: Plan,
    plan_digest: str,
    *,
    channels: int,
    window: tuple[int, int, int],
    members: Sequence[Mapping[str, torch.Tensor]],
) -> bytes:
    """Return the bundle as bytes of a zip file.

    Parameters
    ----------
    plan : Plan
    plan_digest : str
        Written into the bundle, so that a model leads back to what made it.
    channels : int
        Of the image.
    window : tuple of int
        Sliding window, voxels along (i, j, k).
    members : sequence of state_dict
        Best first; one at least.
    """
    files: dict[str, bytes] = {
        "LICENSE": _LICENSE.encode(),
        "configs/inference.json": _json(
            {
                "network_def": network_definition(channels, plan.outputs),
                "preprocessing": preprocessing_definition(plan.spacing_mm),
                "inferer": inferer_definition(window),
                "postprocessing": {
                    "_target_": "Compose",
                    "transforms": _DECISION_PER_SEGMENT if plan.overlapping_segments else _DECISION,
                },
            }
        ),
        "configs/metadata.json": _json(_metadata(plan, plan_digest, channels, window)),
        "docs/README.md": _readme(plan, plan_digest, channels, len(members)).encode(),
    }
    for number, weights in enumerate(members):
        name = f"models/model_{number}.pt" if number else "models/model.pt"
        files[name] = weights_bytes(weights)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def weights_bytes(weights: Mapping[str, torch.Tensor]) -> bytes:
    """Write a ``state_dict`` so that equal weights give equal bytes, whatever memory they lay in.

    A tensor that stands under several names (`DynUNet` lists its blocks twice) is written once.
    """
    written: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}
    state = {}
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tuple(tensor.shape))
        if place not in written:
            written[place] = tensor.detach().cpu().contiguous().clone()
        state[name] = written[place]
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _metadata(plan: Plan, plan_digest: str, channels: int, window: tuple[int, int, int]) -> dict[str, Any]:
    names = {} if plan.overlapping_segments else {"0": "background"}
    names |= {
        str(plan.output_of(value)): plan.segments.get(value, "unused") for value in range(1, max(plan.segments) + 1)
    }
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": f"1.0.{plan.run_number}",
        "changelog": {f"1.0.{plan.run_number}": f"run {plan.run_number}"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": "2",
        "required_packages_version": {},
        "task": f"segmentation: {', '.join(plan.segments.values())}",
        "description": "Trained by radloop. Research use only.",
        "authors": "radloop",
        "copyright": "the site that trained it",
        "name": plan.model_name,
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "num_channels": channels,
                    "spatial_shape": list(window),
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(number): f"channel {number}" for number in range(channels)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "segmentation",
                    "num_channels": plan.outputs,
                    "spatial_shape": list(window),
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": names,
                }
            },
        },
        "radloop": {"plan_digest": plan_digest, "dataset_version": plan.dataset_version, "precision": "bfloat16"},
    }


def _readme(plan: Plan, plan_digest: str, channels: int, members: int) -> str:
    return _README.format(
        name=plan.model_name,
        segments=", ".join(f"{value} {name}" for value, name in sorted(plan.segments.items())),
        channels=channels,
        run_number=plan.run_number,
        plan_digest=plan_digest,
        dataset_version=plan.dataset_version,
        bits=", for each segment by itself: they may overlap" if plan.overlapping_segments else "",
        more=f", `models/model_1.pt` to `models/model_{members - 1}.pt` the others" if members > 1 else "",
    )


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True).encode()
