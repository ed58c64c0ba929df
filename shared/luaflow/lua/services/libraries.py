"""Libraries that only some modules need: imported when first used, named when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from luaflow.errors import MissingLibrary


def library(name: str, module: str, extra: str) -> Any:
    """Import a library of an extra; ``module`` is the Lua module that needs it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingLibrary(
            f"the module {module} needs a library that is not installed here ({name}): "
            f'pip install "luaflow[{extra}]"'
        ) from None
