"""From grafana/ to deploy/components/monitoring: python -m tools.monitoring_component.

Rules and boards stand once, in the form that Prometheus and Grafana read; here they become a
PrometheusRule, and ConfigMaps that Grafana's sidecar finds. Run it after changing them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tools.programs import ROOT

GRAFANA = ROOT / "grafana"
RULES = GRAFANA / "alerts" / "luaflow.rules.yml"
BOARDS = GRAFANA / "kustomization.yaml"
RULE = ROOT / "deploy" / "components" / "monitoring" / "prometheus-rule.yaml"
WRITTEN = "# written by python -m tools.monitoring_component from "


def files() -> dict[Path, str]:
    """What the files should hold."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "luaflow"},
        "spec": {"groups": yaml.safe_load(RULES.read_text())["groups"]},
    }
    boards = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "configMapGenerator": [
            {"name": f"grafana-{path.stem}", "files": [f"dashboards/{path.name}"]}
            for path in sorted(GRAFANA.glob("dashboards/*.json"))
        ],
        "generatorOptions": {
            "disableNameSuffixHash": True,
            "labels": {"grafana_dashboard": "1"},
        },
    }
    return {
        RULE: f"{WRITTEN}grafana/alerts\n{_dump(rule)}",
        BOARDS: f"{WRITTEN}grafana/dashboards\n{_dump(boards)}",
    }


def stale() -> list[str]:
    """The files that are not what they should be, as sentences."""
    return [
        f"{path.relative_to(ROOT)} is not of today: run python -m tools.monitoring_component"
        for path, text in files().items()
        if not path.exists() or path.read_text() != text
    ]


def _dump(tree: object) -> str:
    return yaml.safe_dump(tree, sort_keys=False, width=100, allow_unicode=True)


def main() -> int:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
