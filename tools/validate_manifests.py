"""Render the manifests in deploy/ and check them: python -m tools.validate_manifests.

Against the strict schemas of the oldest and the newest Kubernetes that luaflow supports, and
against the rules below, which no schema knows. Without kubectl nothing can be rendered: told and
passed over, except in CI, where that is a failure.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tools import monitoring_component, validate_commands, validate_custom
from tools.programs import ROOT, find, in_ci

OLDEST, NEWEST = "1.31", "1.37"
TREES = ("deploy/base", *(f"deploy/overlays/{name}" for name in ("dev", "dev-cluster", "prod")))
OURS = ("luaflow", "orders")
"""How the names of images begin that run our commands."""
SPARE_SECONDS = 30
"""What a pod has after --drain-timeout before Kubernetes kills it."""

Object = dict[str, Any]
Rule = Callable[[list[Object]], Iterator[str]]


def render(kubectl: Path, tree: str) -> list[Object]:
    """All objects of a kustomize folder; raises CalledProcessError with what kubectl said."""
    told = subprocess.run(
        [str(kubectl), "kustomize", tree], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return [item for item in yaml.safe_load_all(told.stdout) if item]


def broken_rules(objects: list[Object]) -> list[str]:
    """What is wrong with the objects of a tree that no schema knows, as sentences."""
    return [text for rule in RULES for text in rule(objects)]


def refused(objects: list[Object]) -> Iterator[str]:
    """What Kubernetes would refuse in the objects, as sentences."""
    for item in objects:
        if validate_custom.is_custom(item):
            yield from (f"{_name(item)}: {text}" for text in validate_custom.refused(item))
            continue
        for release in (OLDEST, NEWEST):
            try:
                kubernetes_validate.validate(item, release, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path) or "it"
                yield f"{_name(item)}: Kubernetes {release} refuses {where}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError:
                version = item["apiVersion"]
                yield f"{_name(item)}: Kubernetes {release} has no {version} of this kind"


def _selectors(objects: list[Object]) -> Iterator[str]:
    pods = [_template(item)["metadata"]["labels"] for item in _workloads(objects)]
    for item in objects:
        spec = item.get("spec", {})
        if item in _workloads(objects) and item["kind"] != "Job":
            own = _template(item)["metadata"]["labels"]
            if not spec["selector"]["matchLabels"].items() <= own.items():
                yield f"{_name(item)}: its selector is not among the labels of its pods"
        selector = {
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"),
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
            "Service": spec.get("selector"),
        }.get(item["kind"], {"": ""})
        if not selector:
            yield f"{_name(item)}: selects every pod of the namespace"
        elif selector != {"": ""} and not any(selector.items() <= pod.items() for pod in pods):
            yield f"{_name(item)}: selects no pod of this tree"


def _references(objects: list[Object]) -> Iterator[str]:
    for item, container in _containers(objects):
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            settings = container.get(probe, {})
            port = settings.get("httpGet", settings.get("tcpSocket", {})).get("port")
            if port is not None and port not in ports:
                yield f"{_name(item)}: {probe} asks port {port}, which the container does not name"
        if item["kind"] == "Job":
            pass  # it is ready when it has ended
        elif not container.get("readinessProbe") or not container.get("livenessProbe"):
            yield f"{_name(item)}: needs a readinessProbe and a livenessProbe"
        volumes = {volume["name"] for volume in _template(item)["spec"].get("volumes", [])}
        volumes |= {
            claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])
        }
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{_name(item)}: mounts {mount['name']}, which is no volume of the pod"


def _drains(objects: list[Object]) -> Iterator[str]:
    for item, container in _containers(objects):
        if container.get("command") != ["luaflow-worker"]:
            continue
        found = re.search(r"--drain-timeout=(\d+)(?:s|\b)", " ".join(container.get("args", [])))
        if not found:
            yield f"{_name(item)}: says no --drain-timeout=SECONDS"
            continue
        needed = int(found[1]) + SPARE_SECONDS
        if (given := _template(item)["spec"].get("terminationGracePeriodSeconds", 30)) < needed:
            yield f"{_name(item)}: terminationGracePeriodSeconds is {given}, it needs {needed}"


def _security(objects: list[Object]) -> Iterator[str]:
    for item, container in _containers(objects):
        spec = _template(item)["spec"]
        pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
        wanted = {
            "runAsNonRoot": pod.get("runAsNonRoot") is True,
            "a runAsUser that is not 0": bool(pod.get("runAsUser")),
            "seccompProfile RuntimeDefault": pod.get("seccompProfile")
            == {"type": "RuntimeDefault"},
            "allowPrivilegeEscalation: false": own.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "capabilities drop ALL": own.get("capabilities") == {"drop": ["ALL"]},
            "automountServiceAccountToken: false": spec.get("automountServiceAccountToken")
            is False,
            "enableServiceLinks: false": spec.get("enableServiceLinks") is False,
        }
        for name, there in wanted.items():
            if not there:
                yield f"{_name(item)}: lacks {name}"


def _resources(objects: list[Object]) -> Iterator[str]:
    for item, container in _containers(objects):
        resources = container.get("resources", {})
        asked, limit = resources.get("requests", {}), resources.get("limits", {})
        if not asked.get("cpu") or not asked.get("memory"):
            yield f"{_name(item)}: asks for no cpu or no memory"
        if limit.get("memory") != asked.get("memory"):
            yield f"{_name(item)}: its limit of memory is not what it asks for"
        tag = container["image"].rpartition(":")[2]
        if tag in (container["image"], "latest"):
            yield f"{_name(item)}: the image {container['image']} has no tag that stays"


def _commands(objects: list[Object]) -> Iterator[str]:
    for item, container in _containers(objects):
        if container["image"].rpartition(":")[0].rpartition("/")[2].startswith(OURS):
            words = [*container.get("command", ["luaflow"]), *container.get("args", [])]
            if wrong := validate_commands.wrong(words):
                yield f"{_name(item)}: {wrong}"


def _names(objects: list[Object]) -> Iterator[str]:
    """Ports that are named exist, and all of a tree is in its namespace."""
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for item in objects:
        if item["kind"] != "Service":
            continue
        wanted = item["spec"].get("selector", {}).items()
        ports = {
            port["name"]
            for work, container in _containers(objects)
            if wanted <= _template(work)["metadata"]["labels"].items()
            for port in container.get("ports", [])
        }
        for port in item["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"{_name(item)}: leads to port {port['targetPort']}, which no pod names"
    for item in objects:
        if item["kind"] == "NetworkPolicy":
            named = {p["port"] for rule in item["spec"].get("ingress", []) for p in rule["ports"]}
            ports = {p["name"] for _, one in _containers(objects) for p in one.get("ports", [])}
            for port in named - ports:
                yield f"{_name(item)}: lets in to port {port}, which no pod names"
    if ("Namespace", "luaflow") in there:
        for item in objects:
            if item["kind"] != "Namespace" and item["metadata"].get("namespace") != "luaflow":
                yield f"{_name(item)}: is not in the namespace of its tree"


def _budgets(objects: list[Object]) -> Iterator[str]:
    budgets = [
        item["spec"]["selector"]["matchLabels"]
        for item in objects
        if item["kind"] == "PodDisruptionBudget"
    ]
    for item in objects:
        if item["kind"] == "Deployment":
            labels = _template(item)["metadata"]["labels"].items()
            if not any(wanted.items() <= labels for wanted in budgets):
                yield f"{_name(item)}: has no PodDisruptionBudget"
            if not _template(item)["spec"].get("topologySpreadConstraints"):
                yield f"{_name(item)}: is not spread over nodes and zones"


def _custom(objects: list[Object]) -> Iterator[str]:
    yield from validate_custom.broken_rules(objects)


RULES: tuple[Rule, ...] = (
    _selectors,
    _references,
    _drains,
    _security,
    _resources,
    _commands,
    _names,
    _budgets,
    _custom,
)


def _name(item: Object) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def _workloads(objects: list[Object]) -> list[Object]:
    return [item for item in objects if item["kind"] in ("Deployment", "StatefulSet", "Job")]


def _template(item: Object) -> Object:
    template: Object = item["spec"]["template"]
    return template


def _containers(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    for item in _workloads(objects):
        for container in _template(item)["spec"]["containers"]:
            yield item, container


def main() -> int:
    """Check every tree; 0 when all is well."""
    kubectl = find("kubectl")
    if kubectl is None:
        print(
            "SKIPPED: the manifests in deploy/ are not checked, because there is no kubectl. "
            "Install it, or for Linux on x86-64: .venv/bin/python -m tools.programs",
            file=sys.stderr,
        )
        return 1 if in_ci() else 0
    for text in (stale := monitoring_component.stale()):
        print(text, file=sys.stderr)
    wrong = len(stale)
    for tree in TREES:
        objects = render(kubectl, tree)
        found = [*refused(objects), *broken_rules(objects)]
        wrong += len(found)
        for text in found:
            print(f"{tree}: {text}", file=sys.stderr)
        if not found:
            print(f"{tree}: {len(objects)} objects, good for Kubernetes {OLDEST} and {NEWEST}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
