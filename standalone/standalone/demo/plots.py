"""The report as pictures, PNG, drawn without a display."""

import io
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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


def _drawn(report: Report, draw: Callable[[Report, Axes], None]) -> bytes:
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
    for number, ((name, values), color) in enumerate(zip(lines, (*COLORS, *COLORS), strict=False)):
        # A little apart, so that intervals do not cover one another.
        x = [model.labelled_patients + 0.25 * (number - len(lines) // 2) for model in report.models]
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
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _mined_against_control(report: Report, axes: Axes) -> None:
    axes.set_title("Dice of the prediction before correction, case by case; lines are means", loc="left", fontsize=10)
    axes.set_xlabel("round")
    for offset, name, color in ((-0.15, "mined", COLORS[0]), (0.15, "control", COLORS[1])):
        points = [(row.number + offset, value) for row in report.rounds for value in getattr(row, f"{name}_dice")]
        label = f"{name}, {len(points)} cases"
        axes.plot([x for x, _ in points], [y for _, y in points], "o", color=color, alpha=0.7, label=label)
        for row in report.rounds:
            middle = row.number + offset
            axes.hlines(getattr(row, name).mean, middle - 0.1, middle + 0.1, color=color, linewidth=2)
    axes.set_xticks([row.number for row in report.rounds])
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


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
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


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
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="x", labelsize=8)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
