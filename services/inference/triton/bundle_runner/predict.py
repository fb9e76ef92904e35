"""One prediction: an image and its affine in, mask, uncertainty, scores and embedding out. Plain torch.

The same function runs inside Triton and inside the training job's evaluation, so that a model is judged by the very code
that will serve it. Nothing here knows Triton, a case or a project.
"""

import copy
import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Invertd

from bundle_runner.bundle import Bundle
from bundle_runner.errors import BundleError, NotFinite, ProgramRaised, UnsuitableImage
from bundle_runner.features import collected_features, embedding_of
from bundle_runner.processor import fast_bf16
from bundle_runner.scores import case_scores, label_map, predictive_entropy, segment_bits
from radloop.errors import Invalid
from radloop.imaging import LARGEST_BIT_VALUE, bits_of, segment_values, segment_voxels


@dataclass(frozen=True)
class PredictionSettings:
    """What may be chosen without changing the bundle; part of a prediction's identity."""

    members: int = 0
    """Number of members (weights files) that predict; 0 for all there are."""
    overlap: float | None = None
    """Overlap of sliding windows, 0..0.9; None for the bundle's own."""
    segment_bits: bool = False
    """Whether the mask is segment bits, because segments may overlap, and not a label map."""


@dataclass(frozen=True)
class Prediction:
    """What a bundle says of one image, in the geometry of that image, on the CPU."""

    mask: torch.Tensor
    """Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``."""
    uncertainty: torch.Tensor
    """Predictive entropy in nats, float32 with float16's precision, shape ``(I, J, K)``."""
    embedding: torch.Tensor
    """Pooled features, float32, shape ``(F,)``; ``(0,)`` for a network without 3-D convolutions."""
    scores: dict[str, float] = field(default_factory=dict)
    """Named scores, higher is worse; see `scores.case_scores`."""
    members: int = 1
    """How many members predicted."""


@torch.no_grad()
def predict(
    bundle: Bundle,
    image: torch.Tensor | np.ndarray,
    affine: torch.Tensor | np.ndarray,
    seed: int,
    settings: PredictionSettings | None = None,
) -> Prediction:
    """Predict on one image.

    Parameters
    ----------
    bundle : Bundle
        From `bundle.open_bundle`.
    image : torch.Tensor or numpy.ndarray
        float32, shape ``(C, I, J, K)``: channels, then columns, rows, slices.
    affine : torch.Tensor or numpy.ndarray
        float64, shape ``(4, 4)``: voxel index (i, j, k) to RAS in mm.
    seed : int
        Of everything random in the bundle; the same seed gives the same bytes on the same machine.
    settings : PredictionSettings, optional
        The bundle's own where left out.

    Returns
    -------
    Prediction

    Raises
    ------
    BundleError
        The bundle has more segments than segment bits can hold.
    UnsuitableImage
        The bundle wants another number of channels or dimensions.
    NotFinite
        The network gave NaN or infinity.
    ProgramRaised
        The bundle's transforms, inferer or network raised.
    """
    # As in `bundle.open_bundle`: what the bundle's code warns of is nothing the caller could act on.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _predict(bundle, image, affine, seed, settings or PredictionSettings())


def _predict(
    bundle: Bundle,
    image: torch.Tensor | np.ndarray,
    affine: torch.Tensor | np.ndarray,
    seed: int,
    settings: PredictionSettings,
) -> Prediction:
    image = torch.as_tensor(image, dtype=torch.float32)
    affine = torch.as_tensor(affine, dtype=torch.float64)
    _check(bundle, image, affine)
    torch.manual_seed(seed % 2**63)
    members = bundle.members[: settings.members] if settings.members > 0 else bundle.members
    prepared = _prepare(bundle, image, affine)
    shape = tuple(image.shape[1:])

    total: torch.Tensor | None = None
    entropy_of_members: torch.Tensor | None = None
    masks: list[np.ndarray] = []
    with collected_features(members[0], bundle.feature_layer) as pooled:
        for network in members:
            probabilities = _probabilities(bundle, network, prepared, shape, settings)
            total = probabilities if total is None else total + probabilities
            if len(members) > 1:
                entropy = predictive_entropy(probabilities, regions=bundle.regions)
                entropy_of_members = entropy if entropy_of_members is None else entropy_of_members + entropy
                masks.append(_mask(bundle, probabilities, settings).cpu().numpy())
    mean = total / len(members)

    entropy = predictive_entropy(mean, regions=bundle.regions)
    mask = _finish(bundle, _mask(bundle, mean, settings))
    not_background = mean.amax(dim=0) if bundle.regions else 1.0 - mean[0]
    scores = case_scores(
        mask.numpy(),
        entropy.cpu().numpy(),
        not_background.cpu().numpy(),
        None if entropy_of_members is None else (entropy_of_members / len(members)).cpu().numpy(),
        masks or None,
    )
    return Prediction(
        mask=mask,
        # Half precision is plenty for a map a person looks at, and its bytes compress to a fraction.
        uncertainty=entropy.half().float().cpu().contiguous(),
        embedding=embedding_of(pooled),
        scores=scores,
        members=len(members),
    )


def _check(bundle: Bundle, image: torch.Tensor, affine: torch.Tensor) -> None:
    if image.ndim != 4 or affine.shape != (4, 4):
        raise UnsuitableImage(
            f"expected an image (C, I, J, K) and an affine (4, 4), got {tuple(image.shape)}, {tuple(affine.shape)}"
        )
    if bundle.channels is not None and image.shape[0] != bundle.channels:
        raise UnsuitableImage(f"the bundle wants {bundle.channels} channels, the image has {image.shape[0]}")


def _prepare(bundle: Bundle, image: torch.Tensor, affine: torch.Tensor) -> MetaTensor:
    try:
        prepared = bundle.preprocessing({"image": MetaTensor(image.clone(), affine=affine.clone())})["image"]
    # The transforms are the bundle's: whatever they raise is the bundle's failure, and is named so.
    except Exception as error:
        raise ProgramRaised(f"preprocessing: {type(error).__name__}: {error}") from error
    if not isinstance(prepared, MetaTensor):
        prepared = MetaTensor(prepared, affine=affine.clone())
    return prepared.float()


def _probabilities(
    bundle: Bundle, network: torch.nn.Module, prepared: MetaTensor, shape: tuple[int, ...], settings: PredictionSettings
) -> torch.Tensor:
    """Run one member; float32 ``(C, I, J, K)`` in the geometry of the image, summing to 1 over C unless regions."""
    inferer = bundle.inferer
    if settings.overlap is not None and hasattr(inferer, "overlap"):
        inferer = copy.copy(inferer)
        inferer.overlap = settings.overlap
    try:
        with torch.autocast(bundle.device.type, torch.bfloat16, enabled=_in_bfloat16(bundle)):
            output = inferer(prepared.as_tensor()[None].to(bundle.device), network)
        if isinstance(output, list | tuple):  # deep supervision: the first is the full resolution
            output = output[0]
        output = output[0].float()
    except Exception as error:
        raise ProgramRaised(f"network: {type(error).__name__}: {error}") from error
    if not torch.isfinite(output).all():
        raise NotFinite(f"{int((~torch.isfinite(output)).sum())} of {output.numel()} values are not finite")
    if output.ndim != 4 or output.shape[1:] != prepared.shape[1:]:
        raise ProgramRaised(f"network: expected (C, *{tuple(prepared.shape[1:])}), got {tuple(output.shape)}")
    try:
        activated = bundle.before_label({"pred": output})["pred"]
        if not bundle.activated:
            one_channel = output.shape[0] == 1
            activated = torch.sigmoid(activated) if bundle.regions or one_channel else torch.softmax(activated, dim=0)
        restored = _restore(bundle, activated, prepared)
    except Exception as error:
        raise ProgramRaised(f"postprocessing: {type(error).__name__}: {error}") from error
    if restored.shape[1:] != shape:
        raise ProgramRaised(f"preprocessing cannot be undone: {tuple(restored.shape[1:])} is not {tuple(shape)}")
    return _normalised(restored, regions=bundle.regions)


def _in_bfloat16(bundle: Bundle) -> bool:
    """Whether the networks run in bfloat16: the bundle was trained so and says so, and the processor is made for it."""
    wanted = bundle.metadata.get("radloop", {}).get("precision") == "bfloat16"
    return wanted and (bundle.device.type != "cpu" or fast_bf16())


def _restore(bundle: Bundle, probabilities: torch.Tensor, prepared: MetaTensor) -> torch.Tensor:
    """Undo the spatial transforms on probabilities, so that the label is decided at the image's own voxels."""
    plain = probabilities.as_tensor() if isinstance(probabilities, MetaTensor) else torch.as_tensor(probabilities)
    if not prepared.applied_operations:
        return plain
    # Without being a MetaTensor itself the prediction would be handed back as it is, with a warning only.
    invert = Invertd(
        keys="pred", orig_keys="image", transform=bundle.preprocessing, nearest_interp=False, to_tensor=True
    )
    return invert({"image": prepared, "pred": MetaTensor(plain)})["pred"]


def _normalised(probabilities: torch.Tensor, *, regions: bool) -> torch.Tensor:
    """Make interpolated probabilities valid again; a voxel nothing was said about is background."""
    tensor = probabilities.as_tensor() if isinstance(probabilities, MetaTensor) else probabilities
    tensor = tensor.float().clamp(0.0, 1.0)
    if tensor.shape[0] == 1 and not regions:
        tensor = torch.cat([1.0 - tensor, tensor])
    if regions:
        return tensor
    total = tensor.sum(dim=0)
    # Outside what a crop kept, the inverse pads with zeros in every channel.
    tensor[0] = torch.where(total < 1e-3, torch.ones_like(total), tensor[0])
    return tensor / tensor.sum(dim=0, keepdim=True)


def _mask(bundle: Bundle, probabilities: torch.Tensor, settings: PredictionSettings) -> torch.Tensor:
    """Decide the label map or the segment bits, ``(I, J, K)``."""
    if not settings.segment_bits:
        return label_map(probabilities, regions=bundle.regions)
    count = probabilities.shape[0] if bundle.regions else probabilities.shape[0] - 1
    if count > LARGEST_BIT_VALUE:
        raise BundleError(f"segment bits hold {LARGEST_BIT_VALUE} segments, the bundle has {count}")
    return segment_bits(probabilities, regions=bundle.regions)


def _finish(bundle: Bundle, mask: torch.Tensor) -> torch.Tensor:
    """Apply what the bundle wants done to the mask; ``(I, J, K)`` of the same kind, on the CPU."""
    if not bundle.after_label.transforms:
        return mask.cpu().contiguous()
    if mask.dtype != torch.uint32:
        return _after_label(bundle, mask)
    bits = mask.numpy()
    finished = np.zeros_like(bits)
    # The transforms want a label map: each segment is one, so that none hides another.
    for value in segment_values(bits):
        alone = torch.from_numpy(segment_voxels(bits, value)).to(torch.uint8) * value
        try:
            finished |= bits_of(_after_label(bundle, alone).numpy())
        except Invalid as error:
            raise ProgramRaised(f"postprocessing: {error}") from error
    return torch.from_numpy(finished)


def _after_label(bundle: Bundle, mask: torch.Tensor) -> torch.Tensor:
    """Apply the bundle's transforms on a label map; uint8 ``(I, J, K)`` on the CPU."""
    try:
        finished = bundle.after_label({"pred": MetaTensor(mask[None].float())})["pred"]
    except Exception as error:
        raise ProgramRaised(f"postprocessing: {type(error).__name__}: {error}") from error
    finished = torch.as_tensor(finished).squeeze(0)
    if finished.shape != mask.shape:
        raise ProgramRaised(f"postprocessing: expected {tuple(mask.shape)}, got {tuple(finished.shape)}")
    plain = finished.as_tensor() if isinstance(finished, MetaTensor) else finished
    return plain.round().to(torch.uint8).cpu().contiguous()
