"""The real vLLM on CPU with a real small model: one engine for all tests of a session. `make test-vllm` runs them."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from loopguard.engines import Engine, EngineOptions, open_engine

T = TypeVar("T")

ARGS = {"enforce_eager": True, "max_model_len": 1024, "dtype": "float32", "max_num_seqs": 16}
"""float32: in bfloat16 on a CPU two likely tokens can change places with the size of the batch."""


def pytest_configure(config: pytest.Config) -> None:
    """What vLLM itself leaves behind when its engine is killed is no fault of ours; all other warnings stay errors."""
    message = r"Exception ignored in. <function (Context|AsyncLLM)\.__del__"
    config.addinivalue_line("filterwarnings", f"ignore:{message}:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="session", autouse=True)
def small_cache() -> Iterator[None]:
    """One GiB of key-value cache: room for 22 requests of 1,024 tokens. Without vLLM everything here is skipped."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: make test-vllm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        yield


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """The folder with the model, made once in the environment's own folder."""
    from tests.vllm.checkpoint import convert

    folder = Path(sys.prefix) / "smollm2"
    if not folder.is_dir():
        convert(folder)
    return folder


def processes_of_vllm(parent: int | None = None) -> list[Any]:
    """vLLM's processes below one, by default below this one."""
    import psutil

    children = psutil.Process(parent).children(recursive=True)
    return [child for child in children if child.name().startswith("VLLM") and child.status() != "zombie"]


def all_gone(processes: Sequence[Any]) -> bool:
    """Whether they have ended, within four minutes."""
    end = time.monotonic() + 240
    while any(one.is_running() and one.status() != "zombie" for one in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Shared:
    """An engine and the event loop that it lives in."""

    def __init__(self, spec: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.options = EngineOptions(engine_args=ARGS)
        self.spec = spec
        self.engine = open_engine(spec, self.options)
        self.run(self.engine.start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine."""
        return self.loop.run_until_complete(work)

    def beside(self, **options: Any) -> Engine:
        """Another engine of the same model."""
        return open_engine(self.spec, EngineOptions(engine_args=ARGS, **options), beside=self.engine)

    def close(self) -> None:
        """End vLLM and the loop."""
        self.run(self.engine.close())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture(scope="session")
def shared(checkpoint: Path) -> Iterator[Shared]:
    """vLLM, loaded."""
    one = Shared(f"vllm:{checkpoint}")
    yield one
    one.close()
