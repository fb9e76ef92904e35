"""The acceptance numbers of QA on real expert labels: errors that are planted go back, clean labels do not.

Runs the program that prints the table (`benchmarks/label_errors.py`) on a part of the data.
"""

import importlib.util
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qa.domain.examination import examine
from qa.domain.label import CaseGeometry
from qa.domain.measurement import Population
from radloop.imaging import Volume

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("RADLOOP_DATA", ROOT / "../shared/data")) / "msd_hippocampus"
CASES = 100


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("label_errors", ROOT / "benchmarks/label_errors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def results(program):
    if not DATA.is_dir():
        pytest.skip("the hippocampus data is not at hand")
    return program.run(program.load_cases(DATA, CASES), seed=7)


def share(results, *, clean, predicted, compared=True):
    chosen = [
        result.returned
        for result in results
        if (result.kind == "clean") == clean and result.predicted == predicted and result.compared == compared
    ]
    assert len(chosen) == (CASES if clean else 4 * CASES)
    return np.mean(chosen)


@pytest.mark.parametrize("compared", [True, False])
def test_with_a_prediction(results, compared):
    assert share(results, clean=False, predicted=True, compared=compared) >= 0.90
    assert share(results, clean=True, predicted=True, compared=compared) <= 0.10


def test_with_a_prediction_and_a_population_the_targets_are_met(results):
    assert share(results, clean=False, predicted=True) >= 0.97
    assert share(results, clean=True, predicted=True) <= 0.03


def test_an_import_with_a_population(results):
    assert share(results, clean=False, predicted=False) >= 0.90
    assert share(results, clean=True, predicted=False) <= 0.10


def test_the_first_imports_of_a_project_are_not_returned_when_clean(results):
    assert share(results, clean=True, predicted=False, compared=False) == 0


def test_a_label_takes_less_than_150_ms(results):
    assert np.median([result.took_ms for result in results]) < 150


def test_the_table_has_a_row_for_every_error(program, results):
    table = program.table(results)
    for kind in program.KINDS:
        assert f"| {kind} |" in table


def test_a_large_volume_takes_seconds(program):
    """512 x 512 x 300 voxels with an organ of 300 x 200 x 200: about as large as a liver gets."""
    array = np.zeros((512, 512, 300), np.uint8, order="F")
    array[100:400, 150:350, 50:250] = 1
    array[200:300, 200:300, 100:200] = 2
    prediction = np.roll(array, (4, 0, 0), axis=(0, 1, 2))
    affine = np.diag([0.8, 0.8, 1.5, 1.0])
    started = time.process_time()  # other tests may keep the cores busy
    said = examine(
        Volume(array, affine),
        program.statuses_of(array),
        Volume(prediction, affine),
        CaseGeometry(array.shape, tuple(affine.ravel())),
        program.SEGMENTS,
        Population(),
    )
    # 4 of 300 columns: Dice stays above 0.9, so nothing is gained and nothing found.
    assert said.findings == ()
    assert time.process_time() - started < 10
