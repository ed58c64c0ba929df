"""Lua code of users: the sandbox, the kernel around it, and the door to Python."""

from __future__ import annotations

from luaflow.lua.vm import (
    Activation,
    ActivationFault,
    BundleSource,
    Command,
    Engine,
    LoadError,
    Run,
)

__all__ = [
    "Activation",
    "ActivationFault",
    "BundleSource",
    "Command",
    "Engine",
    "LoadError",
    "Run",
]
