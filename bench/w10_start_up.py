"""W10: start-up: `luaflow --help`, and `luaflow dev` until it says that it is ready."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from stack import APP, Setup

N = 5
LUAFLOW = [sys.executable, "-m", "luaflow_cli.main"]


async def rounds(setup: Setup, n: int) -> list[dict[str, Any]]:
    n = min(n, N)
    _help()
    _dev(setup)
    helps, devs = [_help() for _ in range(n)], [_dev(setup) for _ in range(n)]
    shown = {"help_ms": median(helps) * 1000, "dev_ready_ms": median(devs) * 1000}
    return [{"work": "W10", "n": n, **{name: round(ms, 1) for name, ms in shown.items()}}]


def _help() -> float:
    since = time.perf_counter()
    subprocess.run([*LUAFLOW, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - since


def _dev(setup: Setup) -> float:
    setup.data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=setup.data))
    command = [*LUAFLOW, "dev", str(APP), "--port", "0", "--data", str(folder / "data")]
    since = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not any("luaflow is ready" in line for line in process.stdout):
                sys.exit("luaflow dev ended before it was ready")
            return time.perf_counter() - since
        finally:
            process.terminate()
            process.communicate()
            shutil.rmtree(folder)
