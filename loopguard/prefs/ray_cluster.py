"""Getting to a Ray cluster, or to a Ray of our own: in bounded time, without its noise, every node looked at. Is given Ray.

ray_pipeline.py is the one file that imports Ray.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loopguard.errors import InputError, LoopguardError, MissingExtra
from loopguard.prefs.recipe import RaySection
from loopguard.prefs.shard_work import check_node
from loopguard.prefs.shards import Plan

INSTALL = "pip install 'loopguard-prefs[ray]'"

REACHABLE, CONNECTED = 5.0, 60.0
"""Seconds until a cluster's port must answer, and until Ray must have connected to it."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How HTTP/2 begins, with an empty SETTINGS frame; Ray's head speaks gRPC and answers with such a frame (RFC 9113)."""

OBJECT_STORE = 512 * 2**20
"""Bytes of shared memory for a Ray of our own: what goes through it is a shard's prompts, and what is known of them."""


def check_ray(wanted: RaySection) -> None:
    """Whether Ray is installed, and answers where the recipe says. Raises MissingExtra and InputError."""
    for module in ("ray", "ray.data"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(f'runner = "ray" needs Ray Data: {INSTALL}')
    if address := _address(wanted):
        _probe(address)


def _address(wanted: RaySection) -> str:
    """Where the recipe says, else where `ray job submit` says; "" = a Ray of our own."""
    return wanted.address or os.environ.get("RAY_ADDRESS", "")


@contextlib.contextmanager
def connected(ray: Any, wanted: RaySection, *, cpus: float) -> Iterator[None]:
    """Ray, connected in the block; left again, unless somebody had connected before. Raises InputError.

    `cpus`: what the workers take; a Ray of our own has at least so many, whatever the machine has.
    """
    if ray.is_initialized():
        yield
        return
    address = _address(wanted)
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address:
        given["address"] = address
        _use_token()
    else:
        given |= {"address": "local", "include_dashboard": False, "object_store_memory": OBJECT_STORE}
        given["num_cpus"] = max(os.cpu_count() or 1, math.ceil(cpus))
    with _in_time(lambda: ray.init(**given), address or "on this machine"):
        try:
            yield
        finally:
            ray.shutdown()


def _use_token() -> None:
    """Show the cluster the token that is here. `ray start` asks for one wherever there is one; connecting does not send it."""
    here = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if here or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _probe(address: str) -> None:
    """Whether anything listens at HOST:PORT. Raises InputError."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise InputError(
            f"--ray-address {address}: auto or HOST:PORT of the cluster's head, on a machine that belongs to the cluster "
            "(on a laptop: ray job submit)"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACHABLE) as there:
            there.sendall(HELLO)
            seen = there.recv(9)
        wrong = "" if seen[3:4] == HELLO[-6:-5] else "something else listens there"
    except (OSError, OverflowError) as error:
        wrong = str(error)
    if wrong:
        raise InputError(
            f"--ray-address {address}: no Ray answers there ({wrong}); start one with `ray start --head`, or leave the "
            "address out for a Ray of this run's own"
        )


@contextlib.contextmanager
def _without_a_word() -> Iterator[None]:
    """Hold back Ray's one line on stderr that it was told to be quiet; everything else comes after the block."""
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(2), "wb") as stderr:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr.fileno(), 2)
            held.seek(0)
            stderr.writelines(line for line in held if b"Set ray log level" not in line)


@contextlib.contextmanager
def _in_time(start: Any, where: str) -> Iterator[None]:
    """Ray's connecting, which can wait for very long, in bounded time. Raises InputError.

    In a thread that lives as long as the block: Linux ends Ray's processes with the thread that started them.
    """
    errors: list[BaseException] = []
    begun, over = threading.Event(), threading.Event()

    def target() -> None:
        try:
            start()
        except BaseException as error:
            errors.append(error)
        begun.set()
        over.wait()

    threading.Thread(target=target, name="ray-init", daemon=True).start()
    try:
        with _without_a_word():
            connected_in_time = begun.wait(CONNECTED)
        if not connected_in_time:
            raise InputError(
                f"Ray ({where}) did not connect within {CONNECTED:.0f} s; is `ray status` well there, and is the cluster's"
                " token here (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN)?"
            )
        if errors:
            raise InputError(f"Ray ({where}) cannot be used: {first_line(errors[0])}") from None
        yield
    finally:
        over.set()


def _look_at_node(plan: Plan) -> str:
    try:
        check_node(plan)
    except LoopguardError as error:
        return str(error)
    return ""


def check_nodes(ray: Any, plan: Plan) -> None:
    """Whether every node of the cluster can do the plan's work. Raises InputError for the first that cannot."""
    nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    look = ray.remote(_look_at_node)
    asked = {
        look.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy(node, soft=False)).remote(plan): name
        for node, name in nodes.items()
    }
    for answer, name in asked.items():
        try:
            wrong = ray.get(answer, timeout=CONNECTED)
        except ray.exceptions.RayError as error:
            wrong = f"node {name} cannot run loopguard: {first_line(error)}; install the same version on every node"
        if wrong:
            raise InputError(wrong)


@contextlib.contextmanager
def quiet(ray: Any) -> Iterator[None]:
    """Ray Data without bars and logs of its own, and without its limit of time for a block: a shard may take hours."""
    ours = {
        "enable_progress_bars": False,
        "print_on_execution_start": False,
        "execution_no_progress_timeout_s": -1,
        "max_errored_blocks": 0,
        "actor_task_retry_on_errors": False,
    }
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before, level = {name: getattr(context, name) for name in ours}, log.level
    try:
        for name, value in ours.items():
            setattr(context, name, value)
        log.setLevel(logging.ERROR)
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        log.setLevel(level)


def first_line(error: BaseException) -> str:
    """What an exception of many lines says first."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
