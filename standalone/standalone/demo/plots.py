"""The report as pictures, PNG, drawn without a display."""

import io
import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from standalone.demo.report import Report

COLORS = ("#d95f0e", "#2b6cb0", "#4a5568")
_SIZE = (7.2, 4.0)


def draw_all(report: Report) -> dict[str, bytes]:
    """Draw every plot; return PNG bytes by file name."""
    return {
        "learning-curve.png": _drawn(report, _learning_curve),
        "mined-against-control.png": _drawn(report, _mined_against_control),
        "worst-decile.png": _drawn(report, _worst_decile),
        "quality-control.png": _drawn(report, _quality),
    }


def _drawn(report: Report, draw: object) -> bytes:
    figure = Figure(figsize=_SIZE, dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e2e8f0")
    axes.set_axisbelow(True)
    draw(report, axes)
    figure.supxlabel(report.attribution, fontsize=6, color="#718096")
    buffer = io.BytesIO()
    # No software and no date in the file: the same report gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _learning_curve(report: Report, axes: Axes) -> None:
    axes.set_title("Dice on the test patients, 95 % interval", loc="left")
    axes.set_xlabel("labelled patients")
    lines = [
        (name, [model.dice[name] for model in report.models])
        for name in (report.models[0].dice if report.models else [])
    ]
    lines.append(("mean", [model.mean_dice for model in report.models]))
    x = [model.labelled_patients for model in report.models]
    for (name, values), color in zip(lines, (*COLORS, *COLORS), strict=False):
        errors = [[value.mean - value.lower for value in values], [value.upper - value.mean for value in values]]
        style = {"linewidth": 2.2} if name == "mean" else {"linewidth": 1.2, "linestyle": "--"}
        axes.errorbar(
            x, [value.mean for value in values], yerr=errors, color=color, marker="o", capsize=3, label=name, **style
        )
    for model in report.models:
        if model.outcome == "kept":
            axes.annotate(
                "not taken",
                (model.labelled_patients, model.mean_dice.mean),
                xytext=(4, -12),
                textcoords="offset points",
                fontsize=7,
            )
    axes.legend(frameon=False, loc="lower right")


def _mined_against_control(report: Report, axes: Axes) -> None:
    axes.set_title(
        "Dice of the prediction before correction: mined cases against the control arm", loc="left", fontsize=10
    )
    axes.set_xlabel("round")
    for offset, name, color in ((-0.12, "mined", COLORS[0]), (0.12, "control", COLORS[1])):
        rows = [(row.number, getattr(row, name)) for row in report.rounds if not math.isnan(getattr(row, name).mean)]
        x = [number + offset for number, _ in rows]
        mean = [value.mean for _, value in rows]
        errors = [
            [0 if math.isnan(value.lower) else value.mean - value.lower for _, value in rows],
            [0 if math.isnan(value.upper) else min(value.upper, 1) - value.mean for _, value in rows],
        ]
        label = f"{name}, n {sum(value.count for _, value in rows)}"
        axes.errorbar(x, mean, yerr=errors, fmt="o", color=color, capsize=4, label=label)
    axes.set_xticks([row.number for row in report.rounds])
    axes.legend(frameon=False, loc="best")


def _worst_decile(report: Report, axes: Axes) -> None:
    axes.set_title("Cases of the pool's worst decile that were flagged", loc="left")
    axes.set_xlabel("round")
    x = [row.number for row in report.rounds]
    axes.bar(x, [row.worst_count for row in report.rounds], width=0.5, color="#edf2f7", label="in the worst decile")
    axes.bar(x, [row.worst_flagged for row in report.rounds], width=0.5, color=COLORS[0], label="flagged")
    for row in report.rounds:
        axes.hlines(row.by_chance, row.number - 0.25, row.number + 0.25, color=COLORS[1], linewidth=2)
    axes.plot([], [], color=COLORS[1], linewidth=2, label="by chance (batch / pool)")
    axes.set_xticks(x)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, loc="best")


def _quality(report: Report, axes: Axes) -> None:
    axes.set_title("What quality control returned", loc="left")
    quality = report.quality
    bars = [("clean labels", quality.clean, quality.clean_returned)]
    bars += [
        (kind.replace("-", "\n"), planted, returned) for kind, (planted, returned) in quality.errors_by_kind.items()
    ]
    names = [name for name, _, _ in bars]
    axes.bar(names, [total for _, total, _ in bars], color="#edf2f7", label="submitted")
    axes.bar(names, [returned for _, _, returned in bars], color=COLORS[0], label="returned")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis="x", labelsize=8)
    axes.legend(frameon=False, loc="best")
