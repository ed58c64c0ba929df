"""Errors and warnings about an app folder: where, what, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from luaflow.errors import InvalidArgument

_DASH: Final = "\u2013"


def _line(message: str, file: str, line: int | str, remedy: str) -> str:
    return f"{file}:{line}: {message} {_DASH} {remedy}"


class NoApp(InvalidArgument):
    """There is no app in the folder."""


class RegistryError(InvalidArgument):
    """One thing that keeps an app from loading; prints as "file:line: what - remedy".

    With a `column` (from 1) it prints as "file:line:column: what - remedy".
    """

    def __init__(
        self, message: str, file: str, line: int, remedy: str, *, column: int | None = None
    ) -> None:
        place = f"{line}:{column}" if column else line
        super().__init__(_line(message, file, place, remedy))
        self.what = message
        self.file = file
        self.line = line
        self.column = column
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class RegistryWarning:
    """One thing that loads but is probably not meant; prints as "file:line: what - remedy"."""

    message: str
    file: str
    line: int
    remedy: str

    def __str__(self) -> str:
        return _line(self.message, self.file, self.line, self.remedy)


class RegistryErrors(InvalidArgument):
    """All errors of an app folder at once, one a line; `warnings` are what was seen besides."""

    def __init__(
        self, errors: list[RegistryError], warnings: list[RegistryWarning] | None = None
    ) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors
        self.warnings = warnings or []


@dataclass(slots=True)
class Problems:
    """Collects what is wrong while an app is read, so that a user sees everything at once."""

    errors: list[RegistryError] = field(default_factory=list)
    warnings: list[RegistryWarning] = field(default_factory=list)

    def error(
        self, message: str, file: str, line: int, remedy: str, *, column: int | None = None
    ) -> None:
        """Note an error; loading goes on to find the others."""
        self.errors.append(RegistryError(message, file, line, remedy, column=column))

    def warn(self, message: str, file: str, line: int, remedy: str) -> None:
        """Note a warning; the same one at the same place is noted once."""
        warning = RegistryWarning(message, file, line, remedy)
        if warning not in self.warnings:
            self.warnings.append(warning)

    def raise_if_any(self) -> None:
        """Raise RegistryErrors with all errors, in order of place, if there are any."""
        if self.errors:
            self.errors.sort(key=lambda error: (error.file, error.line, error.column or 0))
            raise RegistryErrors(self.errors, self.in_order())

    def in_order(self) -> list[RegistryWarning]:
        """The warnings, in order of place."""
        return sorted(self.warnings, key=lambda warning: (warning.file, warning.line))
