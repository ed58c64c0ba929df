"""Plays the worker by hand: takes workflow tasks and commits decisions, without any Lua."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from typing import Any, NamedTuple

import orjson

from luaflow.client import Client
from luaflow.domain.events import CLOSING_EVENT
from luaflow.store import transitions
from luaflow.store.deployed import DeployedType
from luaflow.store.keys import types
from luaflow.store.link import Arg
from luaflow.store.store import Store
from luaflow.store.transitions import COMMIT_KEYS, Route

QUEUE = "orders"


class Task(NamedTuple):
    """A workflow task that was taken: its route, its turn, the history length it saw."""

    route: Route
    turn: int
    seen: int


class Player:
    """A worker of one namespace and queue whose decisions a test makes."""

    def __init__(self, store: Store, name: str = "player", queue: str = QUEUE) -> None:
        self.store = store
        self.name = name
        self.queue = queue
        self._numbers = itertools.count(1)

    async def register(self, *names: str) -> None:
        """Make workflow types known, as a deployment would."""
        for name in names:
            one = DeployedType(name, name, "b" * 32, self.queue, "app:worker", "app:client")
            await self.store.read(("HSET", types(self.store.namespace), name, one.to_bytes()))

    async def take(self, workflow_id: str) -> Task:
        """Take the queued task of a workflow; it must have one."""
        route = await self.store.route(workflow_id)
        p = route.partition
        stream = p.sticky(route.sticky) if route.sticky else p.workflow_queue(self.queue)
        (entries,) = await self.store.read(("XRANGE", stream, "-", "+"))
        for entry, fields in entries:
            if fields[1] == route.run_id.encode():
                call = transitions.take_workflow(
                    partition=p,
                    run_id=route.run_id,
                    stream=stream,
                    turn=int(fields[5]),
                    worker=self.name,
                    entry=entry.decode(),
                )
                answer = await self.store.one(call)
                assert answer[0] == b"ok", answer
                return Task(route, answer[1], answer[2])
        raise AssertionError(f"{workflow_id} has no task in {stream}")

    async def commit(
        self,
        task: Task,
        operations: tuple[Arg, ...] = (),
        *,
        others: tuple[str, ...] = (),
        sticky: str = "",
    ) -> list[object]:
        """Commit a decision and return the script's answer; keys of operations count from 10."""
        assert COMMIT_KEYS == 9
        call = transitions.commit(
            route=task.route,
            cid=f"{self.name}:{next(self._numbers)}:{uuid.uuid4().hex}",
            turn=task.turn,
            seen=task.seen,
            worker=self.name,
            fused=False,
            sticky=sticky,
            decision=orjson.dumps({"seen": task.seen, "worker": self.name}),
            results=(),
            operations=operations,
            others=others,
        )
        return await self.store.one(call)

    async def close(
        self, workflow_id: str, status: str = "completed", **body: object
    ) -> list[object]:
        """Take the workflow's task and close the run: ``result=`` or ``failure=`` is the body."""
        task = await self.take(workflow_id)
        ending = ("Z", status, CLOSING_EVENT[status], orjson.dumps(body), 0, "", "", "close")
        answer = await self.commit(task, ending)
        assert answer[0] == b"ok", answer
        return answer

    async def continue_as_new(self, workflow_id: str, next_run: str) -> Route:
        """Close the run and open the next one of its workflow id; return the old route."""
        task = await self.take(workflow_id)
        started = {"v": 1, "type": "app:pay", "workflow_id": workflow_id, "run_id": next_run}
        started |= {"host": "app:worker", "client": "app:client", "input": []}
        call = transitions.continue_as_new(
            route=task.route,
            cid=uuid.uuid4().hex,
            turn=task.turn,
            seen=task.seen,
            worker=self.name,
            decision=orjson.dumps({"seen": task.seen, "worker": self.name}),
            closing=orjson.dumps({"new_run_id": next_run, "type": "app:pay", "input": []}),
            next_run=next_run,
            type="app:pay",
            bundle="b" * 32,
            attempt=1,
            run_timeout=0,
            started=orjson.dumps(started),
            unread=(),
            operations=(),
            others=(),
        )
        answer = await self.store.one(call)
        assert answer[0] == b"ok", answer
        return task.route


def watch_subscriptions(store: Store) -> asyncio.Event:
    """An event that is set when somebody has subscribed to something."""
    done, add = asyncio.Event(), store.push.add

    async def watched(channel: str, listener: Any) -> None:
        await add(channel, listener)
        done.set()

    store.push.add = watched  # type: ignore[method-assign]
    return done


def watch_starts(client: Client) -> asyncio.Event:
    """An event that is set when the client has started a workflow, and knows it."""
    done, start = asyncio.Event(), client._start

    async def watched(*given: Any) -> Any:
        handle = await start(*given)
        done.set()
        return handle

    client._start = watched  # type: ignore[method-assign, assignment]
    return done
