"""Operations over HTTP: what comes back, and what is refused."""

import numpy as np
import pytest

from radloop.testing.databases import ONE_ENGINE

pytestmark = pytest.mark.integration

SHAPE = [11, 9, 5]


def runs_of(array):
    flat = np.flatnonzero(array.ravel(order="F"))
    runs, last = [], 0
    for at in flat:
        runs += [int(at) - last, 1]
        last = int(at) + 1
    return runs


def array_of(runs):
    flat, at = np.zeros(np.prod(SHAPE), bool), 0
    for gap, length in zip(runs[::2], runs[1::2], strict=True):
        flat[at + gap : at + gap + length] = True
        at += gap + length
    return flat.reshape(SHAPE, order="F")


@pytest.fixture
def asked(site, ada):
    site.ready()
    task = ada.next()

    def ask(operation, array=None, who=ada, **body):
        runs = [] if array is None else runs_of(array)
        body = {"segment": 1, "axis": 2, "shape": SHAPE, "runs": runs} | body
        return who.ask("POST", f"/v1/tasks/{task['task_id']}/operations/{operation}", json=body)

    ask.task = task
    return ask


def test_each_operation(asked):
    slices = np.zeros(SHAPE, bool)
    slices[2:8, 2:7, [0, 4]] = True
    assert array_of(asked("interpolate", slices).json()["runs"])[2:8, 2:7, :].all()
    ring = np.zeros(SHAPE, bool)
    ring[2:8, 2:7, 2] = True
    ring[4, 4, 2] = False
    assert array_of(asked("fill-holes", ring).json()["runs"])[4, 4, 2]
    assert not array_of(asked("fill-holes", ring, in_3d=True).json()["runs"])[4, 4, 2]
    ring[10, 8, 4] = True
    assert not array_of(asked("remove-islands", ring).json()["runs"])[10, 8, 4]
    assert array_of(asked("remove-islands", ring, min_ml=0.0001).json()["runs"])[10, 8, 4]
    assert array_of(asked("smooth", ring).json()["runs"])[4, 3, 2]


def test_the_order_of_voxels_is_that_of_a_raw_label(asked):
    single = np.zeros(SHAPE, bool)
    single[3, 5, 2] = True
    assert asked("remove-islands", single).json()["runs"] == [3 + 11 * (5 + 9 * 2), 1]


@ONE_ENGINE
@pytest.mark.parametrize(
    "body, error",
    [
        ({"segment": 3}, "segment-unknown"),
        ({"shape": [9, 11, 5]}, "shape-mismatch"),
        ({"runs": [0, 496]}, "runs-unreadable"),
        ({"runs": [0, 1, 2]}, "runs-unreadable"),
        ({"runs": [0, 2**80]}, "runs-unreadable"),
        ({"runs": [0, 1.5]}, "runs-unreadable"),
        ({"runs": "all"}, "request-invalid"),
        ({"axis": 3}, "request-invalid"),
        ({"min_ml": -1}, "request-invalid"),
        ({"runs": [0, 5]}, "interpolate-needs-slices"),
        ({"runs": [0, 5], "lease_id": "another"}, "lease-replaced"),
    ],
)
def test_what_is_refused(asked, body, error):
    response = asked("interpolate", **body)
    assert response.json()["error"] == error
    assert response.status_code == (409 if error.startswith("lease") else 422)


def test_a_body_that_is_too_large_is_not_read(asked, site):
    response = asked("smooth", runs=[0] * (9 * 2**20))
    assert (response.status_code, response.json()["error"]) == (422, "request-too-large")


def test_only_who_may_see_the_task(asked, ben, lead):
    assert asked("smooth", who=ben).json()["error"] == "task-not-yours"
    assert asked("smooth", who=lead).status_code == 403
    lease = asked.task["lease"]["lease_id"]
    assert asked("smooth", lease_id=lease).json() == {"runs": []}
    assert asked("unknown").status_code == 422
