"""Writes the report into its folder: text, JSON, plots, one page."""

import io
from pathlib import Path

from rich.console import Console

from standalone.demo.page import make_page
from standalone.demo.plots import draw_all
from standalone.demo.report import Report
from standalone.demo.tables import print_report, write_json

_WIDTH = 150


def write_report(report: Report, folder: Path) -> None:
    """Write everything; the text comes last, and where it stands the report is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = draw_all(report)
    for name, data in plots.items():
        (folder / name).write_bytes(data)
    (folder / "index.html").write_text(make_page(report, plots))
    write_json(report, folder / "report.json")
    text = io.StringIO()
    print_report(report, Console(file=text, width=_WIDTH, highlight=False))
    unfinished = folder / "report.txt.new"
    unfinished.write_text(text.getvalue())
    unfinished.rename(folder / "report.txt")
