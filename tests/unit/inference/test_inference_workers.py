"""The workers on a server in memory: what they take, what they do with its errors, what they keep loaded."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from inference.adapters.workers import MAX_ATTEMPTS, ModelKeeper, ModelLoader, ObjectSweeper, PredictionWorker
from inference.domain import messages as m
from inference.domain.model import (
    Case,
    Model,
    ModelState,
    PendingDeployment,
    Prediction,
    PredictionSettings,
    Project,
    Traffic,
)
from inference.ports import Answer, Claimed, ModelBroken, ModelNotLoaded, ProgramDied, ProgramFailed
from radloop.errors import TemporaryError
from radloop.imaging import Volume, bits_of, read_nifti, says_segment_bits, segment_bit, segment_voxels, write_nifti
from radloop.references import Score
from radloop.testing import FakeObjects

SETTINGS = PredictionSettings()
PROJECT = Project("p", 1, "m", m.PromotionMode.AUTOMATIC, (1, 2), False, ())
OVERLAPPING = replace(PROJECT, overlapping_segments=True)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
PICTURE = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


class FakeServer:
    """Answers with the image's own mean; `errors` are raised first, one per call."""

    def __init__(self):
        self.ready, self.names, self.errors, self.broken = True, set(), [], set()
        self.asked, self.settings, self.loads, self.unloads = [], [], [], []

    def is_ready(self):
        return self.ready

    def loaded(self):
        return set(self.names)

    held = loaded

    def load(self, name, bundle):
        self.loads.append(name)
        if name in self.broken:
            raise ModelBroken("no weights")
        self.names.add(name)

    def unload(self, name):
        self.unloads.append(name)
        self.names.discard(name)

    def predict(self, name, image, affine_ras, seed, settings):
        if name not in self.names:
            raise ModelNotLoaded("model-not-loaded")
        self.asked.append((name, image, affine_ras, seed))
        self.settings.append(settings)
        if self.errors:
            raise self.errors.pop(0)
        mask = (image[0] > image[0].mean()).astype(np.uint8)
        if settings.segment_bits:  # the brightest voxels are of segment 2 too
            mask = bits_of(mask) | np.where(image[0] > 50, segment_bit(2), np.uint32(0))
        return Answer(mask, mask.astype(np.float32), np.ones(4, np.float32), {"foreground-entropy": 0.5})


class FakeQueue:
    def __init__(self, *claims):
        self.claims, self.back, self.attempts = list(claims), [], 0

    def claim(self):
        return self.claims[0] if self.claims else None

    def put_back(self, prediction_id, delay_s, *, counts):
        self.attempts += counts
        self.back.append((prediction_id, counts))
        return self.attempts


@pytest.fixture
def objects():
    return FakeObjects()


@pytest.fixture
def server():
    return FakeServer()


@pytest.fixture
def model(objects):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        for name in ("configs/metadata.json", "configs/inference.json", "models/model.pt"):
            bundle.writestr(name, "{}")
    ref = objects.put("trainer/p/a.zip", content.getvalue())
    return Model("p", ref.digest, "m", ref, ModelState.SERVING)


@pytest.fixture
def claimed(objects, model):
    ref = objects.put("ingest/study/case/channel-0.nii", write_nifti(Volume(PICTURE, AFFINE)))
    case = Case("case", "study", "p", (ref,))
    return Claimed(Prediction.of(case, model.model_digest, SETTINGS.digest), case, model, PROJECT)


class Predicting:
    def __init__(self, server, objects, claimed, **keep):
        self.queue, self.said = FakeQueue(claimed), []
        loader = ModelLoader(server, objects, SETTINGS)
        keep = {"keep_uncertainty": True, "keep_embedding": True} | keep
        self.worker = PredictionWorker(
            self.queue, server, loader, objects, lambda command: self.said.append(command) or [], SETTINGS, **keep
        )


@pytest.fixture
def predicting(server, objects, claimed):
    server.names.add(claimed.model.triton_name)
    return Predicting(server, objects, claimed)


def test_an_answer_is_stored_in_the_cases_geometry(predicting, server, objects, claimed):
    assert predicting.worker.step()
    (made,) = predicting.said
    mask = read_nifti(objects.get(made.mask))
    assert np.array_equal(mask.array, PICTURE > PICTURE.mean()) and np.allclose(mask.affine_lps, AFFINE)
    assert made.mask.key.startswith(f"inference/study/{claimed.prediction.prediction_id}/mask-")
    assert made.scores == (Score("foreground-entropy", 0.5),)
    assert made.volumes == (Score("segment-1-ml", 30 * 0.002), Score("segment-2-ml", 0.0))
    assert np.load(io.BytesIO(objects.get(made.embedding))).tolist() == [1, 1, 1, 1]
    (name, image, affine_ras, _) = server.asked[0]
    assert name == claimed.model.triton_name and image.shape == (1, 3, 4, 5) and image.dtype == np.float32
    assert np.allclose(affine_ras, np.diag([-1.0, -1.0, 2.0, 1.0]))


def test_where_segments_overlap_bits_are_asked_for_stored_and_measured(server, objects, claimed):
    server.names.add(claimed.model.triton_name)
    predicting = Predicting(server, objects, replace(claimed, project=OVERLAPPING))
    predicting.worker.step()
    (made,) = predicting.said
    assert server.settings == [replace(SETTINGS, segment_bits=True)]
    data = objects.get(made.mask)
    mask = read_nifti(data).array
    assert says_segment_bits(data)
    assert np.array_equal(segment_voxels(mask, 1), PICTURE > PICTURE.mean())
    assert np.array_equal(segment_voxels(mask, 2), PICTURE > 50)
    assert made.volumes == (Score("segment-1-ml", 30 * 0.002), Score("segment-2-ml", 9 * 0.002))


def test_elsewhere_label_maps_are_asked_for_and_stored(predicting, server, objects):
    predicting.worker.step()
    data = objects.get(predicting.said[0].mask)
    assert server.settings == [SETTINGS] and not says_segment_bits(data)
    assert read_nifti(data).array.dtype == np.uint8


def test_a_retry_asks_with_the_same_seed_and_gives_the_same_objects(predicting, server):
    predicting.worker.step()
    predicting.worker.step()
    assert server.asked[0][3] == server.asked[1][3]
    assert predicting.said[0] == predicting.said[1]


def test_map_and_embedding_are_kept_only_if_asked_for(server, objects, claimed):
    server.names.add(claimed.model.triton_name)
    lean = Predicting(server, objects, claimed, keep_uncertainty=False, keep_embedding=False)
    lean.worker.step()
    assert lean.said[0].uncertainty is None and lean.said[0].embedding is None
    assert len(objects.keys("inference/")) == 1


def test_nothing_is_taken_while_triton_is_away(predicting, server):
    server.ready = False
    assert not predicting.worker.step() and predicting.said == []


def test_a_model_that_is_not_loaded_is_loaded_on_the_way(predicting, server, claimed):
    server.names.clear()
    assert predicting.worker.step()
    assert server.loads == [claimed.model.triton_name]
    assert isinstance(predicting.said[0], m.ConcludePrediction)


def test_a_model_that_cannot_be_loaded_gives_a_reason(predicting, server, claimed):
    server.names.clear()
    server.broken.add(claimed.model.triton_name)
    predicting.worker.step()
    assert predicting.said == [
        m.GiveUpPrediction(claimed.prediction.prediction_id, m.PredictionFailure.PROGRAM_RAISED, "no weights")
    ]


def test_triton_going_away_meanwhile_puts_the_prediction_back(predicting, server, claimed):
    server.errors = [TemporaryError("triton-away", delay_s=2)]
    assert predicting.worker.step()
    assert predicting.said == [] and predicting.queue.back == [(claimed.prediction.prediction_id, False)]


def test_a_full_object_store_puts_the_prediction_back(predicting, objects, claimed):
    objects.full = True
    assert predicting.worker.step()
    assert predicting.said == [] and predicting.queue.back == [(claimed.prediction.prediction_id, False)]
    objects.full = False
    predicting.worker.step()
    assert isinstance(predicting.said[0], m.ConcludePrediction)


def test_a_process_that_dies_again_and_again_is_given_up(predicting, server):
    server.errors = [ProgramDied("program-died")] * MAX_ATTEMPTS
    for _ in range(MAX_ATTEMPTS):
        assert predicting.said == []
        predicting.worker.step()
    assert predicting.said[0].reason is m.PredictionFailure.PROGRAM_RAISED
    assert [counts for _, counts in predicting.queue.back] == [True] * MAX_ATTEMPTS


@pytest.mark.parametrize("reason", m.PredictionFailure)
def test_the_programs_own_reason_is_passed_on(predicting, server, claimed, reason):
    server.errors = [ProgramFailed(reason, "said so")]
    predicting.worker.step()
    assert predicting.said == [m.GiveUpPrediction(claimed.prediction.prediction_id, reason, "said so")]


def test_a_volume_that_cannot_be_read_is_unreadable(predicting, objects, claimed):
    objects.stored[claimed.case.volumes[0].key] = b"other bytes"
    predicting.worker.step()
    assert predicting.said[0].reason is m.PredictionFailure.UNREADABLE
    objects.stored.pop(claimed.case.volumes[0].key)
    predicting.worker.step()
    assert predicting.said[1].reason is m.PredictionFailure.UNREADABLE


# ---- models


class Keeping:
    def __init__(self, server, objects, uow):
        self.said, self.now = [], 0.0
        loader = ModelLoader(server, objects, SETTINGS)
        self.keeper = ModelKeeper(
            server,
            loader,
            lambda read_only=False: uow,
            lambda command: self.said.append(command) or [],
            lambda: self.now,
        )


@pytest.fixture
def keeping(server, objects, uow, model):
    uow.projects.save(PROJECT)
    uow.models.save(model)
    return Keeping(server, objects, uow)


def candidate(model):
    return PendingDeployment(0, "p", model.model_digest, "trained", True, "", 0)


def test_a_candidate_is_loaded_and_tried(keeping, server, uow, model):
    uow.deployments.add(candidate(model))
    assert keeping.keeper.step()
    assert keeping.said == [m.ConcludeDeployment(1, model.model_digest, True, "")]
    assert server.asked[0][1].shape == (1, 24, 24, 24)


@pytest.mark.parametrize(("project", "bits"), [(PROJECT, False), (OVERLAPPING, True)])
def test_a_candidate_is_tried_as_its_project_will_ask_it(keeping, server, uow, model, project, bits):
    uow.projects.save(project)
    uow.deployments.add(candidate(model))
    keeping.keeper.step()
    assert server.settings == [PredictionSettings(segment_bits=bits)]


@pytest.mark.parametrize("error", [ProgramFailed(m.PredictionFailure.NOT_FINITE, "bad"), ProgramDied("program-died")])
def test_a_candidate_that_cannot_predict_is_unloaded_and_reported(keeping, server, uow, model, error):
    uow.deployments.add(candidate(model))
    server.errors = [error]
    keeping.keeper.step()
    assert not keeping.said[0].loaded and keeping.said[0].detail
    assert server.names == set()


def test_a_bundle_that_is_gone_is_reported(keeping, objects, uow, model):
    uow.deployments.add(candidate(model))
    objects.stored.clear()
    keeping.keeper.step()
    assert not keeping.said[0].loaded and "object-missing" in keeping.said[0].detail


def test_triton_going_away_while_a_candidate_loads_concludes_nothing(keeping, server, uow, model):
    uow.deployments.add(candidate(model))
    server.errors = [TemporaryError("triton-away")]
    with pytest.raises(TemporaryError):
        keeping.keeper.step()
    assert keeping.said == [] and uow.deployments.next() is not None
    server.ready = False
    assert not keeping.keeper.step()


def test_what_serves_is_loaded_again_after_a_restart_of_triton(keeping, server, uow, model):
    uow.traffic.save(Traffic("p", model.model_digest))
    assert not keeping.keeper.step()
    assert server.names == {model.triton_name}
    keeping.keeper.step()
    assert server.loads == [model.triton_name]


def test_a_serving_model_that_will_not_load_is_tried_again_after_a_pause(keeping, server, uow, model):
    uow.traffic.save(Traffic("p", model.model_digest))
    server.broken.add(model.triton_name)
    for _ in range(3):
        keeping.keeper.step()
    assert len(server.loads) == 1
    keeping.now, server.broken = 31.0, set()
    keeping.keeper.step()
    assert server.names == {model.triton_name}


def test_what_nobody_needs_is_unloaded(keeping, server, uow, model, claimed):
    server.names |= {model.triton_name, "somebody-elses"}
    uow.predictions.save(claimed.prediction)
    keeping.keeper.step()
    assert server.unloads == []
    uow.predictions.rows.clear()
    keeping.keeper.step()
    assert server.unloads == [model.triton_name] and server.names == {"somebody-elses"}


def test_the_objects_of_withdrawn_studies_are_swept(objects, uow):
    for key in ("inference/study/p1/mask.nii", "inference/study/p2/mask.nii", "inference/study-2/p3/mask.nii"):
        objects.put(key, b"x")
    uow.cases.withdraw("study")
    sweeper = ObjectSweeper(objects, lambda read_only=False: uow)
    assert not sweeper.step()
    assert objects.keys("inference/") == ["inference/study-2/p3/mask.nii"]
    assert uow.cases.objects_to_delete() == []
