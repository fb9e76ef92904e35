"""Cases in memory: volume and label map brought into the network's space once, then kept.

The image goes through the very transforms the bundle carries; the label map through the same spatial ones, with nearest neighbours.
"""

import gzip
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from training_job.errors import BadPlan
from training_job.network import build, preprocessing_definition
from training_job.plan import Item, Plan, Task


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it is stored: in the geometry of its image.

    Attributes
    ----------
    item : Item
    image : numpy.ndarray
        float32, shape ``(C, I, J, K)``: channels, columns, rows, slices.
    affine : numpy.ndarray
        float64, shape ``(4, 4)``: voxel index (i, j, k) to RAS in mm.
    label : numpy.ndarray
        uint8, shape ``(I, J, K)``.
    """

    item: Item
    image: np.ndarray
    affine: np.ndarray
    label: np.ndarray


@dataclass(frozen=True, slots=True)
class Sample:
    """A case ready for training: in the network's space.

    Attributes
    ----------
    image : torch.Tensor
        float32, shape ``(C, I, J, K)``, normalised.
    label : torch.Tensor
        float32 with whole values, shape ``(1, I, J, K)``.
    known : torch.Tensor
        bool, shape ``(classes,)``: False for a class nobody looked for in this case.
    weight : float
        Sampling weight.
    is_edge_case : bool
    """

    image: torch.Tensor
    label: torch.Tensor
    known: torch.Tensor
    weight: float
    is_edge_case: bool


def classes_of(plan: Plan) -> int:
    """Return the number of output channels: channel number = label value, so values without a segment stay unused."""
    return max(plan.segments) + 1


def read_case(item: Item, task: Task) -> Case:
    """Read a case's volumes and label map.

    Raises
    ------
    BadPlan
        A file is missing, damaged, not 3-D, or the geometries or label values do not fit.
    """
    images = [_nifti(task.read(reference)) for reference in item.images]
    label, _ = _nifti(task.read(item.label))
    arrays = [array for array, _ in images]
    if any(array.shape != label.shape for array in arrays):
        raise BadPlan("a label map has another shape than its volume")
    label = np.ascontiguousarray(label.astype(np.uint8))
    if not set(np.unique(label).tolist()) <= {0, *task.plan.segments}:
        raise BadPlan("a label map has a value that is no segment of the project")
    image = np.stack(arrays).astype(np.float32)
    if not np.isfinite(image).all():
        raise BadPlan("a volume has values that are not finite")
    return Case(item=item, image=image, affine=images[0][1], label=label)


def _nifti(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        array = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel and gzip raise many kinds for damaged bytes
        raise BadPlan("a volume or label map is no NIfTI file") from error
    if array.ndim != 3:
        raise BadPlan("a volume or label map is not 3-D")
    return array, np.asarray(image.affine, dtype=np.float64)


def prepare(case: Case, plan: Plan) -> Sample:
    """Bring a case into the network's space, by the deterministic transforms the bundle will carry."""
    transforms = build(preprocessing_definition(plan.spacing_mm))
    image = transforms({"image": MetaTensor(torch.from_numpy(case.image), affine=torch.from_numpy(case.affine))})[
        "image"
    ]
    label = MetaTensor(torch.from_numpy(case.label)[None].float(), affine=torch.from_numpy(case.affine))
    label = Orientation(axcodes="RAS", labels=None)(label)
    if plan.spacing_mm is not None:
        label = Spacing(pixdim=plan.spacing_mm, mode="nearest")(label)
    if image.shape[1:] != label.shape[1:]:
        raise BadPlan("volume and label map differ in shape after resampling")
    known = torch.ones(classes_of(plan), dtype=torch.bool)
    for value, state in case.item.states.items():
        if value in plan.segments and state == "not-annotated":
            known[value] = False
    # What nobody looked for may stand in the map as a leftover of the tool: it says nothing, so it must not teach.
    unknown = torch.isin(label.as_tensor(), torch.nonzero(~known).flatten().float())
    return Sample(
        image=image.as_tensor().contiguous(),
        label=label.as_tensor().masked_fill(unknown, 0.0).contiguous(),
        known=known,
        weight=case.item.weight,
        is_edge_case=case.item.is_edge_case,
    )
