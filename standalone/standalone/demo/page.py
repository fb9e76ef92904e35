"""The report as one page that needs no other file: tables and plots inside."""

import base64
from collections.abc import Mapping
from html import escape

from standalone.demo.report import Report
from standalone.demo.tables import arms_line, headline, model_cells, quality_lines, round_cells, worst_line

_STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 2rem auto; max-width: 72rem;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .35rem 1rem .35rem 0; border-bottom: 1px solid #d8dee6; white-space: nowrap; }
img { max-width: 100%; height: auto; } .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr));
gap: 1rem; } footer { margin-top: 2rem; color: #5a6675; font-size: .9rem; } .headline { font-size: 1.15rem; }
@media (max-width: 30rem) { .plots { grid-template-columns: 1fr; } }
"""

ALTERNATIVES = {
    "learning-curve.png": "Dice on the test patients by number of labelled patients",
    "mined-against-control.png": "Dice before correction of mined cases and of the control arm by round",
    "worst-decile.png": "Cases of the worst decile that were flagged by round",
    "quality-control.png": "Labels submitted and returned by kind of error",
}


def make_page(report: Report, plots: Mapping[str, bytes]) -> str:
    """Write the page.

    Parameters
    ----------
    report
        All numbers.
    plots
        PNG bytes by file name.
    """
    pictures = "".join(
        f'<img alt="{escape(ALTERNATIVES[name])}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        for name, data in plots.items()
    )
    quality = "".join(f"<p>{escape(line)}</p>" for line in quality_lines(report))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>radloop: what the demo brought</title><style>{_STYLE}</style></head><body>"
        f"<h1>What the demo brought</h1><p class=headline>{escape(headline(report))}</p>"
        f"<p>{escape(report.said[:1].upper() + report.said[1:])}; seed {report.seed}.</p>"
        f"<h2>Models, on the test patients</h2>{_table(*model_cells(report))}"
        f"<h2>Rounds</h2>{_table(*round_cells(report))}"
        f"<p>{escape(arms_line(report))} {escape(worst_line(report))}</p>"
        "<p>The control arm is drawn at random from the whole pool before mining and read without the model's mask; only it "
        "says how the model does on the pool.</p>"
        f"<h2>Quality control</h2>{quality}"
        f"<h2>Plots</h2><div class=plots>{pictures}</div>"
        f"<footer>{escape(report.attribution)}<br>Research use only. Not a medical device.</footer></body></html>"
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"
