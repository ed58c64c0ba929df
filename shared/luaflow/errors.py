"""The exceptions of luaflow: one tree; the docstring of each is its default message."""

from __future__ import annotations

from typing import Any


class LuaflowError(Exception):
    """Something went wrong in luaflow."""

    def __init__(self, message: str | None = None) -> None:
        """Keep the message; without one, the class's own sentence is used."""
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        """Return the sentence for people."""
        return str(self.args[0])


class Failed(LuaflowError):
    """Code failed; says of what kind, whether to try again, and perhaps more."""

    def __init__(
        self,
        message: str | None = None,
        *,
        kind: str = "Internal",
        retryable: bool | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Keep the failure as the code reported it."""
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        self.details = details


class WorkflowFailed(Failed):
    """The workflow did not complete."""

    def __init__(self, message: str | None = None, *, status: str = "failed", **what: Any) -> None:
        """``status`` is the run's; ``what`` as for ``Failed``."""
        super().__init__(message, **what)
        self.status = status


class HandlerFailed(Failed):
    """The code of the workflow answered with an error."""


class QueryFailed(HandlerFailed):
    """The query failed."""


class UpdateFailed(HandlerFailed):
    """The workflow could not do what the update asks for."""


class UpdateRejected(UpdateFailed):
    """The workflow does not accept the update: nothing was done."""


class NoAnswer(LuaflowError, TimeoutError):
    """No answer came in time."""


class NotFound(LuaflowError):
    """There is nothing of that name."""


class AlreadyExists(LuaflowError):
    """Something of that name exists already."""

    def __init__(self, message: str | None = None, *, run_id: str | None = None) -> None:
        """Keep the run that holds the name, where there is one."""
        super().__init__(message)
        self.run_id = run_id


class InvalidArgument(LuaflowError):
    """An argument is not acceptable."""


class Refused(LuaflowError):
    """The state, a policy or a limit does not allow this now."""


class MissingLibrary(LuaflowError):
    """A library that this needs is not installed."""


class Damaged(LuaflowError):
    """What is stored is not what was written."""


class Unavailable(LuaflowError):
    """Redis cannot be reached."""


class NotLetIn(Unavailable):
    """Redis is there and does not let us in: the user or the password is wrong."""


class Unknown(LuaflowError):
    """The outcome is not confirmed: it may or may not have happened."""


_EXIT_CODES: dict[type[LuaflowError], int] = {
    WorkflowFailed: 1,
    HandlerFailed: 1,
    InvalidArgument: 2,
    Unavailable: 3,
    Unknown: 3,
    NotFound: 4,
    AlreadyExists: 5,
    Refused: 5,
}


def exit_code(error: LuaflowError) -> int:
    """Return the exit code of a command that ends with this error (design 10); 1 for any other."""
    return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 1)
