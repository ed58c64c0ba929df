"""The answers of the ``env`` module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from luaflow.domain import values
from luaflow.registry.envstore import EnvFailure

if TYPE_CHECKING:
    from luaflow_worker.functions import FunctionCall


def _get(call: FunctionCall, key: bytes) -> Any:
    return call.host.modules.env.get(key.decode(errors="replace"))


def _set(call: FunctionCall, key: bytes, value: bytes) -> Any:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise EnvFailure("Invalid", "the value of an environment variable is UTF-8 text") from None
    call.host.modules.env.set(key.decode(errors="replace"), text)
    return True


def _get_all(call: FunctionCall) -> Any:
    return call.host.modules.env.get_all()


def _answer(ask: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    def answer(call: FunctionCall, *args: bytes) -> tuple[Any, ...]:
        try:
            return (ask(call, *args),)
        except EnvFailure as error:
            return None, values.encode(error.failure)

    return answer


SERVICES: Final[dict[str, Callable[..., tuple[Any, ...]]]] = {
    "env.get": _answer(_get),
    "env.set": _answer(_set),
    "env.get_all": _answer(_get_all),
}
