"""requirements.lock: everything pinned with its hash, from no particular place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries() -> dict[str, tuple[Requirement, int]]:
    """Each pinned package with the number of its hashes."""
    found: dict[str, tuple[Requirement, int]] = {}
    for block in re.split(r"\n(?=\S)", LOCK):
        if block.startswith("#"):
            continue
        requirement = Requirement(block.split("\\")[0].strip())
        found[canonicalize_name(requirement.name)] = (requirement, block.count("--hash=sha256:"))
    return found


def test_lock_names_no_place() -> None:
    """No index, no host, no path, no file of the machine that wrote it."""
    text = LOCK + (ROOT / "pyproject.toml").read_text()
    assert not re.findall(r"\S*://\S*", text)
    assert not re.findall(r"--(?:index-url|extra-index-url|find-links|trusted-host)\b", LOCK)
    # Not "emit": the header repeats the command, which says that no index is written.
    assert not re.findall(r"(?:^|\s)(?:/|~/|\./|file:)\S+", LOCK)


def test_every_entry_is_pinned_with_hashes() -> None:
    """pip install --require-hashes takes the file as it is."""
    for requirement, hashes in entries().values():
        assert [spec.operator for spec in requirement.specifier] == ["=="], requirement
        assert hashes, f"{requirement} has no hash"


def test_lock_satisfies_the_project() -> None:
    """What pyproject.toml asks for is locked, in a version that it accepts."""
    project = PROJECT["project"]
    asked = project["dependencies"] + PROJECT["dependency-groups"]["dev"]
    asked += [each for extra in project["optional-dependencies"].values() for each in extra]
    locked = entries()
    for wanted in map(Requirement, asked):
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{wanted} is not locked: make lock"
        (version,) = {spec.version for spec in locked[name][0].specifier}
        assert wanted.specifier.contains(version, prereleases=True), f"{wanted}: {version}"
