"""Keeping attempts: leases renewed, heartbeats passed on, cancellation learnt on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from luaflow.domain import values
from luaflow.errors import InvalidArgument
from luaflow.store import attempts
from luaflow.store.store import Store
from luaflow_worker.attempt import Attempt


class Renewals:
    """Renews every running attempt three times a lease (or twice a heartbeat timeout)."""

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], Any]) -> None:
        """``spawn`` runs a coroutine in the background of the activities."""
        self._store = store
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._held: dict[str, Attempt] = {}
        self._round: asyncio.TimerHandle | None = None
        self._soonest = self._lease / 3

    @property
    def _lease(self) -> float:
        return self._store.settings.lease_ms / 1000

    def keep(self, attempt: Attempt) -> None:
        """Renew this attempt from now on."""
        attempt.renewal = self._loop.call_later(self._pause(attempt), self._due, attempt)

    def _pause(self, attempt: Attempt) -> float:
        """How many seconds an attempt may go without a renewal."""
        beat = attempt.heartbeat / 2000
        return min(self._lease / 3, beat) if beat else self._lease / 3

    def stop(self, attempt: Attempt) -> None:
        """Let the attempt go."""
        attempt.ended = True
        if attempt.renewal:
            attempt.renewal.cancel()

    # -- attempts whose code has ended, and whose result is on its way ---------------------------

    def hold(self, attempt: Attempt) -> None:
        """Renew an attempt, from now on, until its result is in the history (``release``).

        Its next decision may take long: another run's, or a local activity, goes before it.
        """
        self._held[attempt.token] = attempt
        pause = self._pause(attempt)
        if self._round and pause < self._soonest:
            self._round.cancel()
            self._round = None
        if self._round is None:
            self._soonest = min(pause, self._soonest)
            self._go_round()

    def release(self, token: str) -> None:
        """Its result is in the history, or nobody wants it."""
        self._held.pop(token, None)

    def _go_round(self) -> None:
        self._round = None
        if self._held:
            self._round = self._loop.call_later(self._soonest, self._renew_held)
        else:
            self._soonest = self._lease / 3

    def close(self) -> None:
        """Renew nothing any more."""
        self._held.clear()
        if self._round:
            self._round.cancel()

    def _renew_held(self) -> None:
        if self._held:
            self._spawn(self._tell_of(list(self._held.values())))
        self._go_round()

    async def _tell_of(self, held: list[Attempt]) -> None:
        calls = [
            attempts.renew_activity(
                partition=a.partition, run_id=a.run_id, seq=str(a.seq), token=a.token, beat=True
            )
            for a in held
        ]
        await self._store.apart(*calls)

    # -- heartbeats ------------------------------------------------------------------------------

    def beat(self, attempt: Attempt, details: Any) -> None:
        """Take a heartbeat of the code, from any thread; InvalidArgument when it is too large."""
        data = values.dumps(details) if details is not None else b""
        if len(data) > (limit := self._store.settings.largest_bytes):
            raise InvalidArgument(
                f"the details of a heartbeat have {len(data)} bytes, the namespace allows {limit}:"
                " store them elsewhere and keep their address"
            )
        if not attempt.token:
            return  # a local activity: its decision's lease is what counts
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._beat(attempt, data)
        else:
            self._loop.call_soon_threadsafe(self._beat, attempt, data)

    def _beat(self, attempt: Attempt, details: bytes) -> None:
        attempt.details = details or attempt.details
        attempt.beaten = True
        self._due(attempt)

    def _due(self, attempt: Attempt) -> None:
        # one call at a time: what is said meanwhile goes with the next one, the newest details win
        if not attempt.ended and not attempt.renewing:
            attempt.renewing = True
            self._spawn(self._renew(attempt))

    async def _renew(self, attempt: Attempt) -> None:
        try:
            await self._tell(attempt)
            while attempt.beaten and not attempt.ended:
                await self._tell(attempt)
        finally:
            attempt.renewing = False
            if not attempt.ended:
                if attempt.renewal:
                    attempt.renewal.cancel()
                self.keep(attempt)

    async def _tell(self, attempt: Attempt) -> None:
        beaten, attempt.beaten = attempt.beaten, False
        (verdict, *_) = await self._store.one(
            attempts.renew_activity(
                partition=attempt.partition,
                run_id=attempt.run_id,
                seq=str(attempt.seq),
                token=attempt.token,
                beat=beaten or attempt.beat,
                details=attempt.details if beaten else b"",
            )
        )
        if verdict == b"ok" or attempt.ended:
            return
        if verdict == b"fenced":
            # somebody else has the attempt, or the run is over: what it returns will be refused
            self.stop(attempt)
        if attempt.cancel:
            attempt.cancel()
