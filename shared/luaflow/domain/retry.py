"""When a failed attempt is tried again: a decision from values alone, no clock, no chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from luaflow.domain import failure as failures
from luaflow.domain.durations import duration_ms
from luaflow.domain.failure import Failure, Invalid

_ALIASES: Final = {
    "initialInterval": "initial_interval",
    "backoffCoefficient": "backoff_coefficient",
    "maximumInterval": "maximum_interval",
    "maximumAttempts": "maximum_attempts",
    "nonRetryableErrorTypes": "non_retryable_error_types",
}
_KEYS: Final = tuple(sorted(_ALIASES.values()))
_RETRIED_TIMEOUTS: Final = (failures.START_TO_CLOSE, failures.HEARTBEAT, failures.WORKER_LOST)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait between attempts, and when to stop.

    `maximum_interval_ms` 0 means 100 times the initial interval; `maximum_attempts` counts the
    first one, 0 is no limit; `non_retryable_error_types` are failure kinds.
    """

    initial_interval_ms: int = 1000
    backoff_coefficient: float = 2.0
    maximum_interval_ms: int = 0
    maximum_attempts: int = 0
    non_retryable_error_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.maximum_interval_ms:
            object.__setattr__(self, "maximum_interval_ms", 100 * self.initial_interval_ms)

    @classmethod
    def from_options(
        cls,
        options: object,
        key: str = "retry_policy",
        warnings: list[str] | None = None,
    ) -> RetryPolicy:
        """Read the table a user wrote; `key` is its name in messages.

        Accepts snake_case and camelCase (snake_case wins). Unknown keys are left out and named
        in `warnings`. Raises Invalid "<key>.<field> must be ...".
        """
        table = _canonical(options, key, warnings)
        initial = duration_ms(table.get("initial_interval", 1000), f"{key}.initial_interval")
        initial = initial or 1000
        maximum = duration_ms(table.get("maximum_interval", 0), f"{key}.maximum_interval")
        if maximum and maximum < initial:
            raise Invalid(
                f"{key}.maximum_interval must not be below initial_interval"
                f" ({maximum} ms < {initial} ms)"
            )
        return cls(
            initial_interval_ms=initial,
            backoff_coefficient=_coefficient(table.get("backoff_coefficient", 2.0), key),
            maximum_interval_ms=maximum,
            maximum_attempts=_attempts(table.get("maximum_attempts", 0), key),
            non_retryable_error_types=_kinds(table.get("non_retryable_error_types", ()), key),
        )

    def to_json(self) -> dict[str, Any]:
        """The form kept in histories and pending tables; `from_json` reads it back."""
        return {
            "initial_interval_ms": self.initial_interval_ms,
            "backoff_coefficient": self.backoff_coefficient,
            "maximum_interval_ms": self.maximum_interval_ms,
            "maximum_attempts": self.maximum_attempts,
            "non_retryable_error_types": list(self.non_retryable_error_types),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RetryPolicy:
        """Read what `to_json` wrote; a missing field takes its default."""
        return cls(
            initial_interval_ms=int(data.get("initial_interval_ms", 1000)),
            backoff_coefficient=float(data.get("backoff_coefficient", 2.0)),
            maximum_interval_ms=int(data.get("maximum_interval_ms", 0)),
            maximum_attempts=int(data.get("maximum_attempts", 0)),
            non_retryable_error_types=tuple(data.get("non_retryable_error_types", ())),
        )

    def next_delay_ms(self, attempt: int, failure: Failure) -> int | None:
        """Milliseconds to wait after attempt number `attempt` (from 1) failed; None: give up."""
        if self.maximum_attempts and attempt >= self.maximum_attempts:
            return None
        if failure.kind in self.non_retryable_error_types or not may_retry(failure):
            return None
        try:
            delay = self.initial_interval_ms * self.backoff_coefficient ** max(attempt - 1, 0)
        except OverflowError:
            return self.maximum_interval_ms
        return int(min(delay, self.maximum_interval_ms))


def engine_timeout(failure: Failure) -> str | None:
    """The type of a timeout of the engine's own; None for any other failure.

    A timeout that an activity only passes on carries a wrapper: it is the activity's failure.
    """
    details = failure.details or {}
    if failure.kind != "Timeout" or "_wrapper" in details:
        return None
    return details.get("timeout_type")


def may_retry(failure: Failure) -> bool:
    """Whether another attempt makes sense at all, whatever the policy says.

    The engine's own timeouts go by their type: a workflow sees all as not retryable.
    """
    kind = engine_timeout(failure)
    return failure.retryable is not False if kind is None else kind in _RETRIED_TIMEOUTS


def tried_again(failure: Failure) -> Failure:
    """The failure of an attempt that another one follows, as it is shown: it is retryable."""
    return replace(failure, retryable=True) if failure.retryable is False else failure


def activity_ended(seq: int, failure: Failure, attempt: int) -> tuple[str, dict[str, Any]]:
    """The type and body of the event of an activity that ended without a result.

    The failure gets the details that the contract adds (9.3): which activity, and why it was not
    tried again.
    """
    kind = engine_timeout(failure)
    if failure.kind == "Canceled":
        event, state = "ActivityTaskCanceled", "cancel_requested"
    else:
        event = "ActivityTaskFailed" if kind is None else "ActivityTaskTimedOut"
        state = "non_retryable_failure" if kind is None else "timeout"
        if may_retry(failure):
            state = "maximum_attempts_reached"
    shape = failure.to_json()
    added = {"_wrapper": "activity", "_activity_id": str(seq), "_retry_state": state}
    shape["details"] = {**(shape.get("details") or {}), **added}
    return event, {"seq": seq, "failure": shape, "attempt": attempt}


def _canonical(options: object, key: str, warnings: list[str] | None) -> dict[str, Any]:
    # An empty Lua table travels as an empty list.
    if options == []:
        return {}
    if not isinstance(options, Mapping):
        raise Invalid(f"{key} must be a table, got {type(options).__name__}")
    table: dict[str, Any] = {}
    for name, value in options.items():
        canonical = _ALIASES.get(name, name)
        if canonical not in _KEYS:
            if warnings is not None:
                warnings.append(f"{key}.{name} is not known and ignored; known: {', '.join(_KEYS)}")
        elif canonical == name or canonical not in table:
            table[canonical] = value
    return table


def _coefficient(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < 1e6:
        raise Invalid(f"{key}.backoff_coefficient must be a number of at least 1, got {value!r}")
    return float(value)


def _attempts(value: object, key: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise Invalid(
            f"{key}.maximum_attempts must be a whole number from 0 (no limit), got {value!r}"
        )
    return value


def _kinds(value: object, key: str) -> tuple[str, ...]:
    kinds = (value,) if isinstance(value, str) else value
    if not isinstance(kinds, (list, tuple)) or not all(isinstance(kind, str) for kind in kinds):
        raise Invalid(
            f"{key}.non_retryable_error_types must be an error kind or a list of them,"
            f" got {value!r}"
        )
    return tuple(kinds)
