"""The report as tables in a terminal and as a file for programs."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from standalone.demo.estimates import Estimate
from standalone.demo.report import Report, mined_minus_control


def written(value: Estimate, *, interval: bool = True) -> str:
    """Write an estimate as people read it: ``0.853 (0.844-0.862)``."""
    if math.isnan(value.mean):
        return "-"
    if not interval or math.isnan(value.lower):
        return f"{value.mean:.3f}"
    return f"{value.mean:.3f} ({value.lower:.3f}-{value.upper:.3f})"


def model_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of models."""
    names = list(report.models[0].dice) if report.models else []
    tests = report.models[0].mean_dice.count if report.models else 0
    header = [
        "round",
        "labelled patients",
        *(f"Dice {name}" for name in names),
        f"mean of {tests} test patients",
        "model",
    ]
    words = {
        "serving": "served",
        "kept": "not better, not taken",
        "load-failed": "could not be loaded",
        "": "undecided",
    }
    rows = [
        [
            str(model.number) if model.number else "start",
            str(model.labelled_patients),
            *(written(model.dice[name]) for name in names),
            written(model.mean_dice),
            words.get(model.outcome, model.outcome),
        ]
        for model in report.models
    ]
    return header, rows


def round_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of rounds."""
    header = [
        "round",
        "batch of pool",
        "mined: Dice before correction (cases)",
        "control arm (cases)",
        "worst decile flagged",
        "by chance",
    ]
    rows = [
        [
            str(row.number),
            f"{row.batch} of {row.pool}",
            f"{written(row.mined, interval=False)} ({row.mined.count})",
            f"{written(row.control, interval=False)} ({row.control.count})",
            f"{row.worst_flagged} of {row.worst_count}",
            f"{row.by_chance:.1f}",
        ]
        for row in report.rounds
    ]
    return header, rows


# Below this many control cases an interval of usual width holds both signs.
CONTROLS_TO_KNOW = 20


def arms_line(report: Report) -> str:
    """Return the sentence about mined cases against the control arm."""
    difference = mined_minus_control(report.rounds)
    if math.isnan(difference):
        return "Mined cases cannot be compared with the control arm yet."
    mined = sum(row.mined.count for row in report.rounds)
    control = sum(row.control.count for row in report.rounds)
    line = (
        f"Over all rounds the model's Dice before correction was {abs(difference):.3f} "
        f"{'lower' if difference < 0 else 'higher'} on mined than on control cases ({mined} and {control} cases)"
    )
    if control < CONTROLS_TO_KNOW:
        line += f"; below {CONTROLS_TO_KNOW} control cases that is not yet knowledge"
    return line + "."


def worst_line(report: Report) -> str:
    """Return the sentence about the worst decile."""
    flagged, worst = (sum(getattr(row, name) for row in report.rounds) for name in ("worst_flagged", "worst_count"))
    chance = sum(row.by_chance for row in report.rounds)
    return f"Of the worst decile of the pools, {flagged} of {worst} cases were flagged; random batches would flag {chance:.1f}."


def quality_lines(report: Report) -> list[str]:
    """Return the sentences about quality control."""
    quality = report.quality
    lines = [
        f"Quality control returned {quality.errors_returned} of {quality.errors} gross errors planted and "
        f"{quality.clean_returned} of {quality.clean} clean labels; "
        f"{quality.second_readings} second readings, {quality.adjudications} adjudications."
    ]
    if quality.errors_by_kind:
        kinds = (f"{kind} {returned}/{planted}" for kind, (planted, returned) in quality.errors_by_kind.items())
        lines.append(f"By kind (returned/planted): {', '.join(kinds)}.")
    return lines


def headline(report: Report) -> str:
    """Return the sentence that sums the demo up."""
    if report.serving is None or not report.models:
        return "No model serves."
    first, last = report.models[0], report.serving
    return (
        f"The model that serves reaches Dice {written(last.mean_dice)} on {last.mean_dice.count} test patients "
        f"with {last.labelled_patients} labelled patients; the first one had {written(first.mean_dice, interval=False)} "
        f"with {first.labelled_patients}."
    )


def print_report(report: Report, out: Console) -> None:
    """Print all tables."""
    for title, (header, rows) in (
        ("Models, on the test patients (Dice, 95 % interval over patients)", model_cells(report)),
        ("Rounds", round_cells(report)),
    ):
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
        )
        for column in header:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        out.print()
        out.print(table)
    out.print()
    for line in (arms_line(report), worst_line(report), *quality_lines(report), headline(report)):
        out.print(line)


def write_json(report: Report, file: Path) -> None:
    """Write all numbers for programs; NaN, which JSON has not, is null."""
    file.write_text(json.dumps(plain(asdict(report)), indent=2) + "\n")


def plain(value: Any) -> Any:
    """Turn nested values into what JSON has: tuples into lists, NaN into None."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
