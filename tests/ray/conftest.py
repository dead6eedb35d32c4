"""A real Ray of two nodes on this machine for all tests here. Where Ray is not installed they are skipped, visibly.

make test-ray
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = str(150 * 2**20)
"""Bytes of shared memory for each node."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("ray") is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs Ray: make test-ray"))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ray_start(*arguments: str) -> subprocess.Popen[bytes]:
    """`ray start`, kept in the foreground: its node ends with the process."""
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
    command += ["--disable-usage-stats", "--object-store-memory", MEMORY, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


SETTINGS = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
"""Ray would make a token of its own in the home folder, and take half a minute to leave."""


def wait_for_nodes(address: str, count: int) -> None:
    code = f"""
import time, ray
for _ in range(200):
    try:
        ray.init(address={address!r}, log_to_driver=False, logging_level="ERROR")
        break
    except Exception:
        time.sleep(1)
while len([n for n in ray.nodes() if n["Alive"]]) < {count}:
    time.sleep(0.2)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.fixture(scope="session", autouse=True)
def settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def cluster(settings: None) -> Iterator[str]:
    """HOST:PORT of a Ray cluster with a head node and a second node, 4 CPUs each."""
    address = f"127.0.0.1:{free_port()}"
    port = address.partition(":")[2]
    nodes = [ray_start("--head", "--port", port, "--include-dashboard=false", "--num-cpus", "4")]
    try:
        wait_for_nodes(address, 1)
        nodes.append(ray_start("--address", address, "--num-cpus", "4"))
        wait_for_nodes(address, 2)
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in reversed(nodes):
            node.wait(60)
