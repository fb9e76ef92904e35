"""Cases in memory: volume and mask brought into the network's space once, then kept.

The image goes through the very transforms the bundle carries; the mask through the same spatial ones, with nearest neighbours.
"""

import gzip
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from radloop.imaging import SEGMENT_BITS, says_segment_bits, segment_values, segment_voxels
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
        Label map (uint8) or, where segments may overlap, segment bits (uint32), shape ``(I, J, K)``.
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
        float32 with whole values: the label map, shape ``(1, I, J, K)``, or, where segments may overlap, 1 in each segment,
        shape ``(outputs, I, J, K)``.
    known : torch.Tensor
        bool, shape ``(outputs,)``: False for a segment nobody looked for in this case.
    weight : float
        Sampling weight.
    is_edge_case : bool
    """

    image: torch.Tensor
    label: torch.Tensor
    known: torch.Tensor
    weight: float
    is_edge_case: bool


def read_case(item: Item, task: Task) -> Case:
    """Read a case's volumes and mask.

    Raises
    ------
    BadPlan
        A file is missing, damaged, not 3-D, a mask is no segment bits where segments overlap, or the geometries or values
        do not fit.
    """
    images = [_nifti(task.read(reference)) for reference in item.images]
    stored = task.read(item.label)
    label, _ = _nifti(stored)
    arrays = [array for array, _ in images]
    if any(array.shape != label.shape for array in arrays):
        raise BadPlan("a mask has another shape than its volume")
    if task.plan.overlapping_segments and not says_segment_bits(stored):
        raise BadPlan("segments overlap and a mask is no segment bits")
    label = np.ascontiguousarray(label.astype(SEGMENT_BITS if task.plan.overlapping_segments else np.uint8))
    if not set(segment_values(label)) <= set(task.plan.segments):
        raise BadPlan("a mask has a value that is no segment of the project")
    image = np.stack(arrays).astype(np.float32)
    if not np.isfinite(image).all():
        raise BadPlan("a volume has values that are not finite")
    return Case(item=item, image=image, affine=images[0][1], label=label)


def _nifti(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        array = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel and gzip raise many kinds for damaged bytes
        raise BadPlan("a volume or mask is no NIfTI file") from error
    if array.ndim != 3:
        raise BadPlan("a volume or mask is not 3-D")
    return array, np.asarray(image.affine, dtype=np.float64)


def prepare(case: Case, plan: Plan) -> Sample:
    """Bring a case into the network's space, by the deterministic transforms the bundle will carry."""
    transforms = build(preprocessing_definition(plan.spacing_mm))
    image = transforms({"image": MetaTensor(torch.from_numpy(case.image), affine=torch.from_numpy(case.affine))})[
        "image"
    ]
    label = MetaTensor(torch.from_numpy(_channels(case.label, plan)).float(), affine=torch.from_numpy(case.affine))
    label = Orientation(axcodes="RAS", labels=None)(label)
    if plan.spacing_mm is not None:
        label = Spacing(pixdim=plan.spacing_mm, mode="nearest")(label)
    if image.shape[1:] != label.shape[1:]:
        raise BadPlan("volume and mask differ in shape after resampling")
    known = torch.ones(plan.outputs, dtype=torch.bool)
    for value, state in case.item.states.items():
        if value in plan.segments and state == "not-annotated":
            known[plan.output_of(value)] = False
    # What nobody looked for may stand in the mask as a leftover of the tool: it says nothing, so it must not teach.
    if plan.overlapping_segments:
        unknown = ~known[:, None, None, None]
    else:
        unknown = torch.isin(label.as_tensor(), torch.nonzero(~known).flatten().float())
    return Sample(
        image=image.as_tensor().contiguous(),
        label=label.as_tensor().masked_fill(unknown, 0.0).contiguous(),
        known=known,
        weight=case.item.weight,
        is_edge_case=case.item.is_edge_case,
    )


def _channels(label: np.ndarray, plan: Plan) -> np.ndarray:
    """Return what is resampled, shape ``(C, I, J, K)``: the label map, or each segment apart, as bits cannot be in float32."""
    if not plan.overlapping_segments:
        return label[None]
    return np.stack([segment_voxels(label, value) for value in range(1, plan.outputs + 1)])
