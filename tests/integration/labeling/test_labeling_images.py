"""What a reader looks at, over HTTP: frames, raw volumes, the model's doubts, phases; and who may see which."""

import numpy as np
import pytest

from labeling.adapters.tables import cases, predictions
from radloop.auth import Role
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.imaging import read_nifti
from radloop.testing.databases import ONE_ENGINE

pytestmark = [pytest.mark.integration, ONE_ENGINE]

SHAPE = (11, 9, 5)


def raw(response, dtype="uint8"):
    assert response.status_code == 200, response.text
    assert response.headers["x-dtype"] == dtype
    assert response.headers["x-order"] == "i-fastest"
    shape = [int(n) for n in response.headers["x-shape"].split(",")]
    return np.frombuffer(response.content, np.dtype(dtype).newbyteorder("<")).reshape(shape, order="F")


def audited(site, action):
    with site.service.database.begin(read_only=True) as connection:
        rows = connection.exec_driver_sql("SELECT subject, target FROM audit WHERE action = '" + action + "'")
        return [tuple(row) for row in rows]


def flagged(site, **study):
    """One case with a model's answer and its doubts."""
    entropy = np.zeros(SHAPE, np.float32)
    entropy[3:6, 4:6, 2] = 0.5
    site.hear(site.project(), site.study(**study), site.prediction(entropy=entropy), site.flag(rank=1))
    return entropy


def test_frames_of_an_mr(site, ada, oblique_series):
    affine, series = oblique_series
    for k, ds in enumerate(series):
        ds.RescaleSlope, ds.RescaleIntercept = 2.0 + k, -3.0
    flagged(site, series=series)
    task = ada.next()
    told = ada.ask("GET", f"/v1/tasks/{task['task_id']}/frames").json()
    assert [item["sop_instance_uid"] for item in told["slices"]] == [str(ds.SOPInstanceUID) for ds in series]
    assert {item["frame"] for item in told["slices"]} == {1}
    assert (told["study_instance_uid"], told["series_instance_uid"]) == ("s1", "2.25.1")
    assert (told["rows"], told["columns"], told["shape"]) == (9, 11, [11, 9, 5])
    assert (told["bits_allocated"], told["signed"]) == (16, False)
    assert (told["slopes"], told["intercepts"]) == ([2.0, 3.0, 4.0, 5.0, 6.0], [-3.0] * 5)
    assert np.allclose(np.array(told["affine_lps"]).reshape(4, 4), affine)
    assert told["spacing_mm"] == pytest.approx([0.7, 0.9, 3.3])
    assert (told["modality"], told["quantity"], told["channels"]) == ("MR", "arbitrary", 1)
    voxels = np.arange(np.prod(SHAPE))
    low, high = np.percentile(voxels, (1, 99))
    assert told["window"] == pytest.approx({"center": (low + high) / 2, "width": high - low}, rel=0.05)
    assert (told["presets"], told["phase"], told["phase_count"]) == ([], 0, 1)
    assert task["case"]["series"] == {"study_instance_uid": "s1", "series_instance_uid": "2.25.1"}
    assert audited(site, "frames-viewed") == [("ada", task["task_id"])]


@pytest.mark.parametrize(
    "stated, window", [(([60, 300], [200, 900]), (60.0, 200.0)), ((40, 0), (40.0, 400.0)), ((), (40.0, 400.0))]
)
def test_frames_of_a_ct(site, ada, oblique_series, stated, window):
    _, series = oblique_series
    for ds in series:
        ds.Modality, ds.PixelRepresentation = "CT", 1
        if stated:
            ds.WindowCenter, ds.WindowWidth = stated
    flagged(site, series=series)
    told = ada.ask("GET", f"/v1/tasks/{ada.next()['task_id']}/frames").json()
    assert (told["window"]["center"], told["window"]["width"]) == window
    assert (told["quantity"], told["signed"]) == ("HU", True)
    assert {"name": "lung", "center": -600.0, "width": 1500.0} in told["presets"]


def test_a_4_d_series(site, ada, oblique_series):
    _, series = oblique_series
    site.hear(site.project())
    for phase in (2, 0, 1):
        study = site.study(f"c{phase}", "s1", series=series, phase=phase, phase_count=3)
        site.hear(study, site.prediction(f"c{phase}"))
    site.hear(site.flag("c1", prediction_id="pred-c1"))
    task = ada.next()
    assert (task["case"]["phase"], task["case"]["phase_count"]) == (1, 3)
    assert task["case"]["phases"] == [{"phase": n, "case_id": f"c{n}"} for n in range(3)]
    path = f"/v1/tasks/{task['task_id']}/frames"
    assert [ada.ask("GET", path, params={"phase": n}).json()["case_id"] for n in range(3)] == ["c0", "c1", "c2"]
    assert ada.ask("GET", path).json()["case_id"] == "c1"
    missing = ada.ask("GET", path, params={"phase": 3})
    assert (missing.status_code, missing.json()["error"]) == (404, "phase-unknown")


def test_a_case_of_an_older_release_learns_its_series_from_a_repeat(site, ada, oblique_series):
    _, series = oblique_series
    flagged(site)
    with site.service.database.begin() as connection:
        connection.execute(cases.update().values(series_key=""))
        body = connection.exec_driver_sql("SELECT body FROM cases").scalar_one()
        old = body.replace('"series_key": "2.25.1"', '"series_key": ""')
        assert old != body
        connection.execute(cases.update().values(body=old))
    task = ada.next()
    assert task["case"]["series"]["series_instance_uid"] == ""
    path = f"/v1/tasks/{task['task_id']}"
    assert ada.ask("GET", f"{path}/frames").json()["series_instance_uid"] == "2.25.1"  # the manifest tells
    site.hear(site.study())
    assert ada.ask("GET", path).json()["case"]["series"]["series_instance_uid"] == "2.25.1"


def test_raw_images_of_every_channel(site, ada):
    image = np.random.default_rng(5).integers(-1000, 3000, SHAPE).astype(np.int16)
    flagged(site, image=image, channels=2)
    path = f"/v1/tasks/{ada.next()['task_id']}/image"
    for channel in (0, 1):
        response = ada.ask("GET", path, params={"channel": channel, "format": "raw"})
        assert np.array_equal(raw(response, "int16"), image + channel)
        assert response.headers["content-encoding"] == "gzip"
    plain = ada.ask("GET", path, params={"format": "raw"}, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert np.array_equal(raw(plain, "int16"), image)
    assert ada.ask("GET", path, params={"channel": 2, "format": "raw"}).json()["error"] == "channel-unknown"
    assert ada.ask("GET", path, params={"format": "png"}).status_code == 422


def test_a_raw_image_of_fractions(site, ada):
    image = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    flagged(site, image=image)
    response = ada.ask("GET", f"/v1/tasks/{ada.next()['task_id']}/image", params={"format": "raw"})
    assert np.array_equal(raw(response, "float32"), image)


def test_proposal_uncertainty_and_doubts(site, ada):
    entropy = flagged(site)
    task = ada.next()
    assert task["proposal_available"] and task["uncertainty_available"]
    path = f"/v1/tasks/{task['task_id']}"
    nifti = read_nifti(ada.ask("GET", f"{path}/proposal").content).array
    assert np.array_equal(raw(ada.ask("GET", f"{path}/proposal", params={"format": "raw"})), nifti)
    response = ada.ask("GET", f"{path}/uncertainty")
    assert np.allclose(raw(response) * float(response.headers["x-scale"]), entropy, atol=0.002)
    assert raw(response).max() == 255
    (place, *_) = ada.ask("GET", f"{path}/doubts").json()["places"]
    i, j, k = place["index"]
    assert entropy[i, j, k] == 0.5
    affine = np.array(task["case"]["affine_lps"]).reshape(4, 4)
    assert place["lps_mm"] == pytest.approx(list((affine @ [i, j, k, 1])[:3]))
    assert place["segment"] in (1, 2) and 0 < place["volume_ml"] < 1 and place["entropy_nats"] > 0.05


def test_no_map_was_kept(site, ada):
    site.ready()
    task = ada.next()
    assert task["proposal_available"] and not task["uncertainty_available"]
    for what in ("uncertainty", "doubts"):
        response = ada.ask("GET", f"/v1/tasks/{task['task_id']}/{what}")
        assert (response.status_code, response.json()["error"]) == (404, "uncertainty-missing")


def test_a_map_that_was_kept_for_a_while_only(site, ada):
    flagged(site)
    task = ada.next()
    with site.service.database.begin(read_only=True) as connection:
        key = connection.execute(predictions.select()).one().uncertainty_key
    site.objects.delete(key)
    response = ada.ask("GET", f"/v1/tasks/{task['task_id']}/uncertainty")
    assert (response.status_code, response.json()["error"]) == (404, "uncertainty-missing")


@pytest.mark.parametrize("how", ["control", "validation", "second"])
def test_blind_readings_show_nothing_of_the_model(site, ada, how):
    entropy = np.full(SHAPE, 0.5, np.float32)
    split = "VALIDATION" if how == "validation" else "TRAIN"
    score = {"name": "ranked-by", "value": 0.7}
    site.hear(site.project(), site.study(split=split), site.prediction(entropy=entropy))
    if how == "second":
        site.hear(site.second())
    else:
        site.hear(site.flag(show_proposal=how != "control", scores=[score]))
    task = ada.next()
    assert (task["blind"], task["score"], task["reasons"], task["uncertainty_available"]) == (True, None, [], False)
    for what in ("proposal", "uncertainty", "doubts"):
        response = ada.ask("GET", f"/v1/tasks/{task['task_id']}/{what}")
        assert (response.status_code, response.json()["error"]) == (403, "blind")
    # The same answer by the case's own address is nobody's who reads.
    for who in (ada, site.person("rex", Role.READER)):
        assert who.ask("GET", "/v1/cases/c1/prediction").status_code == 403


def test_the_score_is_what_the_round_ranked_by(site, ada):
    scores = [{"name": "foreground-entropy", "value": 0.2}, {"name": "ranked-by", "value": 0.7}]
    site.hear(site.project(), site.study(), site.prediction(), site.flag(scores=scores))
    assert ada.next()["score"] == 0.7


def test_a_case_for_who_oversees_it(site, ada, eve, lead):
    flagged(site)
    newer = np.zeros(SHAPE, np.uint8)
    newer[0, 0, 0] = 2
    site.hear(site.prediction(prediction_id="a-newer-one", mask=newer))
    for who in (eve, lead, site.person("audrey", Role.AUDITOR)):
        assert who.ask("GET", "/v1/cases/c1/frames").json()["columns"] == 11
        found = raw(who.ask("GET", "/v1/cases/c1/prediction", params={"format": "raw"}))
        assert np.array_equal(found, newer)
    for what in ("frames", "prediction"):
        response = ada.ask("GET", f"/v1/cases/c1/{what}")
        assert (response.status_code, response.json()["error"]) == (403, "forbidden")
        assert lead.ask("GET", f"/v1/cases/nobody-knows/{what}").status_code == 404
    assert len(audited(site, "prediction-viewed")) == 3
    # A reviewer who takes the case becomes its reader, and is blind from then on.
    eve.next()
    for what in ("frames", "prediction"):
        response = eve.ask("GET", f"/v1/cases/c1/{what}")
        assert (response.status_code, response.json()["error"]) == (403, "blind")


def test_a_case_without_a_prediction(site, lead):
    site.hear(site.project(), site.study())
    response = lead.ask("GET", "/v1/cases/c1/prediction")
    assert (response.status_code, response.json()["error"]) == (404, "prediction-missing")


def test_a_withdrawn_case_is_gone_from_memory_too(site, ada, lead):
    flagged(site)
    task = ada.next()
    assert ada.ask("GET", f"/v1/tasks/{task['task_id']}/frames").status_code == 200
    assert ada.ask("GET", f"/v1/tasks/{task['task_id']}/doubts").status_code == 200
    site.hear(ingest_pb2.StudyWithdrawn(study_key="s1", reason=ingest_pb2.WITHDRAW_REASON_CONSENT, site="site-1"))
    for what in ("frames", "doubts", "proposal", "image"):
        assert ada.ask("GET", f"/v1/tasks/{task['task_id']}/{what}").status_code == 409
    assert lead.ask("GET", "/v1/cases/c1/frames").status_code == 404
