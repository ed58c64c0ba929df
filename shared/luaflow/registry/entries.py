"""The entries of an app, typed; all of them are frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from luaflow.domain.flow import Concurrency, RateLimit
from luaflow.registry.sources import Source
from luaflow.registry.yamlfile import Document, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What every entry has; `data` and `meta` are as written, placeholders not filled."""

    id: str
    kind: str
    meta: dict[str, Any] = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    document: Document = field(repr=False, compare=False)
    path: Path = field(repr=False)

    @property
    def namespace(self) -> str:
        """The part of the id before the colon."""
        return self.id.partition(":")[0]

    @property
    def name(self) -> str:
        """The part of the id after the colon."""
        return self.id.partition(":")[2]

    @property
    def file(self) -> str:
        """The YAML file, as messages name it."""
        return self.document.file

    def line(self, *path: str | int) -> int:
        """The line of the entry, or of one of its values."""
        return self.document.line((*self.path, *path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How a client proves who it is: type "none", "api_key" or "mtls", with that type's keys."""

    type: str = "none"
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str | None = None
    api_key_file: str | None = None
    cert_file: str | None = None
    cert_pem: str | None = None
    key_file: str | None = None
    key_pem: str | None = field(default=None, repr=False)
    key_pem_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Encryption of a client's connection."""

    enabled: bool = False
    ca_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEntry(Entry):
    """`temporal.client`: a server and a namespace; its id is the node part of workflow PIDs.

    `health_check_ms` is None when the health check is off.
    """

    address: str
    target_namespace: str = "default"
    tq_prefix: str = ""
    connection_timeout_ms: int = 10_000
    keep_alive_time_ms: int = 30_000
    keep_alive_timeout_ms: int = 10_000
    auth: Auth = Auth()
    tls: Tls = Tls()
    health_check_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """`worker_options`: slots, rates (0 is unlimited), timeouts in milliseconds, switches.

    A timeout of 0 is not given: the sticky one is then the namespace's (5 s).
    """

    identity: str = ""
    max_concurrent_activity_execution_size: int = 1000
    max_concurrent_workflow_task_execution_size: int = 1000
    max_concurrent_local_activity_execution_size: int = 1000
    max_concurrent_session_execution_size: int = 1000
    max_concurrent_eager_activity_execution_size: int = 0
    max_concurrent_activity_task_pollers: int = 20
    max_concurrent_workflow_task_pollers: int = 20
    worker_activities_per_second: float = 0.0
    worker_local_activities_per_second: float = 0.0
    task_queue_activities_per_second: float = 0.0
    sticky_schedule_to_start_timeout_ms: int = 0
    worker_stop_timeout_ms: int = 0
    deadlock_detection_timeout_ms: int = 0
    max_heartbeat_throttle_interval_ms: int = 0
    default_heartbeat_throttle_interval_ms: int = 0
    enable_logging_in_replay: bool = False
    enable_session_worker: bool = False
    disable_workflow_worker: bool = False
    local_activity_worker_only: bool = False
    disable_eager_activities: bool = False
    disable_registration_aliasing: bool = False
    use_versioning: bool = False
    deployment_name: str = ""
    build_id: str = ""
    default_versioning_behavior: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEntry(Entry):
    """`temporal.worker`: serves one task queue; its id is the host in spawn and in PIDs.

    `client` is an entry id; `task_queue` already has the client's `tq_prefix`.
    """

    client: str
    task_queue: str
    options: WorkerOptions = WorkerOptions()
    concurrency: Concurrency | None = None
    rate_limit: RateLimit | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """The registration of a function as an activity: on which worker, and whether local."""

    worker: str
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LuaEntry(Entry):
    """Lua code: its source, the modules it may require, and the libraries it imports by alias."""

    source: Source = field(repr=False)
    method: str | None = None
    modules: tuple[str, ...] = ()
    imports: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEntry(LuaEntry):
    """`library.lua`: code that others import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEntry(LuaEntry):
    """`workflow.lua`: a workflow type; `worker` is None when no worker runs it.

    The schemas are JSON Schema objects, or None. `versioning` is "pinned", "auto_upgrade", or
    None: as its worker has it. `retention`: ms by outcome, None as the namespace has it.
    """

    type_name: str
    worker: str | None = None
    retention: dict[str, int] | None = None
    versioning: str | None = None
    concurrency: Concurrency | None = None
    rate_limit: RateLimit | None = None
    priority: int = 0
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionEntry(LuaEntry):
    """`function.lua` or `process.lua`; `options` are its `meta.options` (call defaults)."""

    activity: Activity | None = None
    rate_limit: RateLimit | None = None
    priority: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonEntry(Entry):
    """`function.python`: `handler` is "package.module:callable", imported from the app folder."""

    handler: str
    activity: Activity | None = None
    rate_limit: RateLimit | None = None
    priority: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericEntry(Entry):
    """An entry of any other kind: kept as written."""


CallableEntry = FunctionEntry | PythonEntry
"""What `funcs.call` may name."""
