"""luaflow: durable workflows in Lua, on Redis.

``from luaflow import Client`` (or ``SyncClient``) starts workflows and talks to them; the
exceptions are in ``luaflow.errors``. Importing luaflow itself loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luaflow import errors
    from luaflow.client import Client, Job, SyncClient

    __version__: str

__all__ = ["Client", "Job", "SyncClient", "__version__", "errors"]


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is asked for."""
    if name in {"Client", "Job", "SyncClient"}:
        return getattr(import_module("luaflow.client"), name)
    if name == "errors":
        return import_module("luaflow.errors")
    if name == "__version__":
        return _version()
    raise AttributeError(f"module 'luaflow' has no attribute {name!r}")


def _version() -> str:
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("luaflow"))
    except metadata.PackageNotFoundError:
        return "0+unknown"
