"""App folders for the tests of the registry."""

from __future__ import annotations

from pathlib import Path

HEAD = """\
namespace: app
entries:
  - name: client
    kind: temporal.client
    address: localhost:6379
  - name: worker
    kind: temporal.worker
    client: client
    task_queue: orders
"""
"""A registry of 9 lines with a client and a worker; further entries begin in line 10."""

WORKFLOW = """\
  - name: wf
    kind: workflow.lua
    source: file://wf.lua
    modules: [funcs, time, workflow]
    meta: {temporal: {workflow: {worker: worker}}}
"""


def write_app(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below a folder, making the folders on the way; returns the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
