"""When a run starts: a table of situations."""

import dataclasses

import pytest

from trainer.domain.messages import TrainingPolicy
from trainer.domain.policy import Situation, is_due

POLICY = TrainingPolicy(
    new_labels=10,
    min_validation_labels=4,
    quiet_s=600,
    initial_steps=100,
    update_steps=50,
    edge_case_weight=3.0,
    members=1,
    seed=7,
    spacing_mm=(),
    patch=(16, 16, 16),
    max_runs=5,
)
CALM = Situation(
    unfinished=False,
    runs=1,
    train_labels=40,
    validation_labels=4,
    new_labels=0,
    since_last_s=0.0,
    requested=False,
)


@pytest.mark.parametrize(
    ("why", "situation", "policy", "due"),
    [
        ("nothing new", {}, {}, False),
        ("one label short", {"new_labels": 9}, {}, False),
        ("enough new labels", {"new_labels": 10}, {}, True),
        ("more than enough", {"new_labels": 11}, {}, True),
        ("the very first run", {"runs": 0, "new_labels": 10, "train_labels": 10}, {}, True),
        ("enough, one validation label short", {"new_labels": 10, "validation_labels": 3}, {}, False),
        (
            "no validation labels asked for",
            {"new_labels": 10, "validation_labels": 0},
            {"min_validation_labels": 0},
            True,
        ),
        ("a run is on", {"new_labels": 10, "unfinished": True}, {}, False),
        ("few, but quiet long enough", {"new_labels": 1, "since_last_s": 600.0}, {}, True),
        ("few, and not quiet long enough", {"new_labels": 1, "since_last_s": 599.9}, {}, False),
        ("quiet with nothing new", {"new_labels": 0, "since_last_s": 9e9}, {}, False),
        ("quiet switched off", {"new_labels": 1, "since_last_s": 9e9}, {"quiet_s": 0}, False),
        ("quiet, validation short", {"new_labels": 1, "since_last_s": 600.0, "validation_labels": 3}, {}, False),
        ("the last run allowed", {"new_labels": 10, "runs": 4}, {}, True),
        ("no more runs allowed", {"new_labels": 10, "runs": 5}, {}, False),
        ("runs without end", {"new_labels": 10, "runs": 5000}, {"max_runs": 0}, True),
        ("asked for", {"requested": True}, {}, True),
        ("asked for, beyond max_runs", {"requested": True, "runs": 5}, {}, True),
        ("asked for, validation short", {"requested": True, "validation_labels": 0}, {}, True),
        ("asked for while a run is on", {"requested": True, "unfinished": True}, {}, False),
        ("asked for with nothing to train on", {"requested": True, "train_labels": 0}, {}, False),
        ("no training labels at all", {"train_labels": 0, "validation_labels": 9}, {"new_labels": 0}, False),
    ],
)
def test_a_run_is_due(why: str, situation: dict, policy: dict, due: bool) -> None:
    assert is_due(dataclasses.replace(CALM, **situation), dataclasses.replace(POLICY, **policy)) is due, why
