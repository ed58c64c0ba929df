"""Check grafana/alerts/luaflow.rules.yml: python -m tools.check_alerts.

Every rule asks for metrics and labels that exist; each alert has words for people and a runbook.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.metrics import Metric, exported
from tools.programs import ROOT

FILE = ROOT / "grafana" / "alerts" / "luaflow.rules.yml"
RUNBOOKS = ROOT / "docs" / "runbooks"
SEVERITIES = ("page", "ticket")
HEADINGS = ("## What it means", "## How to confirm", "## What to do")

Rule = dict[str, Any]


def load(file: Path = FILE) -> list[Rule]:
    """The rules of the file."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def complaints(rule: Rule, metrics: Iterable[Metric], runbooks: Path = RUNBOOKS) -> Iterator[str]:
    """What is wrong with a rule, as sentences."""
    name = str(rule.get("alert"))
    if not re.fullmatch(r"Luaflow\w+", name):
        yield "its name does not begin with Luaflow"
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        yield f"its severity is not one of {', '.join(SEVERITIES)}"
    notes = rule.get("annotations", {})
    for field in ("summary", "description"):
        if not notes.get(field):
            yield f"has no {field}"
    if notes.get("runbook_url") != f"docs/runbooks/{name}.md":
        yield "its runbook_url is not that of its runbook"
    page = runbooks / f"{name}.md"
    text = page.read_text() if page.exists() else ""
    for part in (f"# {name}\n", f"Severity: {rule.get('labels', {}).get('severity')}:", *HEADINGS):
        if part not in text:
            yield f"its runbook lacks {part.strip()!r}"
    yield from _query(rule["expr"], {s: m for m in metrics for s in m.series})


def _query(query: str, known: dict[str, Metric]) -> Iterator[str]:
    bare = re.sub(r'"[^"]*"', '""', query)
    labels = {"le"}
    for metric in set(re.findall(r"\bluaflow_\w+", bare)):
        if metric not in known:
            yield f"{metric} does not exist"
            continue
        labels.update(known[metric].labels)
    asked = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", bare))
    for group in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", bare):
        asked |= set(re.findall(r"\w+", group))
    for label in sorted(asked - labels):
        yield f"none of its metrics has the label {label}"


def main() -> int:
    """Check every rule; 0 when all is well."""
    metrics, rules = exported(), load()
    found = [f"{rule.get('alert')}: {text}" for rule in rules for text in complaints(rule, metrics)]
    spare = {page.stem for page in RUNBOOKS.glob("*.md")} - {
        str(rule.get("alert")) for rule in rules
    }
    found += [f"docs/runbooks/{name}.md belongs to no alert" for name in sorted(spare)]
    for text in found:
        print(text, file=sys.stderr)
    if not found:
        print(f"{len(rules)} alerts: all is well")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
