"""Every query of every dashboard, on a real Prometheus that scrapes a real worker and scheduler."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest
from tools.check_dashboards import load, queries
from tools.programs import find, in_ci

from luaflow import Client
from luaflow.embedded import EmbeddedServer

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(180)]

APP = Path(__file__).parent / "app"
PROCESSES = ("worker", "scheduler")
WINDOWS = {"$__rate_interval": "30s", "$__range": "5m"}


class Program:
    """A process whose output is read, line by line, until it ends."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self._process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def line(self, pattern: str, within: float = 60) -> re.Match[str]:
        """The first line that matches; fails with all that was said when none comes."""

        def found() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self._lines)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, within)
            match = found()
            assert match, f"no {pattern!r} in:\n{''.join(self._lines[-50:])}"
            return match

    def stop(self) -> int:
        """SIGTERM, wait; the exit code."""
        self._process.terminate()
        try:
            return self._process.wait(60)
        finally:
            self._process.kill()
            self._reader.join()
            assert self._process.stdout
            self._process.stdout.close()


class Scrapes:
    """Stands between Prometheus and the processes, and so knows how often it has asked."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._counts = dict.fromkeys(ports, 0)
        self._changed = threading.Condition()
        scrapes = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.partition("?")[0].strip("/")
                with urllib.request.urlopen(f"http://127.0.0.1:{ports[name]}/metrics") as answer:
                    body, kind = answer.read(), answer.headers["Content-Type"]
                scrapes._count(name)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def _count(self, name: str) -> None:
        with self._changed:
            self._counts[name] += 1
            self._changed.notify_all()

    def wait_for(self, more: int) -> None:
        """Return when each process was asked so many times again."""
        with self._changed:
            goal = {name: count + more for name, count in self._counts.items()}
            reached = self._changed.wait_for(
                lambda: all(self._counts[name] >= count for name, count in goal.items()), 30
            )
            assert reached, f"Prometheus asked {self._counts} times, not {goal}"


@contextmanager
def program(command: list[str], **environment: str) -> Iterator[Program]:
    """A program that is stopped at the end."""
    running = Program(command, **environment)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    """The port of a server that serves."""
    with ThreadPoolExecutor(1) as pool, server:
        pool.submit(server.serve_forever, 0.1)
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def luaflow(module: str, *arguments: str) -> list[str]:
    """The command line of one of our programs, installed or not."""
    return [sys.executable, "-c", f"from {module} import main; main()", *arguments]


@pytest.fixture(scope="module")
def prometheus_binary() -> Path:
    """Debian's Prometheus: .ci/run fetches it without installing it."""
    found = find("prometheus")
    if found is None:
        if in_ci():
            pytest.fail("there is no prometheus: .ci/run should have fetched it")
        pytest.skip("SKIPPED: no prometheus on PATH; on Debian: apt-get install prometheus")
    return found


@pytest.fixture
def running(tmp_path: Path, server_binary: Path | None) -> Iterator[tuple[dict[str, Program], str]]:
    """A server with the app deployed, a worker and a scheduler; their programs and its address."""
    with ExitStack() as stack:
        data, memory = tmp_path / "redis", ("--maxmemory", "1gb")
        url = stack.enter_context(EmbeddedServer(data, binary=server_binary, extra=memory)).url
        at = {"LUAFLOW_REDIS_URL": url}
        subprocess.run(
            luaflow("luaflow_cli.main", "deploy", str(APP)), env=os.environ | at, check=True
        )
        where = ["--metrics-port", "0"]
        # A cache of one workflow: replays and evictions.
        worker = ["--queue", "orders", "--app", str(APP), "--cache", "1", *where]
        commands = {
            "worker": luaflow("luaflow_worker.cli", *worker),
            "scheduler": luaflow("luaflow_scheduler.cli", *where),
        }
        yield (
            {
                name: stack.enter_context(program(command, **at))
                for name, command in commands.items()
            },
            url,
        )


@contextmanager
def prometheus(binary: Path, folder: Path, port: int) -> Iterator[str]:
    """A Prometheus that asks for /worker and /scheduler on ``port`` each second; its address."""
    jobs = [
        {
            "job_name": name,
            "metrics_path": f"/{name}",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        }
        for name in PROCESSES
    ]
    config = folder / "prometheus.yml"  # JSON is YAML
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    command = [
        str(binary),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    with program(command) as running:
        address = running.line(r'msg="Listening on" address=(\S+)')[1]
        running.line("Server is ready")
        yield f"http://{address}"


async def load_it(url: str, programs: dict[str, Program], scrapes: Scrapes) -> None:
    """Twice the same work, scraped in between: a rate needs a series that grows."""
    async with await Client.connect(url) as client:
        await client.start("app:loops", id="loops")
        for _ in range(2):
            handles = [await client.start("app:busy") for _ in range(4)]
            for handle in handles:
                assert await handle.result(timeout=30) == "done"
            scrapes.wait_for(2)
    programs["worker"].line(r"workflow loops .* is stuck")


def ask(address: str, path: str, **parameters: str) -> Any:
    """What the API of Prometheus answers; fails with its words when it refuses."""
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{address}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        return {"error": json.load(error)["error"]}


def complaint(address: str, query: str) -> str | None:
    """What is wrong with the answer to a query of a dashboard."""
    if variable := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
        metric, label = variable.groups()
        answer = ask(address, f"label/{label}/values", **{"match[]": metric})
        return None if isinstance(answer, list) and answer else f"no values: {answer}"
    for name, value in WINDOWS.items():
        query = query.replace(name, value)
    query = re.sub(r"\$\w+", ".*", query)
    answer = ask(address, "query", query=query)
    if "error" in answer:
        return str(answer["error"])
    values = [float(series["value"][1]) for series in answer["result"]]
    if not values:
        return "the answer is empty"
    return "no answer is a number" if all(map(math.isnan, values)) else None


async def test_every_query_has_an_answer(
    prometheus_binary: Path, running: tuple[dict[str, Program], str], tmp_path: Path
) -> None:
    """No query is refused, none is empty, none has only answers that are no number."""
    programs, url = running
    ports = {
        name: int(programs[name].line(r"metrics on http://\S+:(\d+)/metrics")[1])
        for name in PROCESSES
    }
    scrapes = Scrapes(ports)
    with serving(scrapes.server) as port, prometheus(prometheus_binary, tmp_path, port) as address:
        await load_it(url, programs, scrapes)
        found = [
            f"{name}: {where}: {text}: {query}"
            for name, board in load().items()
            for where, query in queries(board)
            if (text := complaint(address, query))
        ]
    assert not found, "\n".join(found)
