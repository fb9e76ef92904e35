"""A case's volumes to one array for the model, and a model's answer to stored objects."""

import io
from dataclasses import dataclass

import numpy as np

from inference.domain.measures import segment_volumes
from inference.domain.messages import ConcludePrediction
from inference.domain.model import Case
from inference.ports import Answer, Claimed
from radloop.errors import Invalid
from radloop.imaging import Volume, ras_from_lps, read_nifti, same_geometry, write_nifti
from radloop.objects import Objects
from radloop.references import ObjectRef, Score, digest_of


@dataclass(frozen=True, slots=True)
class CaseImage:
    """A case as a model wants it."""

    channels: np.ndarray
    """float32, shape ``(C, I, J, K)``."""
    affine_lps: np.ndarray
    """float64, shape ``(4, 4)``, voxel index to LPS in mm."""

    @property
    def affine_ras(self) -> np.ndarray:
        """The same in RAS, as MONAI wants it."""
        return ras_from_lps(self.affine_lps)


def read_case(objects: Objects, case: Case) -> CaseImage:
    """Read the volumes of a case and stack them as channels.

    Raises
    ------
    PermanentError
        A volume is missing, damaged, not finite, or samples other points than the first.
    TemporaryError
        The object store is away.
    """
    volumes = [read_nifti(objects.get(ref)) for ref in case.volumes]
    if not volumes or not all(same_geometry(volumes[0], other) for other in volumes[1:]):
        raise Invalid("channels-differ", expected="at least one volume, all of one geometry", got="something else")
    channels = np.stack([np.asarray(volume.array, dtype=np.float32) for volume in volumes])
    if not np.isfinite(channels).all():
        raise Invalid("volume-not-finite", expected="finite voxel values", got="NaN or infinity")
    return CaseImage(channels, volumes[0].affine_lps)


def store_answer(
    objects: Objects,
    claimed: Claimed,
    image: CaseImage,
    answer: Answer,
    *,
    keep_uncertainty: bool,
    keep_embedding: bool,
) -> ConcludePrediction:
    """Store what a model said of a case, and return the command that concludes the prediction.

    The key of each object ends in the digest of its bytes: should a retry ever give other bytes (another processor,
    another release of torch), it does not collide with what an interrupted attempt left.

    Raises
    ------
    TemporaryError
        The object store is away or full; stored parts are found again by the retry.
    """
    prediction = claimed.prediction
    folder = f"inference/{prediction.study_key}/{prediction.prediction_id}"

    def put(name: str, suffix: str, data: bytes) -> ObjectRef:
        return objects.put(f"{folder}/{name}-{digest_of(data).removeprefix('sha256:')[:12]}.{suffix}", data)

    def as_nifti(array: np.ndarray) -> bytes:
        return write_nifti(Volume(array, image.affine_lps))

    buffer = io.BytesIO()
    np.save(buffer, answer.embedding.astype(np.float32))
    return ConcludePrediction(
        prediction_id=prediction.prediction_id,
        study_key=prediction.study_key,
        mask=put("mask", "nii", as_nifti(answer.mask)),
        uncertainty=put("uncertainty", "nii", as_nifti(answer.uncertainty)) if keep_uncertainty else None,
        embedding=put("embedding", "npy", buffer.getvalue()) if keep_embedding and answer.embedding.size else None,
        scores=tuple(Score(name, float(value)) for name, value in sorted(answer.scores.items())),
        volumes=segment_volumes(answer.mask, image.affine_lps, claimed.project.segment_values),
    )
