"""What the engines of a run can do: probed before the first question, noted in the ledger, probed again after a day.

A probe costs a few requests and some 40 generated tokens for each engine and is no part of any figure of the run. A run that
has nothing to ask probes nothing, and neither does one that goes on within FRESH seconds with the same engine and model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from loopguard.engines import Engine
from loopguard.engines.probe import Capabilities
from loopguard.errors import EngineError
from loopguard.prefs.ledger import Ledger

FRESH = 86_400.0
"""Seconds that a noted probe is believed: servers are restarted with other settings under the same address."""

_NAME = "capabilities"


@runtime_checkable
class Probed(Protocol):
    """An engine that can say what it can do."""

    async def probe(self) -> Capabilities:
        """Find out and keep to it. May raise EngineError."""

    def use(self, known: Capabilities) -> None:
        """Keep to what a former probe found out."""


async def find_out(engines: Sequence[Engine], ledger: Ledger) -> None:
    """Let each started engine know what it can do, and note it. Never fails a run: an engine learns from refusals too."""
    known = noted(ledger)

    async def one(engine: Engine) -> None:
        if not isinstance(engine, Probed):
            return
        name = f"{engine.spec} {engine.model}"
        if name in known and _is_fresh(known[name]):
            engine.use(Capabilities.from_dict(known[name]))
            return
        try:
            known[name] = (await engine.probe()).as_dict()
        except EngineError:
            known.pop(name, None)

    await asyncio.gather(*(one(engine) for k, engine in enumerate(engines) if engine not in engines[:k]))
    ledger.put(_NAME, json.dumps(known))


def noted(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """ "SPEC MODEL" -> capabilities as JSON values, as the ledger has them."""
    found: dict[str, dict[str, Any]] = json.loads(ledger.get(_NAME) or "{}")
    return found


def lines(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What `noted` gave, a line for each engine and model."""
    for name, values in found.items():
        yield f"{name}: {Capabilities.from_dict(values).line()}"


def _is_fresh(values: Mapping[str, Any]) -> bool:
    """Whether it need not be asked again: nothing is unknown, and it is no older than FRESH."""
    known = Capabilities.from_dict(values)
    if None in (known.n, known.seed, known.top_logprobs, known.token_ids):
        return False
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(known.probed)
    except ValueError:
        return False
    return 0 <= age.total_seconds() < FRESH
