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

INSTRUCTIONS = """# Hippocampus: anterior and posterior part

Mark the two parts of **one** hippocampus on a T1-weighted MR image that is cut out around it.

1. **anterior**: the head. It begins in front, below the amygdala; leave the amygdala out.
2. **posterior**: body and tail, back to where the tail curves upwards beside the splenium.
3. The two meet in a coronal plane: the last slice, from front to back, in which the uncus can be seen belongs to the
   anterior part. There is no gap between them.

Grey matter of the hippocampus proper and the subiculum belongs to it. White matter (alveus, fimbria), cerebrospinal fluid
of the temporal horn and the parahippocampal gyrus do not.

- Work in coronal slices, then look at the result in sagittal ones: the outline must be smooth in both.
- Both parts are always there. If one is cut off by the edge of the image, mark what can be seen.
- No islands and no holes: each part is one piece.
- If motion or noise hides the border on more than three slices, skip the case as *image quality*.
- What looks wrong or rare (a lesion, surgery, a cyst larger than 3 mm): finish the case, and report it.
"""


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
        "reading": {
            "second_reading_share": SECOND_READING_SHARE,
            "agreement_threshold": 0.8,
            "lease_s": 120,
            "instructions": INSTRUCTIONS,
        },
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
