"""luaflow dev, as the process it is: everything runs, everything stops, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import zygote
from tests.support.apps import HEAD, WORKFLOW, write_app
from tests.support.commands import Commands

from luaflow.client import Client
from luaflow_cli.processes import Child, ChildEnded

WAITS = """\
local function main(a)
  time.sleep("10ms")
  local ch = process.listen("go")
  local by = ch:receive()
  return {a, by}
end
return {main = main}
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    workflow = WORKFLOW.replace("[funcs,", "[process, funcs,")
    return write_app(tmp_path, {"src/app.yaml": HEAD + workflow, "src/wf.lua": WAITS})


class Dev:
    """A running ``luaflow dev``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, text: str) -> str:
        """Read on until a line that holds the text; return it."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())
            if text in self.lines[-1]:
                return self.lines[-1]
        raise AssertionError(f"no {text!r} in:\n{''.join(self.lines)}")

    async def url(self) -> str:
        """Wait until all is ready; return where the server is."""
        return (await self.until("luaflow is ready")).split()[-1]


@contextlib.asynccontextmanager
async def running(app: Path, **variables: str) -> AsyncIterator[Dev]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LUAFLOW")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "luaflow_cli.main", "dev", str(app), "--port", "none"),
        env=env | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**20,
    )
    try:
        yield Dev(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.communicate()


def children(pid: int) -> list[int]:
    """The scheduler and the worker of dev, in this order."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(number) for number in text.split() if not is_zygote(int(number))]


def is_zygote(pid: int) -> bool:
    """Whether a process is there for our tests only."""
    return Path(f"/proc/{pid}/comm").read_text().strip() == zygote.NAME


def child_running(pid: int, module: str) -> int | None:
    """The child that has become this program: before, dev waits inside the fork for that."""
    for child in children(pid):
        if module in Path(f"/proc/{child}/cmdline").read_text():
            return child
    return None


def watch(pid: int) -> list[int]:
    """File descriptors that are readable when a child of the process has ended."""
    return [os.pidfd_open(child) for child in children(pid)]


async def all_ended(watches: list[int]) -> None:
    loop = asyncio.get_running_loop()
    for fd in watches:
        ended = asyncio.Event()
        loop.add_reader(fd, ended.set)
        await asyncio.wait_for(ended.wait(), 30)
        loop.remove_reader(fd)
        os.close(fd)


async def test_dev_runs_an_app_and_survives_kill_9(app: Path) -> None:
    """Workflows run; after SIGKILL nothing is left over and nothing is lost; Ctrl-C is clean."""
    async with running(app) as dev:
        async with await Client.connect(await dev.url(), "default") as client:
            handle = await client.start("app:wf", 1, id="w1")
            other = await client.start("app:wf", 2, id="w2")
            await other.signal("go", "b")
            assert await other.result(timeout=30) == [2, "b"]
        watches = watch(dev.process.pid)
        assert len(watches) == 2
        dev.process.kill()
        await all_ended(watches)
    async with running(app) as dev:
        async with await Client.connect(await dev.url(), "default") as client:
            handle = client.get_handle("w1")
            await handle.signal("go", "a")
            assert await handle.result(timeout=30) == [1, "a"]
        watches = watch(dev.process.pid)
        dev.process.send_signal(signal.SIGINT)
        await dev.until("stopping")
        await all_ended(watches)
        assert await dev.process.wait() == 0


async def test_dev_brings_its_own_server(app: Path) -> None:
    """The address that dev told to export, in the terminal where dev is started, is not used."""
    nowhere = "redis://127.0.0.1:1"
    async with running(app, LUAFLOW_REDIS_URL=nowhere) as dev:
        assert (await dev.url()).startswith("unix://")


def test_dev_on_a_server_that_was_typed(luaflow: Commands, app: Path) -> None:
    """With --redis, before or after the verb, dev uses that server."""
    where = ("--redis", "redis://127.0.0.1:1")
    for words in ((*where, "dev", str(app)), ("dev", str(app), *where)):
        answer = luaflow(*words)
        assert (answer.code, "cannot reach Redis" in answer.err) == (3, True)


async def test_dev_says_when_a_part_dies(app: Path) -> None:
    """A worker that ends by itself ends dev, with a message and code 1."""
    async with running(app) as dev:
        await dev.url()
        os.kill(children(dev.process.pid)[-1], signal.SIGKILL)
        await dev.until("error: the worker ended with code -9")
        assert await dev.process.wait() == 1


async def test_dev_survives_a_long_line(app: Path) -> None:
    """A line of any length passes; what comes after it is still read, and Ctrl-C still heard."""
    lua = 'return {main = function(n) print(string.rep("x", n)) print("n=" .. n) return n end}'
    write_app(app, {"src/wf.lua": lua})
    async with running(app) as dev:
        async with await Client.connect(await dev.url(), "default") as client:
            for n in (200_000, 70_000, 10):
                assert await client.execute("app:wf", n) == n
        await dev.until("n=10")
        dev.process.send_signal(signal.SIGTERM)
        await dev.until("stopping")
        assert await asyncio.wait_for(dev.process.wait(), 30) == 0


async def test_dev_whose_reader_has_gone(app: Path) -> None:
    """Nobody reads what dev says: it, and all it started, can still be stopped."""
    async with running(app) as dev:
        await dev.until("looks after")
        watches = watch(dev.process.pid)
        dev.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        dev.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(dev.process.wait(), 30)
        await all_ended(watches)


@pytest.mark.usefixtures("true_processes")
async def test_dev_is_stopped_while_a_child_starts(app: Path) -> None:
    """A signal is heard also while a process that does not come up is waited for."""
    async with running(app) as dev:
        await dev.until("looks after")
        while (worker := child_running(dev.process.pid, "luaflow_worker.cli")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # the kernel tells nobody of a new program
        watches = watch(dev.process.pid)
        os.kill(worker, signal.SIGSTOP)
        dev.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(dev.until("stopping"), 20)
        with contextlib.suppress(ProcessLookupError):  # dev kills what does not stop in time
            os.kill(worker, signal.SIGCONT)
        assert await asyncio.wait_for(dev.process.wait(), 30) == 0
        await all_ended(watches)


async def test_a_child_that_refuses_is_not_taken_for_ready(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its error begins with its name, as the line does by which it says that it serves."""
    child = Child("worker", "luaflow_worker.cli", ("--queue", "a{b"))
    with pytest.raises(ChildEnded, match="the worker ended at once, with code 2") as caught:
        await child.start()
    assert caught.value.code == 2
    assert "[worker] luaflow-worker: the queue 'a{b' is not a name" in capsys.readouterr().out
    await child.stop()


async def test_one_dev_for_a_folder(app: Path) -> None:
    """A second dev on the same folder is refused and told who has it."""
    async with running(app) as dev:
        await dev.url()
        async with running(app) as second:
            await second.until("is in use by process")
            assert await second.process.wait() == 5
