"""The projects of the browser tests, as a project lead would set them up."""

import json
from pathlib import Path
from typing import Any

_EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "project.json"

READER, SECOND, REVIEWER, LEAD = "anna", "ben", "carla", "dora"

INSTRUCTIONS = """# Hippocampus, two parts

1. Contour the **anterior** part first, then the posterior part.
2. The border between them is the last slice on which the uncus is seen.
3. Leave the fimbria out.
"""


def project(
    *, modality: str, description: str, segments: tuple[tuple[str, str], ...], lease_s: int = 120, **changes: Any
) -> dict[str, Any]:
    """Build the body of ``PUT /v1/projects/<id>``: one reader, a second, a reviewer and a lead.

    Parameters
    ----------
    modality, description
        What is routed to it.
    segments
        Name and colour; values count from 1.
    lease_s
        How long a lease lasts without renewal, in seconds.
    changes
        Parts of the body that differ.
    """
    body: dict[str, Any] = json.loads(_EXAMPLE.read_text())
    model = body["segments"][0]
    body["segments"] = [
        {**model, "value": value, "name": name, "color": color, "always_present": False}
        for value, (name, color) in enumerate(segments, start=1)
    ]
    body["routing"] = [
        {"called_ae_title": "", "modality": modality, "body_part": "", "description_contains": description}
    ]
    body["split"] = {"validation_fraction": 0.0, "test_fraction": 0.0}
    # Nothing is mined and nothing trained here: the tests say what is flagged.
    body["selection"] |= {"cold_start": False}
    body["reading"] = {"second_reading_share": 0.0, "agreement_threshold": 0.8, "lease_s": lease_s}
    return body | changes
