"""Work with an event loop of its own in a thread of its own, so that it runs in a notebook too and Ctrl-C stays civil."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_own_thread(work: Callable[[], T], *, on_interrupt: Callable[[], bool]) -> T:
    """`work` in a thread of its own, so that it can run an event loop in a notebook too; Ctrl-C is told to `on_interrupt`.

    Raises KeyboardInterrupt when `on_interrupt` says that there is nothing left to end in good order.
    """
    result: list[T] = []
    errors: list[BaseException] = []
    ended = threading.Event()  # not join(): up to Python 3.12, one that is interrupted takes the thread for dead

    def target() -> None:
        try:
            result.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=target, name="build-prefs", daemon=True).start()
    over = leave = False
    came = told = 0
    while not (over or leave):
        try:
            while told < came:  # in here, so that a Ctrl-C while one is being told only counts
                told += 1
                leave = on_interrupt() or leave
            over = leave or ended.wait(timeout=0.2)
        except KeyboardInterrupt:
            came += 1
    if leave:
        raise KeyboardInterrupt
    if errors:
        raise errors[0]
    return result[0]
