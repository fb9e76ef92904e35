"""Dice of a bundle on cases, by the very program that will serve it.

Our own bundles ask to run in bfloat16 where the processor multiplies it in hardware: four times as fast, and against float32
the Dice differs in the fourth decimal (docs/services/trainer.md). A brought bundle runs as it is.
"""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from bundle_runner.bundle import Bundle, open_bundle
from bundle_runner.errors import BundleError, NotFinite, ProgramRaised, UnsuitableImage
from bundle_runner.output import discarded_output
from bundle_runner.predict import PredictionSettings, predict
from radloop.imaging import SEGMENT_BITS, dice
from training_job.cases import Case
from training_job.errors import BadPlan

Rows = list[dict[str, Any]]


def evaluate(
    bundle_file: Path,
    cases: Iterable[Case],
    values: Iterable[int],
    done: Callable[[], None],
    device: torch.device | str = "cpu",
) -> Rows:
    """Measure a bundle.

    Parameters
    ----------
    bundle_file : pathlib.Path
        Zip of the bundle.
    cases : iterable of Case
    values : iterable of int
        Segments to measure; those nobody looked for in a case are left out there.
    done : callable
        Called after each case.
    device : torch.device or str
        Where to predict.

    Returns
    -------
    list of dict
        ``{"case_id", "segment", "dice"}``, in the order of the cases; dice in 0..1, 1 when both masks are empty.

    Raises
    ------
    BadPlan
        The bundle cannot be opened, or cannot predict on a case.
    """
    rows: Rows = []
    bundle: Bundle | None = None
    try:
        with discarded_output():
            bundle = open_bundle(bundle_file, device)
        for case in cases:
            with discarded_output():
                settings = PredictionSettings(segment_bits=case.label.dtype == SEGMENT_BITS)
                mask = predict(bundle, case.image, case.affine, seed=0, settings=settings).mask.numpy()
            rows += [
                {"case_id": case.item.case_id, "segment": value, "dice": dice(mask, case.label, value)}
                for value in values
                if case.item.states.get(value) != "not-annotated"
            ]
            done()
    except (BundleError, NotFinite, ProgramRaised, UnsuitableImage, zipfile.BadZipFile) as error:
        raise BadPlan(f"a bundle cannot be evaluated: {type(error).__name__}") from error
    finally:
        if bundle is not None:
            bundle.close()
    return rows
