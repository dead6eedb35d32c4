"""How many requests may be at a server at one time: at most `most`, fewer where it answers 429 or 503 (AIMD).

A refusal shuts the gate for everybody until its Retry-After has passed, and the limit falls to what the server did accept:
the requests in flight that were not refused. It rises again by a step after each calm stretch, each step twice the last one,
until the next refusal. A calm stretch is as long as the wait was at first, and twice as long after each refusal, up to CALM
times: so the limit comes to stand close under the server's own, and about a tenth of the time goes into waiting. Under a
limit of its own the gate lets requests in one after the other, at the pace at which they are answered.

Some servers refuse a part of all requests whatever one does. Where a limit that the server had just accepted is refused
again and again, fewer requests do not help: then each refused request waits alone, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

CALM = 10.0
"""Longest calm stretch before a step up, in lengths of the last wait."""
CUT = 0.7
"""The limit falls to no less than this part at one refusal: right after a wait little is in flight."""
BACKOFF = (0.5, 8.0)
"""Seconds to wait where the server does not say: the first time, and at most (twice as long each time)."""
PACE = 1.25
"""Requests are let in so much faster than limit / seconds per answer: answers come neither evenly nor equally late."""
IN_VAIN = 4
"""So many refusals in a row at a limit that had been accepted mean that fewer requests do not help."""
NOT_BELOW = 8
"""Only a limit of at least most / NOT_BELOW can be in vain: below that the server is merely slow."""
RECENT = 50
"""While refused requests wait alone: when more than half of at least so many are, the gate is everybody's again."""


class Ticket(NamedTuple):
    """What a request that was let in gives back when it leaves."""

    round: int
    entered: float


class Gate:
    """Places for requests, first come, first served. Belongs to one event loop, from the first `enter` on."""

    def __init__(self, most: int) -> None:
        """`most`: the upper bound, never exceeded."""
        self._most = self._limit = most
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opens = 0.0  # in the event loop's time
        self._timer: asyncio.TimerHandle | None = None
        self._down = False
        self._round = 0  # between two cuts of the limit
        self._step, self._stretch, self._calm, self._rose = 1, 0.5, 0.0, 0.0
        self._seconds = 0.0  # from entering to the answer, smoothed
        self._unsaid = 0  # rounds in a row that were refused without Retry-After
        self._in_vain, self._need, self._accepted = 0, IN_VAIN, most + 1
        self._alone = False  # whether refused requests wait alone; since then: let in, refused
        self._let_in = self._turned_away = 0

    @property
    def limit(self) -> int:
        """Most requests in flight at present."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """Requests that are at the server now."""
        return self._in_flight

    @property
    def stalled(self) -> bool:
        """Whether nothing is in flight and nothing may be for now: everybody waits for the server."""
        return not self._in_flight and (self._down or self._opens > asyncio.get_running_loop().time())

    async def enter(self) -> Ticket:
        """Wait for a place. Whoever has a ticket gives it to exactly one of `answered`, `refused`, `left`."""
        if self._waiting or not self._free():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            self._admit()
            try:
                await place
            except asyncio.CancelledError:
                if place.cancelled():
                    self._waiting.remove(place)
                else:
                    self._in_flight -= 1
                    self._admit()
                raise
        else:
            self._let()
        return Ticket(self._round, asyncio.get_running_loop().time())

    def left(self, _: Ticket) -> None:
        """The request ended in a way that says nothing of how busy the server is."""
        self._in_flight -= 1
        self._admit()

    def answered(self, ticket: Ticket) -> None:
        """The request was answered."""
        now = asyncio.get_running_loop().time()
        self._unsaid = 0
        self._seconds += (0.1 if self._seconds else 1.0) * (now - ticket.entered - self._seconds)
        if self._limit < self._most and now - self._rose >= self._calm:
            self._limit = min(self._most, self._limit + self._step)
            self._step, self._rose, self._in_vain = 2 * self._step, now, 0
        self.left(ticket)

    def refused(self, ticket: Ticket, seconds: float) -> float:
        """The server is too busy and asks to come back after `seconds` (0.0: it does not say).

        Returns the seconds that this request has to wait before it enters again; 0.0 where everybody waits.
        """
        self._in_flight -= 1
        self._unsaid += not seconds and ticket.round == self._round
        wait = seconds or min(BACKOFF[1], BACKOFF[0] * 2 ** min(self._unsaid - 1, 10))
        if self._alone and not self._too_many():
            self._admit()
            return wait
        if ticket.round == self._round:
            self._cut()
        elif ticket.round == self._round - 1 and not self._alone:
            self._limit = self._accepted = max(1, self._limit - 1)
        until = asyncio.get_running_loop().time() + wait
        self._opens = max(self._opens, until)
        self._calm, self._rose = self._stretch * wait, self._opens
        self._admit()
        return 0.0

    def down(self) -> None:
        """Let nobody in until `up`: the server is gone."""
        self._down = True

    def up(self) -> None:
        """The server is back."""
        self._down = False
        self._admit()

    def _free(self) -> bool:
        if self._down or self._in_flight >= self._limit:
            return False
        return not self._opens or self._opens <= asyncio.get_running_loop().time()

    def _let(self) -> None:
        self._in_flight += 1
        self._let_in += 1
        if self._limit < self._most:
            gap = self._seconds / (PACE * self._limit)
            self._opens = max(self._opens, asyncio.get_running_loop().time()) + gap

    def _admit(self) -> None:
        while self._waiting and self._free():
            place = self._waiting.popleft()
            if not place.done():
                self._let()
                place.set_result(None)
        if self._waiting and not self._down and self._in_flight < self._limit:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(self._opens, self._admit)

    def _cut(self) -> None:
        """The first refusal of a round: the limit falls to what is in flight; others of the round take one off each."""
        self._round += 1
        self._in_vain = self._in_vain + 1 if self._limit <= self._accepted else 0
        self._step, self._stretch = 1, min(CALM, 2 * self._stretch)
        if self._in_vain >= self._need and self._limit * NOT_BELOW >= self._most:
            self._alone, self._limit, self._in_vain = True, self._most, 0
            self._let_in = self._turned_away = 0
        else:
            self._limit = self._accepted = max(1, min(self._limit, max(self._in_flight, int(CUT * self._limit))))

    def _too_many(self) -> bool:
        """Note a refusal while refused requests wait alone; whether that has come to an end."""
        self._turned_away += 1
        if self._let_in < RECENT or self._turned_away <= self._let_in / 2:
            if self._let_in > 4 * self._most:
                self._let_in, self._turned_away = self._let_in // 2, self._turned_away // 2
            return False
        self._alone, self._accepted, self._need = False, self._most + 1, 2 * self._need
        return True
