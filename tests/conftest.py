"""How all tests run: hypothesis without limits of time, and the workers of `make test`, each on cores of its own."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

with suppress(ImportError):  # the environment of vLLM has none
    from hypothesis import HealthCheck, settings

    settings.register_profile("loopguard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("loopguard")


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: none beside this process on one core, three on two cores, for one of them waits for a server or a process
    most of the time; else two, and up to four where each has two cores."""
    count = len(cores())
    return {1: 0, 2: 3}.get(count, max(2, min(4, count // 2)))


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C is heard; a worker keeps to its share of three cores or more, for threads of llama.cpp on one core stop each other."""
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # so `make test &` begins; the tests' commands would get no Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    given = getattr(config, "workerinput", None)
    if given and len(cores()) > 2 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores()[int(given["workerid"].removeprefix("gw")) :: given["workercount"]])
