"""Between a prompt's step and an engine stands the ledger: what is on disk is taken, the rest is asked and recorded.

An Asker with no engine only replays: it raises NotAnswered where the ledger has nothing. So the same step that asks in
the first pass writes the outputs in the second, and a run is a pure function of its ledger and recipe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loopguard.engines import Completion, Engine, Request
from loopguard.errors import ContextTooLong, EngineError, EngineUnavailable
from loopguard.prefs.budget import Account, Amount
from loopguard.prefs.keeping import Keeper
from loopguard.prefs.keys import digest_messages, request_keys
from loopguard.prefs.ledger import Failure, Spent


class NotAnswered(EngineError):
    """The ledger holds no answer to this request, and nothing may be asked; carries the recorded failure, if any."""

    def __init__(self, failure: Failure | None) -> None:
        """`failure` None: it was never asked."""
        super().__init__(failure.error if failure else "not asked yet")
        self.failure = failure


@dataclass(slots=True)
class Usage:
    """What an Asker asked of its engine in this process."""

    requests: int = 0
    choices: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    taken_from_ledger: int = 0

    def add(self, more: Usage) -> None:
        """Add what another process asked."""
        for item in dataclasses.fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(more, item.name))


class Asker:
    """One engine and model, seen through the ledger."""

    def __init__(
        self,
        ledger: Keeper,
        engine: Engine | None,
        *,
        model: str,
        extra_body: Mapping[str, Any],
        account: Account | None = None,
    ) -> None:
        """`model` and `extra_body` are parts of every key; `engine` None: replay only; `account`: what is spent is kept."""
        self._ledger, self._engine, self._model, self._extra = ledger, engine, model, extra_body
        self._account = account
        self.usage = Usage()

    @property
    def engine(self) -> Engine | None:
        """What it asks; None: it only replays."""
        return self._engine

    @property
    def replays(self) -> bool:
        """It has no engine: what the ledger lacks is NotAnswered, and nothing is waited for."""
        return self._engine is None

    async def ask(self, prompt_id: str, request: Request, known: Mapping[bytes, Completion]) -> list[Completion]:
        """All request.n choices, in order; what comes from the engine is on disk before it is returned.

        `known` is what the ledger has for the prompt. Raises EngineError; NotAnswered where nothing may be asked.
        """
        keys = request_keys(
            self._model,
            request,
            self._extra,
            messages_digest=digest_messages(request.messages),
            seeds=[_seed(request, k) for k in range(request.n)],
        )
        found = {k: known[key] for k, key in enumerate(keys) if key in known}
        self.usage.taken_from_ledger += len(found)
        while len(found) < request.n:
            first = next(k for k in range(request.n) if k not in found)
            last = next((k for k in range(first, request.n) if k in found), request.n)
            part = dataclasses.replace(request, seed=_seed(request, first), n=last - first)
            answers, spent = await self._ask_within_budget(prompt_id, part, keys[first])
            found |= {first + k: answer for k, answer in enumerate(answers)}
            new = {keys[first + k]: answer for k, answer in enumerate(answers)}
            if self._account is None or spent is None:
                await self._ledger.record(prompt_id, new)
            else:
                await self._account.record(prompt_id, new, spent)
        return [found[k] for k in range(request.n)]

    async def _ask_within_budget(
        self, prompt_id: str, request: Request, key: bytes
    ) -> tuple[list[Completion], Spent | None]:
        """The answers and what they took. NotAnswered, with nothing asked, where the budget cannot carry the request."""
        account = self._account
        if account is None or self._engine is None:
            return await self._ask_engine(prompt_id, request, key), None
        worst, real = account.worst(request), Amount()
        if not await account.purse.take(worst):
            raise NotAnswered(None)
        try:
            answers = await self._ask_engine(prompt_id, request, key)
            spent = account.real(answers)
            real = account.price.of(spent.requests, spent.prompt_tokens, spent.completion_tokens)
        finally:
            account.purse.settle(worst, real)
        return answers, spent

    async def _ask_engine(self, prompt_id: str, request: Request, key: bytes) -> list[Completion]:
        if self._engine is None:
            raise NotAnswered(self._ledger.failures(prompt_id).get(key))
        try:
            answers = (await self._engine.ask(request))[: request.n]
            if not answers:
                raise EngineError("the engine returned no choice")
        except EngineUnavailable:
            raise
        except EngineError as error:
            kind = "context_too_long" if isinstance(error, ContextTooLong) else "engine"
            await self._ledger.record_failure(prompt_id, key, Failure(kind, str(error)))
            raise
        self.usage.requests += 1
        self.usage.choices += len(answers)
        self.usage.prompt_tokens += max(answer.prompt_tokens for answer in answers)
        self.usage.completion_tokens += sum(answer.completion_tokens for answer in answers)
        return answers


def _seed(request: Request, k: int) -> int | None:
    return None if request.seed is None else request.seed + k
