"""Everything in deploy/ beside plain manifests: each check finds the mistake it is there for."""

from __future__ import annotations

import copy
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools import monitoring_component, validate_compose, validate_custom
from tools.programs import ROOT, find, in_ci
from tools.validate_commands import wrong
from tools.validate_manifests import TREES, broken_rules, refused, render

Objects = list[dict[str, Any]]
Plant = Callable[[Any], Any]


@pytest.fixture(scope="module")
def prod() -> Objects:
    """The objects of the overlay for production: it has the custom resources."""
    kubectl = find("kubectl")
    if kubectl is None:
        if in_ci():
            pytest.fail("there is no kubectl: .ci/run should have fetched it")
        pytest.skip("SKIPPED: no kubectl on PATH to render the manifests with")
    (tree,) = [tree for tree in TREES if tree.endswith("/prod")]
    return render(kubectl, tree)


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def scaled(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = one(objects, "ScaledObject", "luaflow-worker-activity")["spec"]
    return spec


def trigger(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = scaled(objects)["triggers"][0]
    return found


def metadata(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = trigger(objects)["metadata"]
    return found


def monitor(objects: Objects) -> dict[str, Any]:
    return one(objects, "PodMonitor", "luaflow")


def first(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, kind, name)["spec"]["template"]["spec"]["containers"][0]
    return found


URL = "http://luaflow-scheduler.luaflow.svc:9090/api/v1/queues/orders/backlog"
FAULTS: dict[str, tuple[Plant, str]] = {
    "misspelt key": (lambda o: metadata(o).update(targetvalue="20"), "does not know targetvalue"),
    "forgotten key": (lambda o: metadata(o).pop("targetValue"), "lacks targetValue"),
    "number": (lambda o: metadata(o).update(targetValue=20), "must be a text"),
    "kind of trigger": (lambda o: trigger(o).update(type="metric-api"), "no kind of trigger"),
    "no target": (lambda o: scaled(o)["scaleTargetRef"].update(name="x"), "no Deployment x"),
    "replicas": (
        lambda o: one(o, "Deployment", "luaflow-worker-activity")["spec"].update(replicas=2),
        "replicas of its own",
    ),
    "bounds": (lambda o: scaled(o).update(minReplicaCount=21), "above its maxReplicaCount"),
    "service": (lambda o: metadata(o).update(url=URL.replace("luaflow-s", "s")), "no port of a"),
    "service's port": (lambda o: metadata(o).update(url=URL.replace("9090", "9091")), "no port of"),
    "namespace": (
        lambda o: metadata(o).update(url=URL.replace(".luaflow.svc", "")),
        "from another",
    ),
    "path": (lambda o: metadata(o).update(url=URL.replace("v1", "v2")), "is not /api/v1/queues"),
    "queue": (lambda o: metadata(o).update(url=URL.replace("orders", "x")), "does not serve"),
    "kind": (lambda o: metadata(o).update(valueLocation="workflow.backlog"), "must be activity.b"),
    "scraped port": (
        lambda o: monitor(o)["spec"]["podMetricsEndpoints"][0].update(port="http"),
        "scrapes port http",
    ),
    "option": (
        lambda o: first(o, "Deployment", "luaflow-scheduler")["args"].append("--metric-port=1"),
        "No such option",
    ),
    "option of serve": (
        lambda o: first(o, "Deployment", "luaflow-serve")["args"].append("--port=many"),
        "is not a port",
    ),
    "command": (
        lambda o: first(o, "Job", "luaflow-deploy").update(args=["depoly"]),
        "No such command",
    ),
    "service to nowhere": (
        lambda o: one(o, "Service", "luaflow-serve")["spec"]["ports"][0].update(targetPort="x"),
        "which no pod names",
    ),
    "policy to nowhere": (
        lambda o: one(o, "NetworkPolicy", "luaflow")["spec"]["ingress"][0]["ports"][0].update(
            port="x"
        ),
        "lets in to port x",
    ),
    "no budget": (
        lambda o: o.remove(one(o, "PodDisruptionBudget", "luaflow-serve")),
        "luaflow-serve: has no PodDisruptionBudget",
    ),
    "no spread": (
        lambda o: one(o, "Deployment", "luaflow-serve")["spec"]["template"]["spec"].pop(
            "topologySpreadConstraints"
        ),
        "luaflow-serve: is not spread",
    ),
    "no namespace": (lambda o: monitor(o)["metadata"].pop("namespace"), "not in the namespace"),
    "root job": (
        lambda o: first(o, "Job", "luaflow-deploy")["securityContext"].clear(),
        "Job luaflow-deploy: lacks readOnlyRootFilesystem",
    ),
}


def test_the_overlay_keeps_the_rules(prod: Objects) -> None:
    assert broken_rules(prod) == []
    assert {"ScaledObject", "PodMonitor", "PrometheusRule"} <= {o["kind"] for o in prod}


PARTS = {
    "luaflow-scheduler": "scheduler",
    "luaflow-serve": "serve",
    "luaflow-worker-activity": "worker",
    "luaflow-worker-workflow": "worker",
    "luaflow-deploy": "deployer",
}


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_a_user_of_its_own(prod: Objects, name: str) -> None:
    """Its name is one of users.acl, its password the file that make-users.sh writes, no other's."""
    part = PARTS[name]
    kind = "Job" if part == "deployer" else "Deployment"
    pod = one(prod, kind, name)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {one["name"]: one.get("value", "") for one in container["env"]}
    place = list(given)
    assert place.index("LUAFLOW_NAMESPACE") < place.index("LUAFLOW_REDIS_USERNAME")
    user = given["LUAFLOW_REDIS_USERNAME"].replace("$(LUAFLOW_NAMESPACE)", "NAMESPACE")
    assert f"user {user} " in (ROOT / "deploy" / "redis" / "users.acl").read_text()
    assert user == f"NAMESPACE-{part}"
    (volume,) = [one["secret"] for one in pod["volumes"] if one["name"] == "redis-user"]
    (item,) = volume["items"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "redis-user"]
    assert item["key"] == f"{part}.password"
    assert given["LUAFLOW_REDIS_PASSWORD_FILE"] == f"{mount['mountPath']}/{item['path']}"


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_rule_is_found(prod: Objects, name: str) -> None:
    plant, says = FAULTS[name]
    objects = copy.deepcopy(prod)
    plant(objects)
    assert says in "\n".join(broken_rules(objects))


@pytest.mark.heavy  # the models of all custom resources are read
@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (lambda o: scaled(o).update(minReplicas=1), "'minReplicas' was unexpected"),
        (lambda o: scaled(o)["fallback"].update(failureTreshold=1), "unexpected"),
        (lambda o: scaled(o).update(pollingInterval="5s"), "is not of type"),
        (lambda o: scaled(o).pop("triggers"), "'triggers' is a required property"),
        (lambda o: monitor(o)["spec"]["podMetricsEndpoints"][0].update(intervals="1s"), "unexpect"),
        (lambda o: monitor(o).update(kind="PodMonitors"), "no schema is known"),
        (
            lambda o: one(o, "PrometheusRule", "luaflow")["spec"]["groups"][0]["rules"][0].update(
                fore="1m"
            ),
            "unexpected",
        ),
    ],
)
def test_what_a_definition_would_refuse_is_found(prod: Objects, plant: Plant, says: str) -> None:
    """Fields that are misspelt, of a wrong type, or missing, and kinds that are not there."""
    objects = copy.deepcopy(prod)
    custom = [o for o in objects if validate_custom.is_custom(o)]
    assert list(refused(custom)) == []
    plant(objects)
    assert says in "\n".join(refused(custom))


def test_triggers_in_the_guide_are_good() -> None:
    """What people copy from the page is checked like what is in deploy/."""
    page = (ROOT / "docs" / "operators" / "kubernetes.md").read_text()
    blocks = [yaml.safe_load(text.partition("```")[0]) for text in page.split("```yaml\n")[1:]]
    triggers = [one for block in blocks for one in block["triggers"]]
    assert {t["type"] for t in triggers} >= {
        "metrics-api",
        "redis-streams",
        "redis-cluster-streams",
    }
    assert [text for t in triggers for text in validate_custom.wrong_trigger(t)] == []


def test_commands_of_operators_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages for operators need servers and clusters: their commands are parsed, and not run."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "users.acl").touch()
    monkeypatch.chdir(tmp_path)
    pages = [path.read_text() for path in (ROOT / "docs" / "operators").glob("*.md")]
    blocks = [text for page in pages for text in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)]
    lines = re.findall(r"^ *(?:kubectl .* -- )?(luaflow .*)$", "\n".join(blocks), re.MULTILINE)
    assert len(lines) >= 3
    found = [wrong(shlex.split(line, comments=True)) for line in lines]
    assert [text for text in found if text] == []


# -- compose ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> str:
    return validate_compose.filled(validate_compose.COMPOSE.read_text())


COMPOSE_FAULTS: dict[str, tuple[Plant, str]] = {
    "tag": (lambda s: s["grafana"].update(image="grafana/grafana"), "no tag that stays"),
    "latest": (lambda s: s["grafana"].update(image="grafana/grafana:latest"), "no tag"),
    "dependency": (lambda s: s["serve"].update(depends_on={"x": {}}), "which is no service"),
    "network": (lambda s: s["serve"]["networks"].append("x"), "which is no network"),
    "never healthy": (lambda s: s["redis"].pop("healthcheck"), "waits for redis to be healthy"),
    "no check": (lambda s: s["serve"].pop("healthcheck"), "serve: has no healthcheck"),
    "file": (lambda s: s["prometheus"]["volumes"].append("./x:/x:ro"), "does not exist"),
    "volume": (lambda s: s["prometheus"]["volumes"].append("x:/x"), "which is no volume"),
    "writes": (lambda s: s["prometheus"]["volumes"].append("../grafana:/g"), "may write to"),
    "open": (lambda s: s["serve"].update(ports=["8233:8233"]), "open to everybody"),
    "capabilities": (lambda s: s["serve"].pop("cap_drop"), "keeps capabilities"),
    "privileges": (lambda s: s["serve"].pop("security_opt"), "may gain privileges"),
    "option": (lambda s: s["scheduler"]["command"].append("--x"), "No such option"),
    "grace": (lambda s: s["worker-activity"].update(stop_grace_period="60s"), "it needs 120s"),
    "default grace": (lambda s: s["worker-activity"].pop("stop_grace_period"), "it needs 120s"),
}


def test_the_compose_file_is_good(compose: str) -> None:
    assert list(validate_compose.refused(compose)) == []
    tree = yaml.safe_load(compose)
    assert list(validate_compose.broken_rules(tree, validate_compose.COMPOSE.parent)) == []


@pytest.mark.parametrize("name", COMPOSE_FAULTS)
def test_a_fault_of_the_compose_file_is_found(compose: str, name: str) -> None:
    plant, says = COMPOSE_FAULTS[name]
    tree = copy.deepcopy(yaml.safe_load(compose))
    # (what YAML merges is shared between services)
    tree["services"] = {key: copy.deepcopy(one) for key, one in tree["services"].items()}
    plant(tree["services"])
    found = validate_compose.broken_rules(tree, validate_compose.COMPOSE.parent)
    assert says in "\n".join(found)


def test_prometheus_asks_all_that_serve_metrics(compose: str) -> None:
    """A service that nobody asks, and one that is asked in vain, are found."""
    tree = yaml.safe_load(compose)
    prometheus = yaml.safe_load(validate_compose.SCRAPED.read_text())
    assert list(validate_compose.unscraped(tree, prometheus)) == []
    prometheus["scrape_configs"][0]["dns_sd_configs"][0]["names"].remove("serve")
    del tree["services"]["scheduler"]
    assert list(validate_compose.unscraped(tree, prometheus)) == [
        "prometheus.yml asks scheduler:9090, where nothing serves metrics",
        "prometheus.yml does not ask serve:9090",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stop_grace_period: 30s", "stop_grace: 30s"),
        ("interval: 10s", "interval: 10 seconds"),
        ("service_healthy", "service_health"),
        ("read_only: true", "read_only: perhaps"),
    ],
)
def test_what_the_specification_would_refuse_is_found(compose: str, old: str, new: str) -> None:
    assert old in compose
    assert list(validate_compose.refused(compose.replace(old, new)))


# -- images, command lines, rules ------------------------------------------------------------------


def test_what_a_dockerfile_copies_is_there() -> None:
    """A file that is not there, and one that is left out of what the builder is sent."""
    text = "FROM a AS b\nCOPY --from=b /x /x\nCOPY README.md web \\\n  shared /x\nCOPY nowhere /x\n"
    found = list(validate_compose.missing(text, "*\n!README.md\n!shared\n"))
    assert found == [
        "COPY web: its .dockerignore leaves it out",
        "COPY nowhere: there is no such file",
    ]


@pytest.mark.heavy
def test_hadolint_finds_a_fault(tmp_path: Path) -> None:
    """It is run by make check; here it is seen to refuse."""
    hadolint = shutil.which("hadolint") or str(ROOT / ".venv" / "bin" / "hadolint")
    path = tmp_path / "Dockerfile"
    path.write_text("FROM python:latest\nRUN cd /tmp && pip install x\n")
    done = subprocess.run([hadolint, path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DL3007" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["luaflow-worker", "--queue=q", "--role=activities"], "--role"),
        (["luaflow-worker", "--role=activity"], "--queue"),
        (["luaflow-scheduler", "--queue=q"], "--queue"),
        (["luaflow", "serve", "--metrics-port=99999"], "99999"),
        (["luaflow", "namespace", "create"], "NAME"),
        (["python", "-m", "x"], "is none of"),
    ],
)
def test_a_command_line_that_would_be_refused(words: list[str], says: str) -> None:
    assert says in (wrong(words) or "")


def test_rules_and_boards_stand_once() -> None:
    """What deploy/ has of grafana/ is of today, and a change there is seen."""
    assert monitoring_component.stale() == []


def test_a_rule_that_was_changed_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(monitoring_component.RULES.read_text().replace("for: ", "for: 1"))
    monkeypatch.setattr(monitoring_component, "RULES", rules)
    assert "prometheus-rule.yaml is not of today" in monitoring_component.stale()[0]
