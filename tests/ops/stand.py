"""A stand to watch luaflow on: a server, real processes, a real Prometheus that scrapes them."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import threading
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from tests.support.processes import Program
from tools.programs import find, in_ci

from luaflow import Client
from luaflow.deploy import deploy
from luaflow.embedded import EmbeddedServer
from luaflow.registry.app import load_app

APP = Path(__file__).parent / "app"
METRICS = r"^metrics on http://\S+:(\d+)/metrics"
WINDOWS = {"$__rate_interval": "30s", "$__range": "5m"}
WITHIN = 90.0
"""Seconds until a query has an answer, or an alert fires."""


def needed(name: str) -> Path:
    """A program of Debian's package prometheus; .ci/run fetches it without installing it."""
    found = find(name)
    if found is None:
        if in_ci():
            pytest.fail(f"there is no {name}: .ci/run should have fetched it")
        pytest.skip(f"SKIPPED: no {name} on PATH; on Debian: apt-get install prometheus")
    return found


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Prometheus did not wait for the answer: it says so itself."""


class Scrapes:
    """Stands between Prometheus and the processes, and so knows how often it has asked.

    ``ports``: where a process serves its metrics, by name; one that is not there answers 502.
    """

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self._count = 0
        self._changed = threading.Condition()
        scrapes = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.partition("?")[0].strip("/")
                try:
                    where = f"http://127.0.0.1:{scrapes.ports[name]}/metrics"
                    with urllib.request.urlopen(where, timeout=2) as answer:
                        status, body = 200, answer.read()
                        kind = answer.headers["Content-Type"]
                except (KeyError, OSError):
                    status, body, kind = 502, b"", "text/plain"
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                scrapes.asked()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = _Server(("127.0.0.1", 0), Handler)

    def asked(self) -> None:
        """Prometheus has asked for the metrics of one process."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    async def next(self, more: int = 4) -> None:
        """Return when Prometheus has asked so many times again."""
        goal = self._count + more

        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: self._count >= goal, 30), "no scrape"

        await asyncio.to_thread(wait)


class Stand:
    """``async with Stand(folder) as stand``; all it started ends with the block."""

    def __init__(self, folder: Path, server: EmbeddedServer, rules: Path | None = None) -> None:
        """``rules``: a file of alerts for Prometheus. ``server`` is started and stopped here."""
        self.server = server
        self.scrapes = Scrapes()
        self.app = folder / "app"
        self._folder = folder
        self._rules = rules
        self._stack = AsyncExitStack()
        self._programs: list[Program] = []
        self.programs: dict[str, Program] = {}
        """The process that was started last under each name."""
        shutil.copytree(APP, self.app)

    async def __aenter__(self) -> Self:
        needed("prometheus")  # else nothing is begun
        await asyncio.to_thread(self.server.start)
        self._stack.callback(self.server.stop)
        self.client = await self._stack.enter_async_context(await Client.connect(self.server.url))
        await self.deploy()
        pool = self._stack.enter_context(ThreadPoolExecutor(1))
        self._stack.callback(self.scrapes.server.server_close)
        pool.submit(self.scrapes.server.serve_forever, 0.1)
        self._stack.callback(self.scrapes.server.shutdown)
        self._stack.push_async_callback(self._end)
        self.prometheus = await self._prometheus()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note("\n".join(f"--- {p.name}\n{p.last_words()}" for p in self._programs))
        await self._stack.aclose()

    async def _end(self) -> None:
        await asyncio.gather(*(program.kill() for program in self._programs))

    async def deploy(self) -> None:
        """Deploy the app as it stands in the folder now."""
        await deploy(self.client.store, load_app(self.app))

    async def worker(self, *options: str, name: str = "worker") -> Program:
        """Start a worker of the queue orders."""
        arguments = ["--queue", "orders", "--app", str(self.app), *options]
        return await self._process(name, "luaflow_worker.cli", arguments, " serves ")

    async def scheduler(self) -> Program:
        """Start a scheduler."""
        return await self._process("scheduler", "luaflow_scheduler.cli", [], "looks after")

    async def serve(self) -> Program:
        """Start `luaflow serve`, which answers visits."""
        arguments = ["serve", str(self.app), "--port", "0"]
        program = await self._process("serve", "luaflow_cli.main", arguments, " serves ")
        self._site = (await program.line(r"serves app:gateway on (http://[^\s,]+)"))[1]
        return program

    async def visit(self, path: str) -> int:
        """The status code with which `luaflow serve` answers at a path of the app."""

        def ask() -> int:
            try:
                with urllib.request.urlopen(self._site + path, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        return await asyncio.to_thread(ask)

    async def _process(self, name: str, module: str, arguments: list[str], ready: str) -> Program:
        program = Program(name, ready)
        self._programs.append(program)
        self.programs[name] = program
        where = ["--redis", self.server.url, "--metrics-port", "0"]
        await program.start(module, *arguments, *where)
        self.scrapes.ports[name] = int((await program.line(METRICS))[1])
        await program.line(ready)
        return program

    async def _prometheus(self) -> str:
        """Start a Prometheus that asks for worker, scheduler, serve and spare each second."""
        target = f"127.0.0.1:{self.scrapes.server.server_address[1]}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self._rules)] if self._rules else [],
            "scrape_configs": [
                {
                    "job_name": name,
                    "metrics_path": f"/{name}",
                    "static_configs": [{"targets": [target], "labels": {"instance": name}}],
                }
                for name in ("worker", "scheduler", "serve", "spare")
            ],
        }
        file = self._folder / "prometheus.yml"  # JSON is YAML
        file.write_text(json.dumps(config))
        running = Program("prometheus", "ready")
        self._programs.append(running)
        await running.spawn(
            str(needed("prometheus")),
            f"--config.file={file}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            "--web.listen-address=127.0.0.1:0",
        )
        address = (await running.line(r'msg="Listening on" address=(\S+)'))[1]
        await running.line("Server is ready")
        return f"http://{address}"

    # -- asking ----------------------------------------------------------------------------------

    async def ask(self, path: str, **parameters: str) -> Any:
        """What the API of Prometheus answers; where it refuses, ``error`` has its words."""
        query = urllib.parse.urlencode(parameters)
        return await asyncio.to_thread(_get, f"{self.prometheus}/api/v1/{path}?{query}")

    async def complaint(self, query: str) -> str | None:
        """What is wrong with the answer to a query of a dashboard."""
        if variable := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
            metric, label = variable.groups()
            answer = await self.ask(f"label/{label}/values", **{"match[]": filled(metric)})
            return None if isinstance(answer, list) and answer else f"no values: {answer}"
        answer = await self.ask("query", query=filled(query))
        if "error" in answer:
            return str(answer["error"])
        values = [float(series["value"][1]) for series in answer["result"]]
        if not values:
            return "the answer is empty"
        return "no answer is a number" if all(map(math.isnan, values)) else None

    async def until(self, query: str) -> None:
        """Return when a query has an answer."""
        async with asyncio.timeout(WITHIN):
            while await self.complaint(query):
                await self.scrapes.next()

    async def alerts(self, state: str = "firing") -> set[str]:
        """The names of the alerts in a state."""
        answer = await self.ask("alerts")
        return {one["labels"]["alertname"] for one in answer["alerts"] if one["state"] == state}

    async def until_alert(self, name: str, *, fires: bool = True, within: float = WITHIN) -> None:
        """Return when the alert fires, or does so no more."""
        fired: set[str] = set()
        try:
            async with asyncio.timeout(within):
                while (name in (fired := await self.alerts())) != fires:
                    await self.scrapes.next()
        except TimeoutError:
            what = "does not fire" if fires else "still fires"
            raise AssertionError(f"{name} {what}; these do: {sorted(fired)}") from None


def filled(query: str) -> str:
    """A query with something in the place of Grafana's variables."""
    for name, value in WINDOWS.items():
        query = query.replace(name, value)
    return re.sub(r"\$\w+", ".*", query)


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        return {"error": json.load(error)["error"]}
