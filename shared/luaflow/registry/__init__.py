"""The registry: an app's YAML files as typed entries, its code as bundles, its mistakes by line."""

from __future__ import annotations

from luaflow.registry.app import App, load_app
from luaflow.registry.bundle import Bundle, Chunk, Deployment, bundle_entry, make_bundles
from luaflow.registry.check import check_app
from luaflow.registry.problems import NoApp, RegistryError, RegistryErrors, RegistryWarning

__all__ = [
    "App",
    "Bundle",
    "Chunk",
    "Deployment",
    "NoApp",
    "RegistryError",
    "RegistryErrors",
    "RegistryWarning",
    "bundle_entry",
    "check_app",
    "load_app",
    "make_bundles",
]
