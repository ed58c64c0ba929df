"""Where the code of a run stands: its history is replayed here, without touching the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luaflow.client import Client


async def stack_of(client: Client, workflow_id: str, run_id: str | None) -> dict[str, Any]:
    """``{workflow_id, run_id, status, history_length, stack}`` of a run; ``stack`` is text.

    Raises NotFound for the run or its code, NonDeterminism when the code does not fit the history.
    """
    from luaflow.deploy import load_bundle
    from luaflow.domain.events import CLOSING
    from luaflow.lua import Engine
    from luaflow.replay.decider import Execution, NonDeterminism, explained
    from luaflow.replay.loading import bundle_of, pid_of, run_info, source_of

    found = await client.get_handle(workflow_id, run_id).describe()
    run_id = str(found["run_id"])
    events = [e async for e in client.get_handle(workflow_id, run_id).history()]
    started = events[0].body
    bundle = await load_bundle(client.store, bundle_of(events))
    info = run_info(client.namespace, workflow_id, run_id, started, bundle, pid_of(started))
    engine = Engine(source_of(bundle))
    run = engine.open(info)
    try:
        Execution(run, _nothing_new).replay(events)
    except NonDeterminism as error:
        raise explained(error, engine, info, events) from None
    return {
        "workflow_id": workflow_id,
        "run_id": run_id,
        "status": CLOSING.get(events[-1].type, "running"),
        "history_length": len(events),
        "stack": run.stack(),
    }


async def stack_text(client: Client, workflow_id: str, run_id: str | None) -> str:
    """The same for people: what a stuck run is stuck at, and where its code waits."""
    from luaflow.errors import LuaflowError

    health = (await client.get_handle(workflow_id, run_id).describe())["health"]
    stuck = health["state"] == "stuck"
    try:
        found = await stack_of(client, workflow_id, run_id)
    except LuaflowError:
        if not stuck:
            raise
        return _why(health)  # what keeps the run from going on keeps the replay from it, too
    if stuck:
        return "\n".join(filter(None, (_why(health), found["stack"])))
    return found["stack"] or f"nothing waits: the workflow is {found['status']}"


def _why(health: dict[str, Any]) -> str:
    from luaflow_cli.output import dump

    reason = health["reason"]
    if isinstance(reason, dict):
        reason = reason.get("message") or dump(reason)
    return f"stuck (failures in a row: {health['failures']}): {reason}"


def _nothing_new(name: str, *_args: Any) -> Any:
    """A replay goes no further than the history, so it makes no values."""
    raise AssertionError(f"a replay asked for a new {name}")
