"""Server scripts: one transition, one file; the header of a file is its contract, and is checked.

A header is the comment block a script begins with. ``-- KEYS meta run`` binds ``meta_key`` and
``run_key``; ``-- ARGV server turn:int`` binds ``server`` (text) and ``turn`` (number). A last name
with ``...`` binds the index of the first of many. ``--- include name`` pulls in
``includes/name.lua``, once; an indented one stands in a function, where what few calls need is made
by those. ``-- TYPES run leases`` names the keys whose types are looked at before the first write;
without it all are. Scripts run with ``#!lua``: a key that was not declared is refused by a cluster,
and by our tests (operations guide, undeclared keys).

The server gets neither comments nor functions that nothing calls: it makes each function of a
script anew in each call, and keeps the scripts of all its clients in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from importlib import resources

_LINE = re.compile(r"( *)--- include (\w+)\s*$")
_OOM_REFUSED = frozenset({"start", "start_jobs", "message", "update", "ask", "post_inbox"})
"""Scripts the server refuses when memory is out (design 5.9); all others must go on."""


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its name, the names of its KEYS and ARGV, and the text the server gets."""

    name: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    body: bytes
    sha: bytes


def _read(path: str) -> str:
    return (resources.files(__package__) / path).read_text(encoding="utf-8")


def _expand(name: str, text: str, seen: list[str], stack: tuple[str, ...]) -> str:
    """Return the text with its includes in place, each at most once."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if not match:
            lines.append(line)
            continue
        indent, include = match.groups()
        if include in stack:
            raise ValueError(f"{name}.lua:{number}: include cycle {' -> '.join((*stack, include))}")
        if include in seen:
            continue
        seen.append(include)
        try:
            part = _read(f"includes/{include}.lua")
        except FileNotFoundError:
            raise ValueError(f"{name}.lua:{number}: there is no includes/{include}.lua") from None
        whole = _expand(include, part, seen, (*stack, include))
        lines += [f"{indent}{line}" for line in whole.splitlines()]
    return "\n".join(lines)


_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_UNIT = re.compile(
    r"^( *)local (?:function (?=\w+\()|(?=\w+ = \{\n))(\w+).*?^\1[e}].*?\n",
    re.MULTILINE | re.DOTALL,
)
"""A function, or a table of several lines."""


def _lean(text: str) -> str:
    """Return the text without its comments, and without the functions and tables nothing uses."""
    text = re.sub(r"\n{2,}", "\n", _COMMENT.sub("", text))
    names = Counter(re.findall(r"\w+", text))
    kept = _UNIT.sub(lambda match: match[0] if names[match[2]] > 1 else "", text)
    return text if kept == text else _lean(kept)


def _header(name: str, text: str, word: str) -> tuple[str, ...]:
    match = re.search(rf"^-- {word} (.+)$", text, re.MULTILINE)
    if not match:
        raise ValueError(f"{name}.lua: its header has no '-- {word}' line")
    return tuple(match[1].split())


def _bind(keys: tuple[str, ...], args: tuple[str, ...]) -> str:
    names, values = [], []
    for i, key in enumerate(keys, 1):
        many = key.endswith("...")
        names.append(key.removesuffix("...") + ("" if many else "_key"))
        values.append(str(i) if many else f"KEYS[{i}]")
    for i, arg in enumerate(args, 1):
        plain = arg.removesuffix("...")
        bare, _, kind = plain.partition(":")
        names.append(bare)
        if arg.endswith("..."):
            values.append(str(i))
        else:
            values.append(f"tonumber(ARGV[{i}])" if kind == "int" else f"ARGV[{i}]")
    return f"local {', '.join(names)} = {', '.join(values)}"


_LENGTH = dict.fromkeys(
    ("wf", "run", "newrun", "pend", "newpend", "mark", "sess", "worker", "leader"), "HLEN"
)
_LENGTH |= dict.fromkeys(("name", "lock", "rate", "schedule"), "HLEN")
_LENGTH["asks"] = "LLEN"
_LENGTH |= dict.fromkeys(("timers", "leases", "gc", "vis", "jobs", "set", "workers"), "ZCARD")
_LENGTH |= dict.fromkeys(("held", "line", "schedules"), "ZCARD")


def _typed(keys: tuple[str, ...], looked_at: Container[str]) -> str:
    """Return the Lua function ``typed``: it fails where a key that is looked at has a wrong type.

    ``touch`` calls it before the first write, so a script writes everything or nothing. Keys that
    are neither hashes nor sorted sets are streams; ``meta`` is read before. A last name ``any...``
    is for keys of several types: the script itself looks at them.
    """
    lines = []
    for i, key in enumerate(keys, 1):
        if key == "any..." or key not in looked_at:
            continue
        if key.endswith("..."):
            lines.append(f"for i = {i}, #KEYS do redis.call('XLEN', KEYS[i]) end")
        elif key != "meta":
            lines.append(f"redis.call('{_LENGTH.get(key, 'XLEN')}', KEYS[{i}])")
    return " ".join(("local function typed()", *lines, "end"))


@cache
def load(name: str) -> Script:
    """Return a script by name; ValueError names the file and line of a broken header or include."""
    text = _read(f"{name}.lua")
    keys, args = _header(name, text, "KEYS"), _header(name, text, "ARGV")
    looked_at = _header(name, text, "TYPES") if "\n-- TYPES " in text else keys
    flags = "" if name in _OOM_REFUSED else " flags=allow-oom"
    code = _lean(_expand(name, text, [], (name,)) + "\n")
    body = "\n".join((f"#!lua{flags}", _bind(keys, args), _typed(keys, looked_at), code))
    data = body.encode()
    return Script(
        name, keys, args, data, hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()
    )


@cache
def names() -> tuple[str, ...]:
    """Return the names of all scripts."""
    folder = resources.files(__package__)
    return tuple(sorted(p.name[:-4] for p in folder.iterdir() if p.name.endswith(".lua")))
