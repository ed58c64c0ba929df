"""Check deploy/compose.yaml and what the Dockerfiles copy: python -m tools.validate_compose.

The compose file against the Compose specification, strictly, and against the rules below. Images
cannot be built where this is developed: here is said whether what they are built from is there.
"""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.programs import ROOT
from tools.validate_commands import PROGRAMS, wrong
from tools.validate_manifests import SPARE_SECONDS

COMPOSE = ROOT / "deploy" / "compose.yaml"
SCRAPED = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DOCKERFILES = ("deploy/Dockerfile", "deploy/overlays/dev/Dockerfile")

Object = dict[str, Any]


def filled(text: str) -> str:
    """A compose file with its variables filled in: by their default, or by some word."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda found: found[1] or "word", text)


def refused(text: str) -> Iterator[str]:
    """What the Compose specification would refuse."""
    from compose_spec import PyCompose  # noqa: PLC0415 - for make check alone

    try:
        # written out: the specification knows nothing of YAML's merge keys
        PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text)))
    except ValueError as error:
        yield str(error)


def broken_rules(tree: Object, folder: Path) -> Iterator[str]:
    """What is wrong with a compose file in ``folder`` that its specification does not know."""
    for name, service in tree["services"].items():
        for rule in (_image, _names, _mounts, _ports, _safety, _command):
            yield from (f"{name}: {text}" for text in rule(service, tree, folder))


def unscraped(tree: Object, prometheus: Object) -> Iterator[str]:
    """What Prometheus does not find, or does not look for."""
    sources = [one for job in prometheus["scrape_configs"] for one in job["dns_sd_configs"]]
    asked = {(name, one["port"]) for one in sources for name in one["names"]}
    there = {
        (name, int(found[1]))
        for name, service in tree["services"].items()
        if (found := re.search(r"--metrics-port=(\d+)", " ".join(service.get("command", []))))
    }
    for name, port in sorted(asked - there):
        yield f"prometheus.yml asks {name}:{port}, where nothing serves metrics"
    for name, port in sorted(there - asked):
        yield f"prometheus.yml does not ask {name}:{port}"


def _image(service: Object, _tree: Object, _folder: Path) -> Iterator[str]:
    image = service.get("image", "")
    tag = image.rpartition(":")[2]
    if tag in (image, "latest", ""):
        yield f"the image {image} has no tag that stays"


def _names(service: Object, tree: Object, _folder: Path) -> Iterator[str]:
    for other, how in service.get("depends_on", {}).items():
        if other not in tree["services"]:
            yield f"depends on {other}, which is no service"
        elif how["condition"] == "service_healthy" and _unwatched(tree["services"][other]):
            yield f"waits for {other} to be healthy, which has no healthcheck"
    for network in service.get("networks", []):
        if network not in tree["networks"]:
            yield f"is in {network}, which is no network"


def _unwatched(service: Object) -> bool:
    check = service.get("healthcheck", {})
    return not check or bool(check.get("disable"))


def _mounts(service: Object, tree: Object, folder: Path) -> Iterator[str]:
    for mount in service.get("volumes", []):
        source = mount.partition(":")[0]
        if source.startswith("."):
            if not (folder / source).exists():
                yield f"mounts {source}, which does not exist"
            if not mount.endswith(":ro"):
                yield f"may write to {source}"
        elif source not in tree["volumes"]:
            yield f"mounts {source}, which is no volume"


def _ports(service: Object, _tree: Object, _folder: Path) -> Iterator[str]:
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"port {port} is open to everybody: publish it on 127.0.0.1"


def _safety(service: Object, _tree: Object, _folder: Path) -> Iterator[str]:
    if service.get("cap_drop") != ["ALL"]:
        yield "keeps capabilities: cap_drop [ALL]"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "may gain privileges: security_opt no-new-privileges:true"
    if _unwatched(service) and service.get("restart") != "on-failure":
        yield "has no healthcheck"


def _command(service: Object, _tree: Object, _folder: Path) -> Iterator[str]:
    if "luaflow" not in service["image"]:
        return
    words = [*service.get("entrypoint", ["luaflow"]), *service.get("command", [])]
    if text := wrong(words):
        yield text
    if words[0] not in PROGRAMS or words[0] != "luaflow-worker":
        return
    found = re.search(r"--drain-timeout=(\d+)", " ".join(words))
    needed = (int(found[1]) if found else 30) + SPARE_SECONDS
    given = str(service.get("stop_grace_period", "10s"))
    if not re.fullmatch(r"\d+s", given) or int(given[:-1]) < needed:
        yield f"stop_grace_period is {given}, it needs {needed}s"


def missing(dockerfile: str, ignored: str, root: Path = ROOT) -> Iterator[str]:
    """What a Dockerfile copies and would not find, given its file of what is ignored."""
    lets = [line[1:] for line in ignored.splitlines() if line.startswith("!")]
    text = dockerfile.replace("\\\n", " ")
    for words in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in words.split()[:-1]:
            if not (root / source).exists():
                yield f"COPY {source}: there is no such file"
            elif not any(fnmatch.fnmatch(source, one) for one in lets):
                yield f"COPY {source}: its .dockerignore leaves it out"


def main() -> int:
    """Check all of it; 0 when all is well."""
    text = filled(COMPOSE.read_text())
    found = [f"{COMPOSE.name}: {one}" for one in refused(text)]
    found += [
        f"{COMPOSE.name}: {one}" for one in broken_rules(yaml.safe_load(text), COMPOSE.parent)
    ]
    found += unscraped(yaml.safe_load(text), yaml.safe_load(SCRAPED.read_text()))
    for name in DOCKERFILES:
        path = ROOT / name
        ignored = path.with_name(f"{path.name}.dockerignore").read_text()
        found += [f"{name}: {one}" for one in missing(path.read_text(), ignored)]
    for one in found:
        print(one, file=sys.stderr)
    if not found:
        print("deploy/compose.yaml and what the images are made of: good; not built, not started")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
