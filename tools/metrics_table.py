"""Write the table of metrics in docs/operations.md anew: python -m tools.metrics_table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.metrics import Metric, exported
from tools.programs import ROOT

PAGE: Path = ROOT / "docs" / "operations.md"
BEGIN = "<!-- metrics: written by python -m tools.metrics_table -->\n"
END = "<!-- end of metrics -->\n"


def table(metrics: Iterable[Metric]) -> str:
    """The metrics as a table of Markdown; one that two processes export is one row."""
    processes: dict[str, list[str]] = {}
    rows: dict[str, Metric] = {}
    for metric in metrics:
        processes.setdefault(metric.name, []).append(metric.process)
        rows.setdefault(metric.name, metric)
    lines = ["| metric | type | labels | from | meaning |", "|---|---|---|---|---|"]
    for name, metric in sorted(rows.items()):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        where = ", ".join(processes[name])
        lines.append(f"| `{name}` | {metric.type} | {labels} | {where} | {metric.help} |")
    return "\n".join(lines) + "\n"


def rewritten(page: str) -> str:
    """The page with the table of today; raises ValueError when it lacks the two marks."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{PAGE.name} lacks {BEGIN.strip()} or {END.strip()}")
    return f"{before}{BEGIN}\n{table(exported())}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
