"""``python -IS shim.py <zygote> <module> <arguments>``: has a zygote run a program, and ends as it.

Run by a shell in the place of ``python -m <module>``: streams, folder and environment are those of
this process, SIGINT and SIGTERM pass on, the program ends when this process does. It imports little
on purpose.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

address, module, *arguments = sys.argv[1:]
request = {
    "watched": True,
    "session": False,
    "kept": [],
    "module": module,
    "arguments": arguments,
    "folder": os.getcwd(),  # noqa: PTH109
    "environment": dict(os.environ),
}
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: client.send(str(number).encode()))
client.connect(f"\0{address}")
socket.send_fds(client, [json.dumps(request).encode()], [0, 1, 2])
code = int(client.recv(16))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
