"""Reading `temporal.client` and `temporal.worker` entries."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from typing import Any, Final

from luaflow.registry.entries import Auth, ClientEntry, Tls, WorkerEntry, WorkerOptions
from luaflow.registry.fields import Fields
from luaflow.registry.flow import read_flow

# Read by the engine's own limits; not part of these records.
_ELSEWHERE: Final = ("lifecycle", "retention")
_SCHEMES: Final = (
    *("redis", "rediss", "unix"),
    *(f"redis{secure}+{kind}" for kind in ("sentinel", "cluster") for secure in ("", "s")),
)
_KEY_SOURCES: Final = ("api_key", "api_key_env", "api_key_file")
_CERTIFICATES: Final = ("cert_file", "cert_pem")
_KEYS: Final = ("key_file", "key_pem", "key_pem_env")


def read_client(common: dict[str, Any], fields: Fields) -> ClientEntry:
    """A client entry; mistakes are noted in the fields' problems."""
    health = fields.mapping("health_check")
    interval = health.duration("interval", 30_000)
    healthy = health.flag("enabled")
    health.unknown()
    namespace = fields.legacy_text("namespace", "default") or "default"
    entry = ClientEntry(
        **common,
        address=_address(fields),
        target_namespace=fields.name("namespace", "the namespace", namespace),
        tq_prefix=fields.legacy_text("tq_prefix"),
        connection_timeout_ms=fields.duration("connection_timeout", 10_000),
        keep_alive_time_ms=fields.duration("keep_alive_time", 30_000),
        keep_alive_timeout_ms=fields.duration("keep_alive_timeout", 10_000),
        auth=_auth(fields.mapping("auth")),
        tls=_tls(fields.mapping("tls")),
        health_check_ms=interval if healthy else None,
    )
    fields.unknown(*_ELSEWHERE)
    _only_in_addresses(fields, entry)
    return entry


def _only_in_addresses(fields: Fields, entry: ClientEntry) -> None:
    """Warn of what other runtimes take from these entries: nobody is to believe it holds here."""
    if entry.tls.enabled and not entry.address.startswith("rediss"):
        fields.warn(
            "tls", "says nothing here: this address is not encrypted", "write address: rediss://…"
        )
    if entry.auth.type != "none":
        fields.warn(
            "auth",
            "says nothing here: who a process is stands in its address or environment",
            "use LUAFLOW_REDIS_USERNAME and LUAFLOW_REDIS_PASSWORD_FILE",
        )


def _address(fields: Fields) -> str:
    """The address of the server; a scheme that the client of Redis does not know is an error."""
    address = fields.required("address", "localhost:6379")
    scheme, mark, _ = address.partition("://")
    if not mark or scheme in _SCHEMES:
        return address
    known = ", ".join(f"{one}://" for one in _SCHEMES)
    fields.error(
        "address", f"begins with {scheme}://, which is no server's", f"write one of {known}"
    )
    return address


def _auth(fields: Fields) -> Auth:
    kind = fields.choice("type", ("none", "api_key", "mtls")) or "none"
    values = {key: fields.optional(key) for key in (*_KEY_SOURCES, *_CERTIFICATES, *_KEYS)}
    if kind == "api_key":
        _exactly_one(fields, values, _KEY_SOURCES)
    if kind == "mtls":
        _exactly_one(fields, values, _CERTIFICATES)
        _exactly_one(fields, values, _KEYS)
    fields.unknown()
    return Auth(type=kind, **values)


def _exactly_one(fields: Fields, values: dict[str, str | None], keys: tuple[str, ...]) -> None:
    given = [key for key in keys if values[key]]
    if len(given) != 1:
        found = f"has {' and '.join(given)}" if given else "has none of them"
        fields.error(
            "type", f"needs exactly one of {', '.join(keys)}, and {found}", "give exactly one"
        )


def _tls(fields: Fields) -> Tls:
    tls = Tls(
        enabled=fields.flag("enabled"),
        ca_file=fields.optional("ca_file"),
        server_name=fields.optional("server_name"),
        insecure_skip_verify=fields.flag("insecure_skip_verify"),
    )
    if tls.server_name and tls.insecure_skip_verify:
        fields.error(
            "insecure_skip_verify",
            "contradicts server_name: a name that is not verified means nothing",
            "remove one of the two",
        )
    fields.unknown()
    return tls


def read_worker(common: dict[str, Any], fields: Fields) -> WorkerEntry:
    """A worker entry; its task queue is completed and checked when the app is linked."""
    entry = WorkerEntry(
        **common,
        client=_required_reference(fields, "client"),
        task_queue=fields.required("task_queue", "orders"),
        options=_options(fields.mapping("worker_options")),
        **read_flow(fields),
    )
    fields.unknown(*_ELSEWHERE)
    return entry


def _required_reference(fields: Fields, key: str) -> str:
    reference = fields.reference(key)
    if reference is None:
        fields.error(key, "is required", f"add {key}: and the name of a temporal.{key} entry")
    return reference or ""


def _options(fields: Fields) -> WorkerOptions:
    values: dict[str, Any] = {}
    for spec in dataclass_fields(WorkerOptions):
        default = spec.default
        key = spec.name.removesuffix("_ms")
        if isinstance(default, bool):
            values[spec.name] = fields.flag(key)
        elif isinstance(default, float):
            values[spec.name] = fields.rate(key)
        elif isinstance(default, int) and key != spec.name:
            values[spec.name] = fields.duration(key, default)
        elif isinstance(default, int):
            values[spec.name] = fields.integer(key, default)
        elif default == "":
            values[spec.name] = fields.legacy_text(key)
    values["default_versioning_behavior"] = fields.choice(
        "default_versioning_behavior", ("pinned", "auto_upgrade")
    )
    _check_options(fields, values)
    for key in _NOT_YET:
        if fields.get(key) is not None:
            fields.warn(key, "is not enforced by this release", "do not rely on it yet")
    fields.unknown()
    if not values["use_versioning"]:
        values.update(deployment_name="", build_id="")
    elif not values["build_id"]:
        fields.warn(
            "use_versioning", "has no effect without build_id", "name what you deploy: build_id: v1"
        )
    return WorkerOptions(**values)


_NOT_YET = (
    "enable_session_worker",
    "max_concurrent_session_execution_size",
)


def _check_options(fields: Fields, values: dict[str, Any]) -> None:
    if values["max_concurrent_workflow_task_pollers"] == 1:
        fields.error(
            "max_concurrent_workflow_task_pollers",
            "cannot be 1: one poller cannot read the sticky and the shared queue",
            "write 2 or more, or remove it",
        )
    if values["disable_workflow_worker"] and values["local_activity_worker_only"]:
        fields.error(
            "local_activity_worker_only",
            "contradicts disable_workflow_worker: nothing would be left to run",
            "remove one of the two",
        )
