"""What functions may do outside of their node: a client, connected when first needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from luaflow.client import deferred
from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.client.payloads import check_size
from luaflow.client.session import Session
from luaflow.domain import values
from luaflow.domain.failure import Failure
from luaflow.domain.ids import Pid
from luaflow.errors import InvalidArgument, NotFound
from luaflow.lua.vm import Command
from luaflow.store.store import Store


class World:
    """Carries out what functions ask of workflows, jobs and deferred activities."""

    def __init__(self, client: Client | Callable[[], Awaitable[Client]]) -> None:
        """``client``: an open one, which stays its owner's, or what connects one when needed."""
        self.session = Session()
        self._connect: Callable[[], Awaitable[Client]] | None = None
        self._client: Client | None = None
        if isinstance(client, Client):
            self._client = client
        else:
            self._connect = client
        self._connecting = asyncio.Lock()

    async def client(self) -> Client:
        """The client; raises what connecting raises."""
        async with self._connecting:
            if self._client is None:
                assert self._connect is not None
                self._client = await self._connect()
            return self._client

    @property
    def connected(self) -> bool:
        """Whether there is a client already."""
        return self._client is not None

    @property
    def namespace(self) -> str | None:
        """The namespace, once there is a client."""
        return None if self._client is None else self._client.store.namespace

    async def store(self) -> Store:
        """The store of the namespace."""
        return (await self.client()).store

    async def check_size(self, payloads: bytes, what: str) -> None:
        """Raise Refused for what is over the namespace's limit of a payload."""
        check_size(payloads, (await self.store()).settings, what)

    async def spawn(self, command: Command, extra: dict[str, Any], sender: str) -> Handle:
        """Start a workflow, or find the one that its id policies say."""
        client = await self.client()
        return await client.start(
            (command.name or b"").decode(errors="replace"),
            *values.loads(command.data or b"[]"),
            name=extra.get("name"),
            host=extra.get("host"),
            options=dict(extra.get("options") or {}),
            messages=[values.decode(m) for m in extra.get("messages") or []],
            context=extra.get("context"),
            sender=sender,
        )

    async def run_job(
        self, entry: str, args: list[Any], options: dict[str, Any], context: dict[str, Any]
    ) -> Any:
        """Run a function through a task queue; return its result."""
        decoded = {name: values.decode(value) for name, value in context.items()}
        client = await self.client()
        job = await client.enqueue(entry, *args, options=options, context=decoded)
        return await job.result()

    async def complete_activity(self, token: str, result: Any) -> None:
        """End a deferred activity with a result."""
        await (await self.client()).complete_activity(token, result)

    async def fail_activity(self, token: str, failure: Failure) -> None:
        """Fail a deferred activity."""
        await deferred.fail(await self.store(), token, failure)

    async def send(self, to: Pid, topic: str, payloads: list[Any], sender: str) -> None:
        """Signal a workflow."""
        await self._handle(await self.client(), to).signal(topic, *payloads, sender=sender)

    async def update(self, to: Pid, name: str, args: list[Any], sender: str) -> Any:
        """Send an update to a workflow; return its answer."""
        return await self._handle(await self.client(), to).update(name, *args, sender=sender)

    async def query(self, to: Pid, name: str, args: list[Any]) -> Any:
        """Ask a workflow; return its answer."""
        return await self._handle(await self.client(), to).query(name, *args)

    async def cancel(self, to: Pid, reason: str | None) -> None:
        """Ask a workflow to cancel."""
        await self._handle(await self.client(), to).cancel(reason)

    async def terminate(self, to: Pid) -> None:
        """End a workflow."""
        await self._handle(await self.client(), to).terminate()

    async def attach(self, to: Pid) -> Handle:
        """The run that a workflow's id has now, running or closed; NotFound without one."""
        client = await self.client()
        handle = self._handle(client, to)
        route = await client.store.route(to.uniq)
        return client.get_handle(handle.workflow_id, route.run_id)

    @staticmethod
    def _handle(client: Client, to: Pid) -> Handle:
        try:
            client.store.partition(to.uniq)
        except InvalidArgument as error:
            raise NotFound(f"could not resolve '{to}' as PID or registered name") from error
        return client.get_handle(to.uniq)

    async def close(self) -> None:
        """Close the client, if this made it."""
        if self._connect is not None and self._client is not None:
            with contextlib.suppress(OSError):
                await self._client.close()
            self._client = None
