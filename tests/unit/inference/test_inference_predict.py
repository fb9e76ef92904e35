"""The runner without Triton: any bundle to a prediction in the geometry of the image."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch

from bundle_runner.bundle import open_bundle
from bundle_runner.errors import BundleError, NotFinite, ProgramRaised, UnsuitableImage
from bundle_runner.predict import PredictionSettings, predict
from bundle_runner.sample import write_sample_bundle
from bundle_runner.triton_model import OUTPUTS, read_parameters
from radloop.imaging import SEGMENT_BITS, bits_of, segment_voxels

AFFINE = np.array([[-1.0, 0, 0, 40], [0, 1.5, 0, -20], [0, 0, 2.0, 7], [0, 0, 0, 1]])


def image(shape=(1, 18, 22, 15), seed=0):
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


@pytest.fixture
def opened(tmp_path):
    """Open a sample bundle with these options, and close it at the end."""
    bundles = []

    def open_sample(**options):
        bundles.append(open_bundle(write_sample_bundle(tmp_path / f"{len(bundles)}.zip", **options)))
        return bundles[-1]

    yield open_sample
    for bundle in bundles:
        bundle.close()


@pytest.fixture
def rezipped(tmp_path):
    """Write a sample bundle with some entries replaced (None: left out) and give the archive's path."""

    def rezip(replaced, prefix="", **options):
        source = write_sample_bundle(tmp_path / "source.zip", **options)
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "other.zip", "w") as new:
            for name in [*old.namelist(), *(name for name in replaced if name not in old.namelist())]:
                content = replaced[name] if name in replaced else old.read(name)
                if content is not None:
                    new.writestr(prefix + name, content)
        return tmp_path / "other.zip"

    return rezip


def same(a, b):
    return torch.equal(a.mask, b.mask) and torch.equal(a.uncertainty, b.uncertainty) and a.scores == b.scores


def test_an_answer_is_in_the_images_geometry_and_repeats_bit_by_bit(opened):
    bundle = opened()
    first, again = predict(bundle, image(), AFFINE, 5), predict(bundle, image(), AFFINE, 5)
    assert first.mask.dtype == torch.uint8 and first.mask.shape == (18, 22, 15)
    assert first.uncertainty.shape == (18, 22, 15) and first.uncertainty.dtype == torch.float32
    assert torch.equal(first.uncertainty, first.uncertainty.half().float())
    assert 0 <= first.uncertainty.min() and first.uncertainty.max() <= np.log(3) + 1e-3
    assert first.embedding.shape == (32,) and torch.isfinite(first.embedding).all()
    assert same(first, again) and torch.equal(first.embedding, again.embedding)


def identity_bundle(rezipped, transforms=(), **replaced):
    """Write a bundle whose network hands the image through as the logit of class 1 against 0, scaled to be certain."""
    network = {"_target_": "Conv3d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
    network["_target_"] = "torch.nn.Conv3d"
    weights = io.BytesIO()
    weight = torch.tensor([0.0, 20.0]).reshape(2, 1, 1, 1, 1)
    torch.save({"weight": weight, "bias": torch.tensor([10.0, 0.0])}, weights)
    config = {
        "network_def": network,
        "preprocessing": {"_target_": "Compose", "transforms": list(transforms)},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.5},
    }
    return rezipped(
        {"configs/inference.json": json.dumps(config), "models/model.pt": weights.getvalue(), **replaced}, classes=2
    )


@pytest.mark.parametrize(
    "transforms",
    [
        [],
        [{"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None}],
        [{"_target_": "Orientationd", "keys": "image", "axcodes": "PSL", "labels": None}],
        [{"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 0.75, 1.0], "mode": "bilinear"}],
        [{"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "allow_smaller": False}],
        [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "ScaleIntensityd", "keys": "image"},
        ],
    ],
    ids=["none", "to RAS", "permuted axes", "resampled", "cropped", "loading left out"],
)
def test_spatial_preprocessing_is_undone_on_probabilities(rezipped, transforms):
    """A network that thresholds its input must give back the very shape that was put in, wherever it lies."""
    picture = np.zeros((1, 20, 24, 18), np.float32)
    picture[0, 4:12, 6:20, 3:9] = 1.0
    bundle = open_bundle(identity_bundle(rezipped, transforms))
    mask = predict(bundle, picture, AFFINE, 0).mask.numpy()
    bundle.close()
    overlap = 2 * (mask * picture[0]).sum() / (mask.sum() + picture[0].sum())
    assert overlap > (0.97 if transforms and "Spacingd" in transforms[0]["_target_"] else 0.9999)


def test_members_are_averaged_and_their_disagreement_is_named(opened):
    bundle = opened(members=3)
    prediction = predict(bundle, image(), AFFINE, 0)
    assert prediction.members == 3
    assert prediction.scores["mutual-information"] > 0
    assert 0 < prediction.scores["pairwise-dice"] <= 1
    one = predict(bundle, image(), AFFINE, 0, PredictionSettings(members=1))
    assert one.members == 1 and "pairwise-dice" not in one.scores
    assert same(one, predict(opened(members=1), image(), AFFINE, 0))


def test_overlap_of_one_request_does_not_stay(opened):
    bundle, picture = opened(window=(16, 16, 16)), image((1, 40, 20, 20))
    before = predict(bundle, picture, AFFINE, 0)
    other = predict(bundle, picture, AFFINE, 0, PredictionSettings(overlap=0.75))
    assert not same(before, other)
    assert same(before, predict(bundle, picture, AFFINE, 0))


def test_an_image_larger_than_the_window_is_covered(opened):
    prediction = predict(opened(window=(16, 16, 16)), image((1, 50, 33, 17)), AFFINE, 0)
    assert prediction.mask.shape == (50, 33, 17)


def test_postprocessing_decides_regions_and_cleans_the_label(opened):
    bundle = opened(
        classes=2,
        postprocessing=(
            {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
            {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "nowhere"},
        ),
    )
    assert bundle.regions and bundle.activated
    assert [type(transform).__name__ for transform in bundle.after_label.transforms] == [
        "KeepLargestConnectedComponentd"
    ]
    prediction = predict(bundle, image(), AFFINE, 0)
    assert prediction.uncertainty.max() <= np.log(2) + 1e-3
    assert set(prediction.mask.unique().tolist()) <= {0, 1, 2}


REGIONS = (
    {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
    {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
)
BITS = PredictionSettings(segment_bits=True)


def regions_bundle(rezipped, thresholds, postprocessing=REGIONS):
    """Write a bundle whose channel c claims every voxel brighter than ``thresholds[c]``."""
    count = len(thresholds)
    network = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": count, "kernel_size": 1}
    weights = io.BytesIO()
    bias = -20.0 * torch.tensor(thresholds, dtype=torch.float32)
    torch.save({"weight": torch.full((count, 1, 1, 1, 1), 20.0), "bias": bias}, weights)
    config = {
        "network_def": network,
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.5},
        "postprocessing": {"_target_": "Compose", "transforms": list(postprocessing)},
    }
    return open_bundle(
        rezipped({"configs/inference.json": json.dumps(config), "models/model.pt": weights.getvalue()}, classes=count)
    )


def organ_with_a_lesion():
    picture = np.zeros((1, 20, 24, 18), np.float32)
    picture[0, 4:14, 4:20, 3:15] = 1.0
    picture[0, 8:11, 8:12, 6:9] = 2.0
    return picture


def test_regions_overlap_in_bits_and_hide_each_other_in_a_label_map(rezipped):
    picture = organ_with_a_lesion()
    bundle = regions_bundle(rezipped, [0.5, 1.5])
    bits = predict(bundle, picture, AFFINE, 0, BITS).mask.numpy()
    label_map = predict(bundle, picture, AFFINE, 0).mask.numpy()
    bundle.close()
    assert bits.dtype == SEGMENT_BITS
    for value, darkest in ((1, 0.5), (2, 1.5)):
        assert np.array_equal(segment_voxels(bits, value), picture[0] > darkest)
    assert label_map.dtype == np.uint8 and np.array_equal(label_map, picture[0])


def test_the_label_map_of_classes_becomes_its_bits(opened):
    bundle, picture = opened(members=2), image()
    label_map, bits = (predict(bundle, picture, AFFINE, 3, settings) for settings in (None, BITS))
    assert np.array_equal(bits.mask.numpy(), bits_of(label_map.mask.numpy())) and bits.mask.any()
    assert bits.scores == label_map.scores and torch.equal(bits.uncertainty, label_map.uncertainty)


def test_what_stands_after_the_label_sees_each_overlapping_segment_whole(rezipped):
    picture = organ_with_a_lesion()
    picture[0, 17, 1, 1] = 2.0  # a speck of both
    largest = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]}
    bundle = regions_bundle(rezipped, [0.5, 1.5], (*REGIONS, largest))
    bits = predict(bundle, picture, AFFINE, 0, BITS).mask.numpy()
    bundle.close()
    expected = organ_with_a_lesion()[0]
    assert np.array_equal(segment_voxels(bits, 1), expected > 0.5)
    assert np.array_equal(segment_voxels(bits, 2), expected > 1.5)


def test_members_of_regions_disagree_in_bits(opened):
    bundle = opened(classes=2, members=2, postprocessing=REGIONS)
    scores = predict(bundle, image(), AFFINE, 0, BITS).scores
    assert 0 < scores["pairwise-dice"] <= 1 and scores["mutual-information"] > 0


def test_more_segments_than_bits_are_the_bundles_failure(rezipped):
    for count in (33, 40):
        bundle = regions_bundle(rezipped, [0.5] * count)
        assert predict(bundle, organ_with_a_lesion(), AFFINE, 0).mask.dtype == torch.uint8
        with pytest.raises(BundleError, match=f"hold 32 segments, the bundle has {count}"):
            predict(bundle, organ_with_a_lesion(), AFFINE, 0, BITS)
        bundle.close()


def test_the_request_says_whether_the_mask_is_bits():
    assert read_parameters("") == (0, PredictionSettings())
    assert read_parameters('{"seed": 7, "segment_bits": true}') == (7, PredictionSettings(segment_bits=True))
    kinds = {name: kind for name, kind, _ in OUTPUTS}
    assert (kinds["mask"], kinds["segment_bits"]) == ("TYPE_UINT8", "TYPE_UINT32")


def test_wrong_number_of_channels_is_unsuitable(opened):
    with pytest.raises(UnsuitableImage, match="wants 1 channels, the image has 2"):
        predict(opened(), image((2, 16, 16, 16)), AFFINE, 0)


def test_values_that_are_not_finite_are_no_prediction(opened):
    picture = image()
    picture[0, 3, 3, 3] = np.nan
    with pytest.raises(NotFinite):
        predict(opened(), picture, AFFINE, 0)


def test_what_the_bundle_raises_is_the_bundles_failure(opened):
    bundle = opened(transforms=({"_target_": "RandSpatialCropd", "keys": "image", "roi_size": [99, -1, "x"]},))
    with pytest.raises(ProgramRaised, match="preprocessing"):
        predict(bundle, image(), AFFINE, 0)


@pytest.mark.parametrize("missing", ["configs/metadata.json", "configs/inference.json", "models/model.pt"])
def test_a_missing_file_is_named(rezipped, missing):
    with pytest.raises(BundleError, match=missing):
        open_bundle(rezipped({missing: None}))


def test_a_folder_around_the_bundle_and_a_training_configuration_will_do(rezipped):
    archive = rezipped({}, prefix="my_bundle/")
    open_bundle(archive).close()
    with zipfile.ZipFile(archive) as bundle:
        config = bundle.read("my_bundle/configs/inference.json")
    renamed = rezipped({"configs/inference.json": None, "configs/train.json": config})
    open_bundle(renamed).close()


def test_weights_that_would_run_code_are_refused(rezipped):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    content = io.BytesIO()
    torch.save({"weight": Evil()}, content)
    with pytest.raises(BundleError, match="weights_only|Weights only|UnpicklingError"):
        open_bundle(rezipped({"models/model.pt": content.getvalue()}))


def test_weights_of_another_network_are_refused(rezipped):
    with pytest.raises(BundleError, match="state_dict"):
        open_bundle(
            rezipped(
                {}, network_def={"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
            )
        )


def test_an_entry_that_leads_out_of_the_bundle_is_refused(rezipped):
    with pytest.raises(BundleError, match="leads out"):
        open_bundle(rezipped({"../outside.txt": b"x"}))
