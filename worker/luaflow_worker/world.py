"""What functions may do to workflows: a client that shares the worker's connection."""

from __future__ import annotations

from typing import Any

from luaflow.client.client import Client
from luaflow.domain import values
from luaflow.domain.ids import parse_pid
from luaflow.errors import NotFound
from luaflow.lua.vm import Command


class ClientWorld:
    """Carries out spawn, send, cancel and terminate of functions."""

    def __init__(self, client: Client) -> None:
        """Keep the client."""
        self._client = client

    async def spawn(self, command: Command, extra: dict[str, Any], sender: str) -> tuple[str, Any]:
        """Start a workflow; return its PID and its handle."""
        options = dict(extra.get("options") or {})
        host = extra.get("host")
        handle = await self._client.start(
            (command.name or b"").decode(errors="replace"),
            *values.loads(command.data or b"[]"),
            name=extra.get("name"),
            host=host,
            options=options,
            messages=[values.decode(m) for m in extra.get("messages") or []],
            context=extra.get("context"),
            sender=sender,
        )
        return handle.pid or "", handle

    async def send(self, to: str, topic: str, payloads: list[Any], sender: str) -> None:
        """Signal a workflow by PID."""
        await self._client.get_handle(_workflow(to)).signal(topic, *payloads, sender=sender)

    async def update(self, to: str, name: str, args: list[Any], sender: str) -> Any:
        """Send an update to a workflow by PID; return its answer."""
        return await self._client.get_handle(_workflow(to)).update(name, *args, sender=sender)

    async def query(self, to: str, name: str, args: list[Any]) -> Any:
        """Ask a workflow by PID; return its answer."""
        return await self._client.get_handle(_workflow(to)).query(name, *args)

    async def cancel(self, to: str, reason: str | None) -> None:
        """Ask a workflow to cancel."""
        await self._client.get_handle(_workflow(to)).cancel(reason)

    async def terminate(self, to: str) -> None:
        """End a workflow."""
        await self._client.get_handle(_workflow(to)).terminate()


def _workflow(to: str) -> str:
    pid = parse_pid(to)
    if pid is None:
        raise NotFound(f"could not resolve '{to}' as PID or registered name")
    return pid.uniq
