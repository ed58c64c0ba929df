"""What modules of functions keep between calls: one for each app in a process."""

from __future__ import annotations

from functools import cached_property

from luaflow.registry.app import App
from luaflow.registry.envstore import EnvStore
from luaflow_worker.modules.app_metrics import AppMetrics


class ModuleState:
    """Made with the host of functions; its parts when they are first asked for."""

    def __init__(self, app: App) -> None:
        """Keep the app."""
        self._app = app
        self.metrics = AppMetrics()

    @cached_property
    def env(self) -> EnvStore:
        """The environment variables of the app, with what was set since."""
        return EnvStore(self._app)
