"""``luaflow namespace``: settings of namespaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luaflow_cli.common import common, place, run, settings

if TYPE_CHECKING:
    from luaflow.store.links import Linked
    from luaflow.store.namespaces import Settings

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@click.group()
@common()
def namespace() -> None:
    """Create and change namespaces."""


_SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--durability", {"help": "fast, replicated or fsynced."}),
    ("--replicas", {"type": int, "help": "How many must confirm when replicated."}),
    ("--synced-replicas", {"type": int, "help": "How many must sync, too, when fsynced: 0."}),
    ("--lease", {"metavar": "TIME", "help": "How long a worker may be silent: 10s."}),
    ("--sticky-timeout", {"metavar": "TIME", "help": "How long a task waits for its worker."}),
    ("--retention", {"metavar": "TIME", "help": "How long closed runs are kept: 168h."}),
    (
        "--retention-of",
        {
            "multiple": True,
            "metavar": "OUTCOME=TIME",
            "help": "Other than that: failed=720h; '': none.",
        },
    ),
    ("--archive", {"metavar": "URL", "help": "Where runs go then: file:///path; '' ends it."}),
    (
        "--settle-after",
        {"metavar": "TIME", "help": "Closed histories are packed after it; 0s: never."},
    ),
    ("--payload-warn-bytes", {"type": int, "help": "Payloads above it are logged."}),
    ("--payload-max-bytes", {"type": int, "help": "Payloads above it are refused."}),
    ("--codec", {"help": "none, zlib, aes-gcm or zlib+aes-gcm; read: plain from now on."}),
    ("--payload-store", {"metavar": "URL", "help": "Where large payloads go: file:///folder."}),
    ("--offload-bytes", {"type": int, "help": "Payloads above it go to the payload store."}),
    ("--offload-max-bytes", {"type": int, "help": "Payloads above it are refused there."}),
)
_LEAST = {"lease": 1000}  # below a second the work of a worker that pauses is taken from it
_TIMES = ("lease", "sticky_timeout", "retention", "settle_after")


def _setting_options(function: F) -> F:
    for name, how in reversed(_SETTINGS):
        function = click.option(name, **how)(function)
    return function


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """The settings that options name, each within its bounds."""
    from luaflow.domain.durations import duration_ms
    from luaflow.errors import InvalidArgument
    from luaflow.objects import open_objects
    from luaflow.store.keeping import parse_rules
    from luaflow.store.namespaces import BOUNDS

    found: dict[str, Any] = {}
    for key, value in given.items():
        if value is None or value == ():
            continue
        if key == "retention_of":
            found["retentions"] = parse_rules(dict(one.partition("=")[::2] for one in value if one))
            continue
        if key == "archive" and value:
            open_objects(value)  # (refused here, and not by every scheduler)
        option = "--" + key.replace("_", "-")
        name, number, unit = key, value, ""
        if key in _TIMES:
            name, number, unit = f"{key}_ms", duration_ms(value, option), "ms"
        if name in BOUNDS:
            least, most = BOUNDS[name]
            least = max(least, _LEAST.get(key, 0))
            if not least <= number <= most:
                raise InvalidArgument(
                    f"{option} must be {least}{unit} to {most}{unit}, not {value}"
                )
        found[name] = number
    return found


def _with_link(work: Callable[[Linked], Awaitable[T]]) -> T:
    from luaflow.client.client import DEFAULT_URL
    from luaflow.store.links import make_link

    async def connected() -> T:
        link = make_link(place()[0] or DEFAULT_URL)
        try:
            return await work(link)
        finally:
            await link.close()

    return run(connected())


def _show(name: str, found: Any) -> None:
    from luaflow_cli.output import show_fields, show_json

    shape = {"name": name, **(found if isinstance(found, dict) else found.to_json())}
    (show_json if settings().json else show_fields)(shape)


@namespace.command()
@click.argument("name")
@click.option("--partitions", type=int, help="1-1024, fixed from now on; 16 without.")
@click.option("--simulated", is_flag=True, default=None, help="Its clocks move by hand.")
@_setting_options
@common()
def create(name: str, **given: Any) -> None:
    """Create a namespace."""
    from luaflow.store.checks import check_at_start
    from luaflow.store.namespaces import Settings, check_payload_limits, create_namespace

    changes = _changes(given)
    wanted = Settings(**changes)
    check_payload_limits(changes, wanted)

    async def work(link: Linked) -> Settings:
        await check_at_start(link, wanted)
        return await create_namespace(link, name, wanted)

    _show(name, _with_link(work))


@namespace.command()
@click.argument("name", required=False)
@common()
def describe(name: str | None) -> None:
    """Show the settings of a namespace, and what it takes of the memory."""
    from luaflow.client.client import DEFAULT_URL
    from luaflow.store.accounting import measure
    from luaflow.store.store import Store

    wanted = name or settings().namespace or "default"

    async def work() -> dict[str, Any]:
        store = await Store.open(place()[0] or DEFAULT_URL, wanted)
        try:
            return {**store.settings.to_json(), "bytes": await measure(store)}
        finally:
            await store.close()

    _show(wanted, run(work()))


@namespace.command()
@click.argument("name", required=False)
@click.option("--partitions", hidden=True, help="Fixed; here to say so.")
@_setting_options
@common()
def update(name: str | None, **given: Any) -> None:
    """Change settings of a namespace."""
    from luaflow.errors import InvalidArgument
    from luaflow.store.checks import check_at_start
    from luaflow.store.namespaces import read_settings, update_namespace

    if given.pop("partitions") is not None:
        raise InvalidArgument(
            "the number of partitions is fixed when a namespace is created: create another one"
        )
    wanted, changes = name or settings().namespace or "default", _changes(given)
    if not changes:
        raise InvalidArgument("nothing to change was given: see 'luaflow namespace update --help'")

    async def work(link: Linked) -> Settings:
        if "durability" in changes:
            await check_at_start(link, replace(await read_settings(link, wanted), **changes))
        return await update_namespace(link, wanted, **changes)

    _show(wanted, _with_link(work))


@namespace.command("list")
@common()
def list_() -> None:
    """List all namespaces."""
    from luaflow.store.namespaces import list_namespaces
    from luaflow_cli.output import show_json, show_table

    found = _with_link(list_namespaces)
    if settings().json:
        show_json({"namespaces": [{"name": n, **s.to_json()} for n, s in found.items()]})
        return
    rows = [[name, str(one.partitions), one.durability] for name, one in found.items()]
    show_table(("name", "partitions", "durability"), rows)
