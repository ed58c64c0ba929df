"""How fast lost work was taken over, how late timers fired: from histories, effects and kills."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from luaflow.domain.events import NEWS, TASK_COMPLETED
from tests.chaos.world import Kill, Window
from tests.support.effects import Effect
from tests.support.histories import History


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample that so large a share of all is not above; 0 without any."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Windows:
    """Stretches of time, laid together where they overlap."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._begins: list[float] = []
        self._ends: list[float] = []
        for window in sorted(windows):
            if self._ends and window.begin <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], window.end)
            else:
                self._begins.append(window.begin)
                self._ends.append(window.end)

    def covered(self, begin: float, end: float) -> float:
        """How much of a stretch of time lies in any of them."""
        total, i = 0.0, bisect_right(self._ends, begin)
        while i < len(self._begins) and self._begins[i] < end:
            total += min(end, self._ends[i]) - max(begin, self._begins[i])
            i += 1
        return total


def isolated(kills: Sequence[Kill], seconds: float) -> list[Kill]:
    """The kills of workers that no other kill follows so soon: what comes then is their doing."""
    found = [k for k in kills if k.kind == "worker"]
    pairs = itertools.zip_longest(found, found[1:])
    return [k for k, following in pairs if not following or following.at - k.at > seconds]


def _at(kill: Kill) -> float:
    return kill.at


def takeovers(
    history: History,
    effects: Sequence[Effect],
    kills: Sequence[Kill],
    clock_ms: float,
    seconds: float,
) -> Iterator[float]:
    """How long (s) the run stood still after each kill of the worker that had it.

    From the kill, or from the first news after it, to the next decision; and from the kill to the
    next attempt of an activity that was at work. News later than ``seconds`` after it do not count.
    """
    decisions = history.of(TASK_COMPLETED)
    times = [e.ts for e in decisions]
    first, end = ((e.ts - clock_ms) / 1000 for e in (history.events[0], history.events[-1]))
    kills = kills[bisect_left(kills, first, key=_at) : bisect_right(kills, end, key=_at)]
    for kill in kills:
        at = kill.at * 1000 + clock_ms
        last = bisect_right(times, at) - 1
        if last < 0 or last + 1 >= len(decisions):
            continue
        decision, following = decisions[last], decisions[last + 1]
        if decision.body.get("worker") not in kill.names:
            continue
        news = next(
            (e for e in history.events[decision.body["seen"] : following.id] if e.type in NEWS),
            None,
        )
        if news and news.ts <= at + seconds * 1000:
            yield (following.ts - max(at, news.ts)) / 1000
    by_seq = sorted(effects, key=lambda e: (e.seq, e.attempt))
    for one, other in itertools.pairwise(by_seq):
        if one.seq != other.seq:
            continue
        for kill in kills:
            if one.process in kill.pids and one.at <= kill.at < other.at:
                yield other.at - kill.at


def lateness(history: History, windows: Windows, clock_ms: float) -> Iterator[float]:
    """How much later than due (s) each timer fired, without what nobody could have done before.

    That is the time in which the server was away, or no scheduler worked.
    """
    due = {e.body["seq"]: e.ts + e.body["ms"] for e in history.of("TimerStarted")}
    for event in history.of("TimerFired"):
        if event.body["seq"] not in due:
            continue
        begin = (due[event.body["seq"]] - clock_ms) / 1000
        end = (event.ts - clock_ms) / 1000
        yield (end - begin) - windows.covered(begin, end)
