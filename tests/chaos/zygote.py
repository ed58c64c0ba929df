"""A process that has imported luaflow's programs and forks them on request.

A worker then starts in a few hundredths of a second of CPU and not in three quarters of one, and
is a process like any other: of its own session, with its own log, killed and stopped by its own id.
One request a line on standard input (JSON: ``program``, ``arguments``, ``environment``, ``log``),
one answer a line: the process id.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

from luaflow_scheduler import cli as scheduler
from luaflow_worker import cli as worker

PROGRAMS = {"worker": worker.main, "scheduler": scheduler.main}
_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the one that made it is gone, however it ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def become(request: dict[str, Any], parent: int) -> None:
    """Be the program that is asked for, until it ends."""
    die_with(parent)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(request["environment"])
    program = PROGRAMS[request["program"]]
    program(request["arguments"], prog_name=f"luaflow-{request['program']}")


def main() -> None:
    """Fork one program a request, until the input ends."""
    die_with(int(sys.argv[1]))
    # nobody asks how they ended: the kernel buries them
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    here = os.getpid()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                become(json.loads(line), here)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
