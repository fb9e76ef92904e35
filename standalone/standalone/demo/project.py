"""The demo's project, as a project lead would set one up: the file behind ``radloop project apply``."""

from typing import Any

from standalone.demo.state import PROJECT_ID, READERS, REVIEWER, Choices

# Measured on two cores, see services/trainer/README.md: what fits into ten minutes and is well above chance.
INITIAL_STEPS = 300
UPDATE_STEPS = 200
PATCH = (32, 48, 32)
MEMBERS = 1
SECOND_READING_SHARE = 0.25

SEGMENTS = ((1, "anterior", "#e6550d"), (2, "posterior", "#3182bd"))
# DICOM PS3.16: the parts of the hippocampus have the code of the whole; their names tell them apart.
_TYPE = {"value": "5366008", "scheme": "SCT", "meaning": "Hippocampus"}
_CATEGORY = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}


def project_of(choices: Choices, *, validation_cases: int, pool_cases: int) -> dict[str, Any]:
    """Build the body of ``PUT /v1/projects/hippocampus``.

    Parameters
    ----------
    choices
        The demo's options.
    validation_cases
        Labels that must be approved before the first training: all of them, so that every model is compared on the same.
    pool_cases
        Cases in the pool; each round predicts on all of them.
    """
    return {
        "model_name": PROJECT_ID,
        "segments": [
            {
                "value": value,
                "name": name,
                "color": color,
                "type": _TYPE,
                "category": _CATEGORY,
                "always_present": True,
            }
            for value, name, color in SEGMENTS
        ],
        "overlapping_segments": False,
        "routing": [{"called_ae_title": "", "modality": "MR", "body_part": "", "description_contains": "hippocampus"}],
        # The demo imports the list of its patients; whoever else comes may be mined.
        "split": {"validation_fraction": 0.0, "test_fraction": 0.0},
        "phases": "split",
        "selection": {
            "strategy": "entropy-and-sanity",
            "pool_sample": pool_cases,
            "batch_size": choices.batch,
            "control_fraction": 0.25,
            "cold_start": False,
            "max_rounds": choices.rounds,
            "seed": choices.seed,
        },
        "reading": {"second_reading_share": SECOND_READING_SHARE, "agreement_threshold": 0.8, "lease_s": 120},
        "training": {
            "new_labels": choices.batch,
            "min_validation_labels": validation_cases,
            # Never with fewer labels than a whole round: after an interruption, time has passed that nobody used.
            "quiet_s": 0,
            "initial_steps": choices.initial_steps or INITIAL_STEPS,
            "update_steps": choices.update_steps or UPDATE_STEPS,
            "edge_case_weight": 2.0,
            "members": MEMBERS,
            "seed": choices.seed,
            "spacing_mm": [],
            "patch": list(PATCH),
            "max_runs": choices.rounds + 1,
        },
        "promotion": {"mode": "automatic", "margin": -0.01, "segment_loss_bound": 0.03},
        "members": [
            *({"subject": reader, "role": "reader"} for reader in READERS),
            {"subject": REVIEWER, "role": "reviewer"},
        ],
    }
