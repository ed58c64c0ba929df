"""The rules for manifests that no schema knows: each finds the fault it is there for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tools.programs import find, in_ci
from tools.validate_manifests import TREES, broken_rules, refused, render

Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rendered() -> Objects:
    """The objects of the overlay for development: it holds one of everything."""
    kubectl = find("kubectl")
    if kubectl is None:
        if in_ci():
            pytest.fail("there is no kubectl: .ci/run should have fetched it")
        pytest.skip("SKIPPED: no kubectl on PATH to render the manifests with")
    return render(kubectl, TREES[1])


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def worker(objects: Objects) -> dict[str, Any]:
    return one(objects, "Deployment", "luaflow-worker-activity")


def pod(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = worker(objects)["spec"]["template"]["spec"]
    return spec


def container(objects: Objects) -> dict[str, Any]:
    first: dict[str, Any] = pod(objects)["containers"][0]
    return first


def policy(objects: Objects) -> dict[str, Any]:
    return one(objects, "NetworkPolicy", "luaflow")


FAULTS: dict[str, tuple[Callable[[Objects], Any], str]] = {
    "labels": (
        lambda o: worker(o)["spec"]["template"]["metadata"]["labels"].clear(),
        "not among the labels",
    ),
    "policy for all": (lambda o: policy(o)["spec"].update(podSelector={}), "selects every pod"),
    "policy for none": (
        lambda o: policy(o)["spec"]["podSelector"].update(matchLabels={"app": "x"}),
        "selects no pod",
    ),
    "port": (lambda o: container(o)["ports"][0].update(name="http"), "does not name"),
    "no probe": (lambda o: container(o).pop("livenessProbe"), "needs a readinessProbe"),
    "volume": (lambda o: pod(o).pop("volumes"), "no volume of the pod"),
    "grace": (lambda o: pod(o).update(terminationGracePeriodSeconds=100), "it needs 120"),
    "no drain": (lambda o: container(o).update(args=[]), "says no --drain-timeout"),
    "root": (lambda o: pod(o)["securityContext"].pop("runAsNonRoot"), "lacks runAsNonRoot"),
    "capabilities": (
        lambda o: container(o)["securityContext"].pop("capabilities"),
        "lacks capabilities",
    ),
    "memory": (lambda o: container(o)["resources"].pop("limits"), "limit of memory"),
    "tag": (lambda o: container(o).update(image="luaflow"), "no tag"),
    "latest": (lambda o: container(o).update(image="a.b:1/luaflow:latest"), "no tag"),
}


def test_manifests_keep_the_rules(rendered: Objects) -> None:
    """As they are, they are good; the schemas are the business of make check."""
    assert broken_rules(rendered) == []


@pytest.mark.parametrize("name", FAULTS)
def test_broken_rule_is_found(rendered: Objects, name: str) -> None:
    """Each rule finds the fault it is there for."""
    plant, says = FAULTS[name]
    objects = copy.deepcopy(rendered)
    plant(objects)
    assert says in "\n".join(broken_rules(objects))


def test_what_kubernetes_would_refuse_is_found(rendered: Objects) -> None:
    """A misspelt field, which Kubernetes itself may drop in silence, and a kind it has not."""
    objects = [copy.deepcopy(worker(rendered)), copy.deepcopy(policy(rendered))]
    assert list(refused(objects)) == []
    pod(objects[:1]).update(enableServiceLink=False)
    objects[1]["kind"] = "NetworkPolice"
    found = "\n".join(refused(objects))
    assert "'enableServiceLink' was unexpected" in found
    assert "has no networking.k8s.io/v1 of this kind" in found
