"""Small languages that people type: queries, times, ids, options, values."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

import orjson

from luaflow.domain import durations, ids, options, values, visibility
from luaflow.domain.cron import parse_cron
from luaflow.domain.events import Event
from luaflow.domain.schedule_specs import parse_spec
from luaflow.domain.tokens import parse_token
from luaflow.errors import InvalidArgument
from tests.fuzz.mutating import json_text, mutated
from tests.fuzz.target import Target

NOW = 1_700_000_000_000


class Queries(Target):
    """``list --query``."""

    name = "queries"
    rate = 26000.0
    SEEDS = (
        b"WorkflowType = 'app:order' AND ExecutionStatus != 'Running'",
        b"WorkflowId='a' and StartTime > '2024-01-01T00:00:00Z'",
        b"total >= 5.5 AND note = \"x'y\" AND CloseTime < '2030-01-01'",
        b"TaskQueue = 'q' AND paid = true AND RunId = 'r'",
    )
    WORDS = (b" AND ", b" and ", b" OR ", b"=", b"!=", b">=", b"<", b"'", b'"', b"StartTime ", b"(")

    def make(self, chance: random.Random) -> bytes:
        """A query."""
        return mutated(chance, self.SEEDS, self.WORDS)

    def run(self, data: bytes) -> None:
        """Read it, look at its ranges, compare a run."""
        query = visibility.parse_query(data.decode(errors="surrogateescape"))
        for field, value in query.ranges:
            visibility.bounds(field, value)
        run: dict[str, Any] = {
            "run_id": "r",
            "status": "running",
            "type": "t",
            "task_queue": "q",
            "start_time": NOW,
            "close_time": None,
            "attributes": {"total": 5, "paid": True, "note": "x", "list": ["a", "b"]},
        }
        query.holds(run)


class Times(Target):
    """Cron lines, durations, specifications of schedules."""

    name = "times"
    SEEDS = (
        b"*/5 * * * *",
        b"0 9 * * MON-FRI",
        b"CRON_TZ=Europe/Berlin 30 2 29 2 *",
        b"@every 1h30m",
        b"@daily",
        b"1h2m3.5s",
        b"500ms",
        b'{"interval":{"every":"1h","offset":"5m"}}',
        b'{"calendar":[{"hour":"9","day_of_week":"MON-FRI"}],"timezone":"Asia/Tokyo"}',
        b'{"cron":["0 9 * * *"],"jitter":"10s","start_at":"2024-01-01T00:00:00Z"}',
    )
    WORDS = (
        b"*",
        b"/",
        b"-",
        b",",
        b"L",
        b"@every ",
        b"CRON_TZ=",
        b"TZ=",
        b"h",
        b"60",
        b"\xc2\xb5s",
    )

    def make(self, chance: random.Random) -> bytes:
        """A line or an object."""
        return mutated(chance, self.SEEDS, self.WORDS)

    def run(self, data: bytes) -> None:
        """Read it as each of them; the next three times."""
        text = data.decode(errors="surrogateescape")
        self._all(
            lambda: _next(parse_cron(text)),
            lambda: durations.parse_go(text),
            lambda: durations.duration_ms(text, "x"),
            lambda: _spec(data),
        )

    def _all(self, *reads: Callable[[], object]) -> None:
        for read in reads:
            try:
                read()
            except InvalidArgument:
                continue


def _next(cron: Any) -> None:
    at = NOW
    for _ in range(3):
        found = cron.after(at, at)
        if found is None:
            return
        assert found > at, "the next time is not later"
        at = found


def _spec(data: bytes) -> None:
    words = _json(data)
    if isinstance(words, dict):
        spec = parse_spec(words)
        at: int | None = NOW
        for _ in range(3):
            at = spec.after(at) if at is not None else None
            if at is not None:
                spec.due("name", at)


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


class Names(Target):
    """Ids, PIDs, tokens, page names."""

    name = "names"
    SEEDS = (
        b"{app:client@app:worker|order-1}",
        b"order-1",
        b"default",
        b"lf.1.AAAA.BBBB",
        b"{node@host|0x00001}",
        b"MDAwMA==",
    )
    WORDS = (b"{", b"}", b"|", b"@", b":", b".", b"-", b"=")

    def make(self, chance: random.Random) -> bytes:
        """A name."""
        return mutated(chance, self.SEEDS, self.WORDS)

    def run(self, data: bytes) -> None:
        """Read it as each of them."""
        text = data.decode(errors="surrogateescape")
        checks: tuple[Callable[[str], object], ...] = (
            ids.check_workflow_id,
            ids.check_request_id,
            ids.check_update_id,
            lambda t: ids.check_name(t, "the name"),
            parse_token,
            visibility.parse_page,
            lambda t: ids.closest(t[:100], ("order", "pay")),
        )
        for check in checks:
            try:
                check(text)
            except InvalidArgument:
                continue
        pid = ids.parse_pid(text)
        if pid is not None:
            assert ids.parse_pid(str(pid)) == pid, "a PID that is read is not the one written"


class Options(Target):
    """Tables of options, as clients and Lua give them."""

    name = "options"
    rate = 24000.0
    KEYS: ClassVar[tuple[bytes, ...]] = tuple(
        f'"workflow.{key}"'.encode() for key in ("id", "retry_policy", "cron_schedule", "memo")
    ) + tuple(
        f'"{key}"'.encode()
        for key in (
            "activity.start_to_close_timeout",
            "activity.retry_policy",
            "initial_interval",
            "maximum_attempts",
            "backoff_coefficient",
            "workflow.search_attributes",
            "workflow.versioning_override",
            "workflow.priority",
            "non_retryable_error_types",
        )
    )

    def make(self, chance: random.Random) -> bytes:
        """An object of options."""
        members = (
            chance.choice(self.KEYS) + b":" + json_text(chance, chance.randrange(3))
            for _ in range(chance.randrange(1, 5))
        )
        return b"{" + b",".join(members) + b"}"

    def run(self, data: bytes) -> None:
        """Read them as those of an activity, a start, a child."""
        found = values.loads(data)
        for read in (
            lambda: options.parse_activity_options("app:x", found),
            options.parse_start_options(found)[0].fields,
            lambda: options.parse_start_options(found, child=True),
        ):
            try:
                read()
            except InvalidArgument:
                continue


class Values(Target):
    """Payloads: JSON with tags."""

    name = "values"
    rate = 30000.0
    SEEDS = (
        b'{"a":[1,2.5,null,true,"x"],"b":{"$lf":"bytes","v":"AAH/"}}',
        b'{"$lf":"float","v":"nan"}',
        b'[{"$lf":"map","v":[[1,"a"],[true,2]]}]',
        b'{"$lf":"error","v":{"kind":"Invalid","message":"x","details":{"a":1}}}',
    )
    WORDS = (b'{"$lf":"bytes","v":', b'{"$lf":"map","v":[[', b'"$lf"', b"]", b"}", b",", b":")

    def make(self, chance: random.Random) -> bytes:
        """A text, JSON or nearly."""
        if chance.randrange(2):
            return json_text(chance)
        return mutated(chance, self.SEEDS, self.WORDS)

    def run(self, data: bytes) -> None:
        """What is read is written and read again as the same; as the body of an event, too."""
        found = values.loads(data)
        again = values.dumps(found)
        assert values.dumps(values.loads(again)) == again, "it does not come back as it went"
        _ = Event(1, 0, "TimerFired", data).body
