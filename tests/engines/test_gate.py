"""The gate against servers with limits of their own, in an event loop whose clock jumps: hours in a second, exactly repeatable."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.engines.gate import Gate, Ticket


class JumpingLoop(asyncio.SelectorEventLoop):
    """Never sleeps: when nothing is ready, its clock is set to the next timer."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


class Limit(Protocol):
    """Who is let in at a server."""

    def take(self, now: float) -> bool: ...

    def give(self) -> None: ...


@dataclass
class Bucket:
    """`rate` requests a second, `burst` at once."""

    rate: float
    burst: float
    filled: float = 0.0
    tokens: float = -1.0

    def take(self, now: float) -> bool:
        before = self.burst if self.tokens < 0 else self.tokens
        self.tokens = min(self.burst, before + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def give(self) -> None: ...


@dataclass
class Slots:
    """So many at one time."""

    free: int

    def take(self, now: float) -> bool:
        if self.free:
            self.free -= 1
            return True
        return False

    def give(self) -> None:
        self.free += 1


@dataclass
class EveryThird:
    """Every third is refused, whatever one does."""

    seen: int = 0

    def take(self, now: float) -> bool:
        self.seen += 1
        return self.seen % 3 != 0

    def give(self) -> None: ...


@dataclass
class Load:
    """What came of asking for a while."""

    answered: int = 0
    refused: int = 0
    most: int = 0


async def load(limit: Limit, *, wait: float, latency: float, seconds: float, most: int = 200) -> Load:
    """Three times as many askers as places; an answer takes half to one and a half of `latency`, a refusal 2 ms."""
    gate, found, chance, loop = Gate(most), Load(), random.Random(1), asyncio.get_running_loop()

    async def ask() -> None:
        while True:
            ticket = await gate.enter()
            found.most = max(found.most, gate.in_flight)
            if limit.take(loop.time()):
                await asyncio.sleep(latency * chance.uniform(0.5, 1.5))
                limit.give()
                gate.answered(ticket)
                found.answered += 1
            else:
                await asyncio.sleep(0.002)
                found.refused += 1
                await asyncio.sleep(gate.refused(ticket, wait))

    tasks = [asyncio.create_task(ask()) for _ in range(3 * most)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return found


@pytest.mark.parametrize(
    ("limit", "wait", "latency", "per_second", "wasted"),
    [
        (lambda: Bucket(100, 100), 1, 0.05, 100, 0.15),
        (lambda: Bucket(100, 100), 1, 2, 100, 0.15),
        (lambda: Bucket(100, 10), 1, 0.5, 100, 0.15),
        (lambda: Bucket(100, 10), 0.01, 0.05, 100, 0.15),
        (lambda: Bucket(20, 20), 1, 2, 20, 0.15),
        (lambda: Bucket(20, 20), 0, 2, 20, 0.15),
        (lambda: Bucket(1, 1), 1, 0.05, 1, 0.55),
        (lambda: Slots(50), 1, 1, 50, 0.15),
        (lambda: Slots(50), 1, 10, 5, 0.15),
        (lambda: Slots(8), 0, 0.05, 160, 0.15),
        (lambda: EveryThird(), 1, 0.5, 400, 0.35),
        (lambda: EveryThird(), 0.1, 0.05, 4000, 0.35),
    ],
    ids=lambda value: str(value()) if callable(value) else str(value),
)
def test_four_fifths_of_what_the_server_allows_are_used_and_little_is_wasted(
    limit: Callable[[], Limit], wait: float, latency: float, per_second: float, wasted: float
) -> None:
    seconds = 20 if per_second > 1000 else 100 if per_second > 200 else 400
    found = run(load(limit(), wait=wait, latency=latency, seconds=seconds))
    assert found.answered >= 0.8 * per_second * seconds
    assert found.refused <= wasted * (found.answered + found.refused) + 200, "but for the 200 of the beginning"
    assert found.most <= 200


def test_everybody_waits_until_the_longest_retry_after_has_passed() -> None:
    async def main() -> None:
        loop, gate = asyncio.get_running_loop(), Gate(4)
        tickets = [await gate.enter() for _ in range(4)]
        entering = [asyncio.create_task(gate.enter()) for _ in range(6)]
        assert gate.refused(tickets[0], 3.0) == 0.0
        assert gate.refused(tickets[1], 5.0) == 0.0
        assert gate.refused(tickets[2], 1.0) == 0.0
        assert not gate.stalled
        gate.left(tickets[3])
        await asyncio.sleep(4.9)
        assert gate.stalled
        assert not any(task.done() for task in entering)
        await asyncio.sleep(0.2)
        assert [task.done() for task in entering] == [True] * gate.limit + [False] * (6 - gate.limit)
        assert loop.time() < 5.2
        for task in entering:
            task.cancel()

    run(main())


def test_the_limit_falls_to_what_was_accepted_and_comes_back() -> None:
    async def main() -> None:
        gate = Gate(10)
        tickets = [await gate.enter() for _ in range(10)]
        for ticket in tickets[6:]:
            gate.refused(ticket, 1.0)
        assert gate.limit == 6
        for ticket in tickets[:6]:
            gate.answered(ticket)
        limits = []
        for _ in range(40):
            await asyncio.sleep(1.0)
            gate.answered(await gate.enter())
            limits.append(gate.limit)
        assert limits == sorted(limits)
        assert limits[0] < 10 == limits[-1]

    run(main())


def test_while_the_server_is_down_nobody_enters() -> None:
    async def main() -> None:
        gate = Gate(2)
        gate.down()
        entering = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await asyncio.sleep(1000)
        assert gate.stalled
        assert not any(task.done() for task in entering)
        gate.up()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.done() for task in entering] == [True, True, False]
        entering[2].cancel()

    run(main())


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "answer", "refuse", "leave", "cancel", "pass"]), st.floats(0, 9)),
        max_size=80,
    )
)
@settings(max_examples=200, deadline=None)
def test_no_place_is_lost_whatever_happens(events: list[tuple[str, float]]) -> None:
    async def main() -> None:
        gate, inside, outside = Gate(5), list[Ticket](), list[asyncio.Task[Ticket]]()

        async def look() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for task in [task for task in outside if task.done()]:
                outside.remove(task)
                if not task.cancelled():
                    inside.append(task.result())
            assert gate.in_flight == len(inside)
            assert len(inside) <= 5
            assert 1 <= gate.limit <= 5

        for what, seconds in events:
            if what == "enter":
                outside.append(asyncio.create_task(gate.enter()))
            elif what == "cancel" and outside:
                outside.pop(int(seconds * 1000) % len(outside)).cancel()
            elif what == "pass":
                await asyncio.sleep(seconds)
            elif what in ("answer", "refuse", "leave") and inside:
                ticket = inside.pop(int(seconds * 1000) % len(inside))
                if what == "refuse":
                    gate.refused(ticket, seconds)
                else:
                    (gate.answered if what == "answer" else gate.left)(ticket)
            await look()
        for _ in range(200):
            for ticket in inside:
                gate.answered(ticket)
            inside.clear()
            await asyncio.sleep(60)
            await look()
        assert not outside, "everybody got in"

    run(main())
