"""Custom resources of deploy/: the strict schemas of their definitions, and what no schema sees.

KEDA reads the metadata of a trigger as a map of texts: a misspelt key is passed over in silence,
and a default is taken in its place. So the keys are listed here, as KEDA's scalers read them.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator

Object = dict[str, Any]

MODELS = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}
"""Where the models are that were made from the definitions of KEDA and the Prometheus Operator."""

_REDIS = {"stream", "consumerGroup", "streamLength", "pendingEntriesCount", "lagCount"}
_REDIS |= {"activationLagCount", "usernameFromEnv", "passwordFromEnv", "enableTLS", "unsafeSsl"}
_ONE = {"address", "addressFromEnv", "host", "hostFromEnv", "port", "portFromEnv", "databaseIndex"}
_MANY = {"addresses", "addressesFromEnv", "hosts", "hostsFromEnv", "ports", "portsFromEnv"}
_WATCHED = {"sentinelMaster", "sentinelUsernameFromEnv", "sentinelPasswordFromEnv"}
KEYS: dict[str, tuple[set[str], set[str]]] = {
    "metrics-api": (
        {"url", "valueLocation", "targetValue"},
        {"activationTargetValue", "format", "authMode", "unsafeSsl"},
    ),
    "redis-streams": ({"stream"}, _REDIS | _ONE),
    "redis-cluster-streams": ({"stream"}, _REDIS | _MANY),
    "redis-sentinel-streams": ({"stream", "sentinelMaster"}, _REDIS | _MANY | _WATCHED),
}
"""Of each kind of trigger the keys that it needs, and the others that it knows."""
_PATH = re.compile(r"/api/v1/queues/([^/]+)/backlog")


def is_custom(item: Object) -> bool:
    """Whether an object is none of Kubernetes' own."""
    return "." in item["apiVersion"].partition("/")[0] and ".k8s.io" not in item["apiVersion"]


def refused(item: Object) -> Iterator[str]:
    """What the definition of a custom resource would refuse."""
    checker = _checker(item["apiVersion"], item["kind"])
    if checker is None:
        yield f"no schema is known for {item['apiVersion']}"
        return
    for error in checker.iter_errors(item):
        where = ".".join(str(part) for part in error.absolute_path) or "it"
        yield f"its definition refuses {where}: {_deepest(error)}"


@cache
def _checker(version: str, kind: str) -> Draft202012Validator | None:
    model = (
        getattr(importlib.import_module(MODELS[version]), kind, None) if version in MODELS else None
    )
    return Draft202012Validator(_strict(model.model_json_schema())) if model else None


def _strict(schema: Any) -> Any:
    """The schema, with no property that it does not name."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if found.get("type") == "object" and found.get("properties"):
        found.setdefault("additionalProperties", False)
    return found


def _deepest(error: Any) -> str:
    """The words of the error that is farthest inside: an anyOf says nothing by itself."""
    while error.context:
        error = max(error.context, key=lambda one: len(one.absolute_path))
    return str(error.message)


def broken_rules(objects: list[Object]) -> Iterator[str]:
    """What is wrong with the custom resources of a tree that no schema knows, as sentences."""
    for item in objects:
        name = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] == "ScaledObject":
            yield from (f"{name}: {text}" for text in _scaled(item, objects))
        if item["kind"] == "PodMonitor":
            yield from (f"{name}: {text}" for text in _scraped(item, objects))


def wrong_trigger(trigger: Object) -> Iterator[str]:
    """What is wrong with the kind or the metadata of a trigger."""
    if trigger["type"] not in KEYS:
        yield f"{trigger['type']} is no kind of trigger that is known here"
        return
    needed, known = KEYS[trigger["type"]]
    given = trigger["metadata"].keys()
    for key in sorted(needed - given):
        yield f"the trigger {trigger['type']} lacks {key}"
    for key in sorted(given - needed - known):
        yield f"the trigger {trigger['type']} does not know {key}"
    for key, value in trigger["metadata"].items():
        if not isinstance(value, str):
            yield f"{key} of a trigger must be a text, not {value!r}"


def _scaled(item: Object, objects: list[Object]) -> Iterator[str]:
    spec = item["spec"]
    target = _named(objects, "Deployment", spec["scaleTargetRef"]["name"])
    if target is None:
        yield f"there is no Deployment {spec['scaleTargetRef']['name']}"
        return
    if "replicas" in target["spec"]:
        yield f"{target['metadata']['name']} has replicas of its own: each apply would reset them"
    if spec.get("minReplicaCount", 0) > spec.get("maxReplicaCount", 100):
        yield "its minReplicaCount is above its maxReplicaCount"
    for trigger in spec["triggers"]:
        wrong = list(wrong_trigger(trigger))
        yield from wrong
        if trigger["type"] == "metrics-api" and not wrong:
            yield from _asked(trigger["metadata"], item, target, objects)


def _asked(
    metadata: dict[str, str], item: Object, target: Object, objects: list[Object]
) -> Iterator[str]:
    """Whether a scheduler would answer, and with the number of what its target works on."""
    url = urlsplit(metadata["url"])
    host, _, namespace = (url.hostname or "").partition(".")
    service = _named(objects, "Service", host)
    if service is None or url.port not in {port["port"] for port in service["spec"]["ports"]}:
        yield f"{url.netloc} is no port of a Service of this tree"
    own = item["metadata"].get("namespace", "luaflow")
    if namespace != f"{own}.svc":
        yield f"{url.netloc} must name the namespace {own}.svc: KEDA asks from another one"
    words = " ".join(target["spec"]["template"]["spec"]["containers"][0].get("args", []))
    queue = _PATH.fullmatch(url.path)
    if queue is None:
        yield f"{url.path} is not /api/v1/queues/<queue>/backlog"
    elif f"--queue={queue[1]}" not in words.split():
        yield f"it asks for the queue {queue[1]}, which its target does not serve"
    role = re.search(r"--role=(\w+)", words)
    where = f"{role[1]}.backlog" if role and role[1] != "all" else "backlog"
    if metadata["valueLocation"] != where:
        yield f"its valueLocation must be {where}, as its target works on that"


def _scraped(item: Object, objects: list[Object]) -> Iterator[str]:
    wanted = item["spec"]["selector"]["matchLabels"].items()
    ports = {
        port["name"]
        for one in objects
        if one["kind"] == "Deployment"
        and wanted <= one["spec"]["template"]["metadata"]["labels"].items()
        for container in one["spec"]["template"]["spec"]["containers"]
        for port in container.get("ports", [])
    }
    for endpoint in item["spec"]["podMetricsEndpoints"]:
        if endpoint.get("port") not in ports:
            yield f"scrapes port {endpoint.get('port')}, which no pod that it selects names"


def _named(objects: list[Object], kind: str, name: str) -> Object | None:
    found = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found[0] if found else None
