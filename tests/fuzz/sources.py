"""Files of an app: registries, and Lua with types."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from luaflow.lua.services import yamltext
from luaflow.registry import typed, yamlfile
from luaflow.registry.app import load_app
from luaflow.registry.check import check_app
from luaflow.registry.lua_scan import scan
from luaflow.registry.typed_lexer import LuaSyntax
from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target
from tests.support.lua_writer import write_lua

ROOT = Path(__file__).parents[2]
REGISTRIES = tuple(
    path.read_bytes()
    for path in sorted(
        [*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("tests/*/app/**/*.yaml")],
        key=str,
    )
)
EXAMPLES = tuple(
    path.read_bytes()
    for path in sorted([*ROOT.glob("examples/**/*.lua"), *ROOT.glob("tests/*/app/**/*.lua")])
)
KINDS = b"""
temporal.client temporal.worker workflow.lua function.lua function.python library.lua process.lua
process.host process.service http.service http.router http.endpoint http.static env.variable
env.storage.memory env.storage.file registry.entry schedule
""".split()
ENTRY = (
    b"version: '1.0'\nnamespace: app\nentries:\n"
    b"  - {name: c, kind: temporal.client, address: 'redis://localhost'}\n"
    b"  - {name: w, kind: temporal.worker, client: c, task_queue: q}\n"
    b"  - {name: f, kind: workflow.lua, source: 'return function() end', modules: [time],\n"
    b"     input_schema: {type: object}, meta: {temporal: {workflow: {worker: w}}}}\n"
    b"  - {name: v, kind: env.variable, variable: X, default: '1'}\n"
    b"  - {name: s, kind: http.service, addr: ':0'}\n"
    b"  - {name: r, kind: http.router, prefix: /api, meta: {server: s}}\n"
    b"  - {name: e, kind: http.endpoint, func: f, method: GET, path: '/{id}', meta: {router: r}}\n"
)
WORDS = (
    *(
        b": ",
        b"- ",
        b"\n",
        b"\n  ",
        b"\n    ",
        b"[",
        b"]",
        b"{",
        b"}",
        b", ",
        b"&a ",
        b"*a",
        b"|\n",
    ),
    *(
        b"!!python/object:os.system ",
        b"!!binary ",
        b"<<: ",
        b"---\n",
        b"${env:X}",
        b"file://",
        b"#",
    ),
    *(b"name: ", b"kind: ", b"meta: ", b"entries:", b"namespace: ", b"modules: ", b"source: "),
    *KINDS,
)


class Registries(Target):
    """The YAML or JSON of an app, loaded and checked."""

    name = "registries"
    quick = 60
    share = 15.0
    rate = 600.0

    def open(self) -> None:
        """A folder for the app."""
        self._folder = Path(tempfile.mkdtemp(prefix="luaflow-fuzz-"))

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self._folder)

    def make(self, chance: random.Random) -> bytes:
        """A registry, mostly nearly right."""
        return mutated(chance, (ENTRY, ENTRY, ENTRY, *REGISTRIES), WORDS)

    def run(self, data: bytes) -> None:
        """Load it, whole and in part, and check it."""
        json = data.lstrip()[:1] == b"{"
        path = self._folder / ("_index.json" if json else "_index.yaml")
        path.write_bytes(data)
        try:
            check_app(load_app(self._folder, {"X": "1"}, partly=True))
            check_app(load_app(self._folder, {"X": "1"}))
        finally:
            path.unlink()


class Yaml(Target):
    """YAML text alone: of registries, and of the ``yaml`` module."""

    name = "yaml"
    share = 5.0
    rate = 1800.0

    def make(self, chance: random.Random) -> bytes:
        """YAML, or nearly."""
        return mutated(
            chance, (ENTRY[:60], b"a: [1, {b: c}]\n", b"- &x 1\n- *x\n", *REGISTRIES), WORDS
        )

    def run(self, data: bytes) -> None:
        """Read it with each reader."""
        yamltext.decode(data)
        yamlfile.parse(data, "_index.yaml")


class Typed(Target):
    """Lua, plain or with types: erased and looked through."""

    name = "typed"
    quick = 200
    share = 15.0
    rate = 800.0
    LUA = (
        *(
            b"local ",
            b"function ",
            b"end ",
            b": number",
            b" as ",
            b"<T>",
            b"::",
            b"[[",
            b"]]",
            b"--",
        ),
        *(
            b"type X = ",
            b"export ",
            b"{",
            b"}",
            b"(",
            b")",
            b"|",
            b"?",
            b"...",
            b"return ",
            b"goto ",
        ),
        *(b"'", b'"', b"\\z", b"[==[", b"0x", b"1e", b"<close>", b"require('x')", b"if ", b"then "),
    )

    def make(self, chance: random.Random) -> bytes:
        """A generated program, or a changed example."""
        if chance.randrange(2):
            return mutated(chance, EXAMPLES, self.LUA)
        text = write_lua(chance.randrange(1 << 30), typed=True).text.encode()[:20_000]
        return mutated(chance, (text,), self.LUA)

    def run(self, data: bytes) -> None:
        """Erase the types: lines stay lines; scan what is left."""
        text = data.decode(errors="replace")
        try:
            erased = typed.erase(text).text
        except LuaSyntax:
            return
        assert erased.count("\n") == text.count("\n"), "lines are not where they were"
        scan(erased)
