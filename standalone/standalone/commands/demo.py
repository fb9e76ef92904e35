"""``demo``: the whole loop, by itself."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from standalone.setup import Engines


class CohortChoice(StrEnum):
    """Which images the demo runs on."""

    AUTO = "auto"
    REAL = "real"
    PHANTOM = "phantom"


def demo(
    data: Annotated[Path, typer.Option("--data", help="Folder of the demo's own platform.", file_okay=False)] = Path(
        ".radloop/demo"
    ),
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.", min=0)] = 1,
    rounds: Annotated[int, typer.Option(help="Rounds of mining, reading and training.", min=1, max=20)] = 3,
    batch: Annotated[int, typer.Option(help="Cases put before readers in a round.", min=3, max=100)] = 8,
    start: Annotated[int, typer.Option(help="Patients labelled at the start.", min=2)] = 8,
    patients: Annotated[int, typer.Option(help="Patients in the pool the cases are mined from.", min=4)] = 60,
    test: Annotated[int, typer.Option(help="Patients whose labels only ever measure.", min=2)] = 30,
    validation: Annotated[int, typer.Option(help="Patients whose labels decide which model serves.", min=2)] = 12,
    initial_steps: Annotated[int, typer.Option(help="Training steps of the first model.", min=0, hidden=True)] = 0,
    update_steps: Annotated[int, typer.Option(help="Training steps of every further one.", min=0, hidden=True)] = 0,
    error_share: Annotated[
        float, typer.Option(help="Share of readings that are grossly wrong on purpose.", min=0, max=1)
    ] = 0.15,
    cohort: Annotated[
        CohortChoice, typer.Option(help="auto: real images where there are any, else phantoms.")
    ] = CohortChoice.AUTO,
    engines: Annotated[
        Engines,
        typer.Option(help="embedded: SQLite and a folder. real: Kafka, PostgreSQL and S3, started in the folder."),
    ] = Engines.EMBEDDED,
    port: Annotated[int, typer.Option(help="Port of the one door; 0 for any free one.", min=0, max=65535)] = 0,
) -> None:
    """Run the whole loop and watch a model get better from corrected edge cases.

    Images are sent as DICOM by C-STORE, a first model is trained, then each round predicts on the pool, finds the cases
    worth reading, gives them to simulated readers, checks their labels, trains and compares. It ends with a table, plots
    and a page. About ten minutes on two cores. Ctrl-C at any moment; the same line again goes on where it was.

    Example:

        radloop demo

        radloop demo --data /tmp/small --patients 12 --test 6 --validation 4 --start 4 --rounds 1 --batch 4
    """
    import os

    from standalone.demo.run import run_demo
    from standalone.demo.state import Choices

    choices = Choices(
        seed=seed,
        rounds=rounds,
        batch=batch,
        start=start,
        pool=patients,
        test=test,
        validation=validation,
        initial_steps=initial_steps,
        update_steps=update_steps,
        error_share=error_share,
        cohort=cohort.value,
    )
    run_demo(data, choices, port=port, environment=os.environ, engines=engines)
