"""Which modules Lua code may ask for, and which of them a workflow may."""

from __future__ import annotations

from typing import Final

CORE: Final = frozenset(
    {
        "channel",
        "coroutine",
        "errors",
        "math",
        "os",
        "payload",
        "process",
        "string",
        "table",
    }
)
"""Always there, listed or not; listing them is allowed."""

WORKFLOW: Final = CORE | {
    "base64",
    "compress",
    "contract",
    "crypto",
    "ctx",
    "expr",
    "funcs",
    "hash",
    "html",
    "json",
    "logger",
    "templates",
    "text",
    "time",
    "treesitter",
    "uuid",
    "workflow",
    "yaml",
}
"""Deterministic, or recorded in history."""

FORBIDDEN: Final = frozenset(
    {
        "activity",
        "cdc",
        "cloudstorage",
        "env",
        "eval",
        "events",
        "excel",
        "exec",
        "fs",
        "http",
        "http_client",
        "hub",
        "io",
        "metrics",
        "pg",
        "queue",
        "registry",
        "security",
        "sql",
        "store",
        "stream",
        "system",
        "tty",
        "websocket",
    }
)
"""Not in a workflow: they look at the world outside its history."""

KNOWN: Final = WORKFLOW | FORBIDDEN

PROVIDED: Final = CORE | {
    "activity",
    "base64",
    "crypto",
    "ctx",
    "env",
    "events",
    "funcs",
    "hash",
    "http",
    "http_client",
    "json",
    "logger",
    "metrics",
    "registry",
    "time",
    "uuid",
    "workflow",
    "yaml",
}
"""What `require` finds in this release; apps may list the others, which other runtimes have."""

BUILTINS: Final = frozenset(
    {
        "_G",
        "_VERSION",
        "assert",
        "boolean",
        "error",
        "getmetatable",
        "integer",
        "ipairs",
        "next",
        "number",
        "pairs",
        "pcall",
        "print",
        "rawequal",
        "rawget",
        "rawset",
        "require",
        "select",
        "setmetatable",
        "subscribe",
        "tonumber",
        "tostring",
        "type",
        "unpack",
        "unsubscribe",
        "xpcall",
    }
)
"""Global functions that are there in every context."""
