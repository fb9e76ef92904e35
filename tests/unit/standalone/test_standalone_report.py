"""The report's numbers, on a small story worked by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.references.v1 import references_pb2 as refs
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.events import open_event_log
from radloop.imaging import Volume, write_nifti
from radloop.messages import Record
from standalone.demo import publishing, tables
from standalone.demo.answers import ReadingOf, planted_error
from standalone.demo.estimates import Estimate, by_patient, estimate
from standalone.demo.facts import Facts
from standalone.demo.report import Report, RoundRow, make_report, mined_minus_control, pool_of_round

SEGMENTS = {1: "anterior", 2: "posterior"}
PROJECT = "hippocampus"
ERRORS = {"seed": 1, "error_share": 0.5}


def expert(case_id: str) -> np.ndarray:
    """Ten voxels of each segment, whatever the case."""
    mask = np.zeros((4, 5, 2), dtype=np.uint8)
    mask[:2, :, 0], mask[2:, :, 0] = 1, 2
    return mask


def predicted(case_id: str) -> np.ndarray:
    """Case number n misses n voxels of segment 1: Dice 2(10-n)/(20-n) for it, 1 for segment 2."""
    mask = expert(case_id).copy()
    ones = np.argwhere(mask == 1)
    for place in ones[: int(case_id.removeprefix("case-"))]:
        mask[tuple(place)] = 0
    return mask


def story() -> list[tuple[str, str, Any]]:
    """Ten training cases, of which case-0 is labelled; a round flags two mined cases and a control case."""
    events: list[tuple[str, str, Any]] = []
    for n in range(10):
        case = ingest_pb2.Case(case_id=f"case-{n}")
        study = ingest_pb2.StudyIngested(
            study_key=f"s{n}", project_id=PROJECT, patient_key=f"p{n}", split=refs.SPLIT_TRAIN, cases=[case]
        )
        events.append(("study-ingested", f"s{n}", study))
    test = ingest_pb2.StudyIngested(
        study_key="t", project_id=PROJECT, split=refs.SPLIT_TEST, cases=[ingest_pb2.Case(case_id="case-test")]
    )
    events.append(("study-ingested", "t", test))
    other = ingest_pb2.StudyIngested(
        study_key="o", project_id="other", split=refs.SPLIT_TRAIN, cases=[ingest_pb2.Case(case_id="case-other")]
    )
    events.append(("study-ingested", "o", other))
    events.append(approved("case-0", "", round_id=""))
    events.append(trained(1, "sha256:aa", {"pa": (0.5, 0.7), "pb": (0.7, 0.9)}, patients=1))
    events.append(deployed("sha256:aa", "sha256:aa", inference_pb2.DEPLOYMENT_SERVING, 1))
    for n in range(1, 10):
        made = inference_pb2.PredictionMade(
            case_id=f"case-{n}",
            study_key=f"s{n}",
            project_id=PROJECT,
            model_digest="sha256:aa",
            mask=refs.ObjectRef(key=f"case-{n}"),
        )
        events.append(("prediction-made", f"s{n}", made))
    for rank, (n, arm) in enumerate(((9, refs.ARM_MINED), (5, refs.ARM_MINED), (1, refs.ARM_CONTROL)), start=1):
        flag = edge_miner_pb2.EdgeCaseFlagged(
            round_id="r1",
            round_number=1,
            case_id=f"case-{n}",
            study_key=f"s{n}",
            project_id=PROJECT,
            arm=arm,
            rank=rank,
            batch_size=3,
            pool_size=9,
            model_digest="sha256:aa",
        )
        events.append(("edge-case-flagged", f"s{n}", flag))
    for n, first, second in ((9, 0.2, 1.0), (5, 0.6, 1.0), (1, 0.9, 0.8)):
        events.append(submitted(f"case-{n}", f"v{n}-1"))
        events.append(approved(f"case-{n}", f"task-{n}", round_id="r1", dice=(first, second)))
    events.append(trained(2, "sha256:bb", {"pa": (0.7, 0.9), "pb": (0.9, 0.9)}, patients=4))
    events.append(deployed("sha256:aa", "sha256:bb", inference_pb2.DEPLOYMENT_KEPT, 2))
    return events


def approved(case_id: str, task_id: str, *, round_id: str, dice: tuple[float, ...] = ()) -> tuple[str, str, Any]:
    scores = [refs.Score(name=f"dice-segment-{n}", value=value) for n, value in enumerate(dice, start=1)]
    event = qa_pb2.LabelApproved(
        case_id=case_id,
        study_key=case_id,
        project_id=PROJECT,
        label_version_id=f"{case_id}-approved",
        task_id=task_id,
        round_id=round_id,
        prediction_dice=scores,
        sequence=1,
    )
    return "label-approved", case_id, event


def submitted(case_id: str, version: str, attempt: int = 1) -> tuple[str, str, Any]:
    event = labeling_pb2.LabelSubmitted(
        label_version_id=version,
        case_id=case_id,
        study_key=case_id,
        project_id=PROJECT,
        source=labeling_pb2.LABEL_SOURCE_READER,
        reading=labeling_pb2.READING_FIRST,
        attempt=attempt,
    )
    return "label-submitted", case_id, event


def trained(run: int, digest: str, dice: dict[str, tuple[float, float]], *, patients: int) -> tuple[str, str, Any]:
    entries = [
        refs.CaseDice(case_id=f"c-{patient}", patient_key=patient, segment=segment, dice=value)
        for patient, values in dice.items()
        for segment, value in enumerate(values, start=1)
    ]
    event = trainer_pb2.ModelTrained(
        model_name=PROJECT,
        model_digest=digest,
        project_id=PROJECT,
        run_number=run,
        train_patient_count=patients,
        test_dice=entries,
    )
    return "model-trained", PROJECT, event


def deployed(serving: str, candidate: str, outcome: int, sequence: int) -> tuple[str, str, Any]:
    event = inference_pb2.ModelDeployed(
        model_name=PROJECT,
        project_id=PROJECT,
        serving_digest=serving,
        candidate_digest=candidate,
        outcome=outcome,
        sequence=sequence,
    )
    return "model-deployed", PROJECT, event


def facts_of(tmp_path: Path, events: list[tuple[str, str, Any]]) -> Facts:
    log = open_event_log(f"sqlite:///{tmp_path / 'events.db'}")
    log.append([Record(topic, key, event.SerializeToString(), {}) for topic, key, event in events])
    facts = Facts(PROJECT)
    assert facts.look(log) == len(events)
    assert facts.look(log) == 0
    log.close()
    return facts


@pytest.fixture
def report(tmp_path: Path) -> Report:
    facts = facts_of(tmp_path, story())
    return make_report(
        facts,
        lambda ref: write_nifti(Volume(predicted(ref.key), np.eye(4))),
        expert,
        segments=SEGMENTS,
        said="phantoms",
        attribution="none",
        **ERRORS,
    )


def test_an_estimate_has_students_interval() -> None:
    # Three values 1, 2, 3: standard error 1/sqrt(3), t(0.975, 2 degrees of freedom) = 4.30265.
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.upper - found.mean == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert math.isnan(estimate([1.0]).lower)
    assert math.isnan(estimate([]).mean)


def test_both_sides_of_a_head_count_once() -> None:
    entries = [
        refs.CaseDice(case_id="a", patient_key="p", segment=1, dice=0.4),
        refs.CaseDice(case_id="b", patient_key="p", segment=1, dice=0.8),
        refs.CaseDice(case_id="c", patient_key="q", segment=1, dice=1.0),
    ]
    assert by_patient(entries, 1) == pytest.approx([0.6, 1.0])


def test_models_are_measured_on_the_test_patients(report: Report) -> None:
    first, second = report.models
    assert (first.number, first.labelled_patients, first.outcome) == (0, 1, "serving")
    assert first.dice["anterior"].mean == pytest.approx(0.6)
    assert first.dice["posterior"].mean == pytest.approx(0.8)
    assert first.mean_dice.mean == pytest.approx(0.7)
    assert (second.number, second.outcome) == (1, "kept")


def test_the_serving_model_is_what_the_last_deployment_says(report: Report) -> None:
    assert report.serving is not None
    assert report.serving.model_digest == "sha256:aa"
    assert "Dice 0.700" in tables.headline(report)


def test_a_rounds_pool_leaves_out_what_was_labelled_before_it(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, story())
    assert pool_of_round(facts, 1) == [f"case-{n}" for n in range(1, 10)]
    assert pool_of_round(facts, 2) == [f"case-{n}" for n in (2, 3, 4, 6, 7, 8)]


def test_the_worst_decile_is_counted_against_the_expert_masks(report: Report) -> None:
    (row,) = report.rounds
    assert (row.pool, row.batch) == (9, 3)
    # Of nine cases the worst decile is one: case-9, which was flagged. A random batch finds it 3 times in 9.
    assert (row.worst_count, row.worst_flagged) == (1, 1)
    assert row.by_chance == pytest.approx(1 / 3)


def test_the_arms_are_compared_by_the_dice_the_approvals_tell(report: Report) -> None:
    (row,) = report.rounds
    assert (row.mined.mean, row.mined.count) == (pytest.approx(0.7), 2)
    assert (row.control.mean, row.control.count) == (pytest.approx(0.85), 1)
    assert row.mined_dice == pytest.approx((0.6, 0.8))
    assert "0.150 lower on mined than on control cases (2 and 1 cases)" in tables.arms_line(report)
    assert "not yet knowledge" in tables.arms_line(report)


def test_differences_are_pooled_within_rounds() -> None:
    def row(mined: tuple[float, int], control: tuple[float, int]) -> RoundRow:
        arms = [Estimate(mean, math.nan, math.nan, count) for mean, count in (mined, control)]
        return RoundRow(1, 10, 4, arms[0], arms[1], (), (), 1, 1, 0.4)

    # Differences -0.2 with weight 6*2/8 = 1.5 and -0.1 with weight 1*1/2 = 0.5; a round without controls says nothing.
    rounds = [row((0.6, 6), (0.8, 2)), row((0.8, 1), (0.9, 1)), row((0.1, 3), (math.nan, 0))]
    assert mined_minus_control(rounds) == pytest.approx(-0.35 / 2)
    assert math.isnan(mined_minus_control(rounds[2:]))


def test_quality_control_is_judged_by_which_submissions_were_wrong_on_purpose(tmp_path: Path) -> None:
    readings = [ReadingOf(f"case-{n}", "first", 1) for n in range(20)]
    wrong = [r.case_id for r in readings if planted_error(1, 0.5, r)]
    right = [r.case_id for r in readings if not planted_error(1, 0.5, r)]
    events = [submitted(case_id, f"{case_id}-1") for case_id in wrong + right]
    for case_id in [*wrong[1:], right[0]]:
        event = qa_pb2.LabelReturned(
            label_version_id=f"{case_id}-1", case_id=case_id, study_key=case_id, project_id=PROJECT
        )
        events += [("label-returned", case_id, event), submitted(case_id, f"{case_id}-2", attempt=2)]
    facts = facts_of(tmp_path, events)
    quality = make_report(facts, bytes, expert, segments=SEGMENTS, said="", attribution="", **ERRORS).quality
    assert (quality.errors, quality.errors_returned) == (len(wrong), len(wrong) - 1)
    # The corrections are clean labels too.
    assert (quality.clean, quality.clean_returned) == (len(right) + len(wrong), 1)
    assert sum(planted for planted, _ in quality.errors_by_kind.values()) == len(wrong)


def test_the_report_is_written_as_text_json_plots_and_one_page(report: Report, tmp_path: Path) -> None:
    publishing.write_report(report, tmp_path / "report")
    names = {file.name for file in (tmp_path / "report").iterdir()}
    assert {"report.txt", "report.json", "index.html", "learning-curve.png"} <= names
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert 'src="http' not in page
    stored = json.loads((tmp_path / "report" / "report.json").read_text())
    assert stored["rounds"][0]["control"]["lower"] is None
    assert stored["models"][0]["mean_dice"]["mean"] == pytest.approx(0.7)


def test_a_report_without_any_model_is_still_a_report(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, [])
    empty = make_report(facts, bytes, expert, segments=SEGMENTS, said="x", attribution="", **ERRORS)
    publishing.write_report(empty, tmp_path / "report")
    assert tables.headline(empty) == "No model serves."


def test_numbers_are_written_with_their_interval() -> None:
    assert tables.written(Estimate(0.8534, 0.84, 0.866, 30)) == "0.853 (0.840-0.866)"
    assert tables.written(Estimate(0.8534, math.nan, math.nan, 1)) == "0.853"
    assert tables.written(Estimate(math.nan, math.nan, math.nan, 0)) == "-"


def test_the_tables_print_every_row(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_report(report, Console(width=160))
    printed = capsys.readouterr().out
    assert "not better, not taken" in printed
    assert "1 of 1" in printed
