"""What a run may spend, in requests, tokens or money: a budget, and the purse that keeps every request within it.

Before a request goes out its worst case is held back: one request, its prompt, n answers of max_tokens. A request that does
not fit waits until those in flight have settled at what they really took, and is refused if it does not fit then. So what
servers report never passes the budget (unless one gives more than max_tokens), and less than the next request's worst case
is left. Other prompts are not begun after that; those under way go on with whatever of theirs still fits.
What was spent is kept in the ledger, in the transaction of the answers it was spent on, and counts for all sessions.

Not known, and so not counted: what a server charges for attempts that fail, and for answers that a kill cut off in flight.
Nor are the four requests of a few tokens that find out what a server can do (engines/probe.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from loopguard.engines import Completion, Engine, Request
from loopguard.errors import InputError
from loopguard.prefs.keeping import Keeper
from loopguard.prefs.ledger import Ledger, Spent
from loopguard.prefs.recipe import Recipe

MONEY = 10**12
"""Money is counted in 1 / MONEY of the user's currency: a token's share of a price with six decimals is a whole number."""

TEMPLATE_TOKENS = 128
"""Held back for a chat template and the system prompt it may bring; no token of a text is shorter than a byte."""

UNITS = {"requests": "requests", "tokens": "tokens", "money": "money"}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)\s*(requests|tokens|money|[a-zA-Z]{3})")
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_NO_CURRENCY = ("req", "tok", "sum", "all", "max")


class Amount(NamedTuple):
    """Something spent, or to be spent, in all three units."""

    requests: int = 0
    tokens: int = 0
    money: int = 0
    """In 1 / MONEY."""

    def plus(self, other: Amount) -> Amount:
        """The sum."""
        return Amount(self.requests + other.requests, self.tokens + other.tokens, self.money + other.money)

    def minus(self, other: Amount) -> Amount:
        """The difference."""
        return Amount(self.requests - other.requests, self.tokens - other.tokens, self.money - other.money)


class Price(NamedTuple):
    """Of a million tokens, in 1 / 1,000,000 of the user's currency; so one token's in 1 / MONEY."""

    prompt: int = 0
    completion: int = 0

    def of(self, requests: int, prompt_tokens: int, completion_tokens: int) -> Amount:
        """What so many requests and tokens come to."""
        money = prompt_tokens * self.prompt + completion_tokens * self.completion
        return Amount(requests, prompt_tokens + completion_tokens, money)


def prices(recipe: Recipe) -> dict[str, Price]:
    """The prices of "sampling" and "judging". A judge without an engine and prices of its own costs what sampling costs."""
    sampling, judging = recipe.engine, recipe.judge
    own = bool(judging.engine or judging.price_prompt or judging.price_completion)
    found = {"sampling": sampling, "judging": judging if own else sampling}
    return {
        stage: Price(_whole(s.price_prompt, 10**6), _whole(s.price_completion, 10**6)) for stage, s in found.items()
    }


def _whole(value: float, parts: int) -> int:
    return round(value * parts)


def limits(recipe: Recipe) -> Amount | None:
    """The recipe's budget, 0 where a unit has no limit; None without one. Raises InputError for money without prices."""
    section = recipe.budget
    if section.money and not any(any(price) for price in prices(recipe).values()):
        raise InputError(
            f"a budget of {section.money:g} in money needs prices: set engine.price_prompt and engine.price_completion"
            " (and judge.price_prompt, judge.price_completion), each for a million tokens"
        )
    found = Amount(section.requests, section.tokens, _whole(section.money, MONEY))
    return found if any(found) else None


def read_budget(given: list[str]) -> dict[str, Any]:
    """`--budget 5000requests`, `2Mtokens`, `20usd`, `none` as changes of a recipe. Raises InputError."""
    changes: dict[str, Any] = {}
    for text in given:
        if text.strip().lower() == "none":
            changes |= dict.fromkeys(("budget.requests", "budget.tokens", "budget.money"), 0)
            continue
        match = _AMOUNT.fullmatch(text.strip())
        if match is None or match[3].lower() in _NO_CURRENCY or not float(match[1]):
            raise InputError(
                f"--budget {text!r}: an amount and its unit, such as 5000requests, 2Mtokens, 20usd (any three letters are a"
                " currency: that of the prices), or none"
            )
        unit = match[3] if match[3] in UNITS else "money"
        amount = float(match[1]) * _TIMES[match[2].lower()]
        if unit != "money" and not amount.is_integer():
            raise InputError(f"--budget {text!r}: there are only whole {unit}")
        changes[f"budget.{unit}"] = amount if unit == "money" else int(amount)
    return changes


class Purse:
    """What was spent, what is held back for requests in flight, and what may be spent. One for a session."""

    def __init__(self, most: Amount | None = None, spent: Amount | None = None, *, priced: bool = False) -> None:
        """`most` None: no limit. `spent`: by all former sessions. `priced`: the recipe has prices, money means something."""
        self.most, self.spent, self.priced = most, spent or Amount(), priced
        self.refused = ""
        """Why nothing more was asked; "" as long as everything fitted."""
        self._before, self._held, self._in_flight = self.spent, Amount(), 0
        self._waiting: list[tuple[Amount, asyncio.Future[bool]]] = []

    async def take(self, worst: Amount) -> bool:
        """Hold `worst` back, as soon as it fits; False when it does not fit although nothing is in flight any more."""
        if self._hold(worst):
            return True
        if self._in_flight:
            waiting = (worst, asyncio.get_running_loop().create_future())
            self._waiting.append(waiting)
            try:
                fits: bool = await waiting[1]
                return fits
            except asyncio.CancelledError:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
                elif waiting[1].done() and not waiting[1].cancelled() and waiting[1].result():
                    self.settle(worst, Amount())
                raise
        self._refuse(worst)
        return False

    def settle(self, worst: Amount, real: Amount) -> None:
        """`worst` was held back, `real` was spent of it; who waits is let through or, with nothing in flight, refused."""
        self._held, self.spent = self._held.minus(worst), self.spent.plus(real)
        self._in_flight -= 1
        for waiting in [one for one in self._waiting if self._hold(one[0])]:
            self._waiting.remove(waiting)
            waiting[1].set_result(True)
        if not self._in_flight:
            for amount, future in self._waiting:
                self._refuse(amount)
                future.set_result(False)
            self._waiting.clear()

    def told(self, *, through: int, left: int) -> str:
        """`1,204 of 5,000 requests, ~9,800 in all`: the units of the budget; money where only prices are given."""
        projected = self.projected(through=through, left=left)
        said = []
        for k, unit in enumerate(Amount._fields):
            most = self.most[k] if self.most else 0
            if most or (self.most is None and self.priced and unit == "money"):
                limit = f" of {in_words(unit, most)}" if most else f" {unit}"
                spent = in_words(unit, self.spent[k]).removesuffix(f" {unit}")
                total = f", ~{in_words(unit, projected[k]).removesuffix(f' {unit}')} in all" if projected else ""
                said.append(f"{spent}{limit}{total}")
        return "; ".join(said)

    def projected(self, *, through: int, left: int) -> Amount | None:
        """The total when `left` more prompts take what the session's first `through` took; None before any is through."""
        if not through:
            return None
        return Amount(*(a + (a - b) * left // through for a, b in zip(self.spent, self._before, strict=True)))

    def _hold(self, worst: Amount) -> bool:
        after = self.spent.plus(self._held).plus(worst)
        if self.most and any(most and amount > most for amount, most in zip(after, self.most, strict=True)):
            return False
        self._held, self._in_flight = self._held.plus(worst), self._in_flight + 1
        return True

    def _refuse(self, worst: Amount) -> None:
        assert self.most is not None
        for unit, spent, need, most in zip(Amount._fields, self.spent, worst, self.most, strict=True):
            if most and spent + need > most and not self.refused:
                said = [in_words(unit, amount).removesuffix(f" {unit}") for amount in (spent, most, need)]
                self.refused = (
                    "budget: {} of {} {} spent, and the next request may take {}; raise --budget to go on".format(
                        *said[:2], unit, said[2]
                    )
                )


def in_words(unit: str, amount: int) -> str:
    """`12,000 tokens`, `3.42 money`."""
    return f"{amount / MONEY:,.4g} {unit}" if unit == "money" else f"{amount:,} {unit}"


@dataclass(slots=True)
class Account:
    """One stage's part of the purse: its prices, and the row of the ledger that its spending is added to."""

    purse: Purse
    ledger: Keeper
    stage: str
    model: str
    price: Price
    engine: Engine | None
    _several: int = 1

    def worst(self, request: Request) -> Amount:
        """The most that a request can take: bytes for tokens, and every choice asked singly until `n` is known to work."""
        if self.purse.most is None:
            return Amount()
        size = sum(len(message["content"].encode("utf-8", "replace")) + 16 for message in request.messages)
        times = self._times(request.n, sure=True)
        return self.price.of(times, times * (size + TEMPLATE_TOKENS), request.n * request.max_tokens)

    def real(self, answers: Sequence[Completion]) -> Spent:
        """What an answered request took, from the tokens that the engine reports."""
        times = self._times(len(answers), sure=False)
        if times == 1:
            self._several = max(self._several, len(answers))
        prompt_tokens = times * max(answer.prompt_tokens for answer in answers)
        completion_tokens = sum(answer.completion_tokens for answer in answers)
        return Spent(self.stage, self.model, times, prompt_tokens, completion_tokens, *self.price)

    async def record(self, prompt_id: str, answers: Mapping[bytes, Completion], spent: Spent) -> None:
        """As `Ledger.record`, the spending in the same transaction."""
        await self.ledger.record(prompt_id, answers, spent=spent)

    def _times(self, n: int, *, sure: bool) -> int:
        """How many requests an ask of n choices is to the engine. Only a server can take several."""
        most: int | None = getattr(self.engine, "choices_at_once", n)
        if most is None:
            return n if sure and n > self._several else 1
        return -(-n // most)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a session's two askers, and the purse they share; all None where nothing is kept."""

    sampling: Account | None = None
    judging: Account | None = None
    purse: Purse | None = None


def open_accounts(recipe: Recipe, ledger: Keeper, sampler: Engine | None, judge: Engine | None) -> Accounts:
    """The accounts of a session, with what all former ones spent. Raises InputError for money without prices."""
    rates, models = prices(recipe), _models(recipe)
    spent = Amount()
    for row in ledger.spending():
        spent = spent.plus(_amount(row, recipe))
    purse = Purse(limits(recipe), spent, priced=any(map(any, rates.values())))
    sampling, judging = (
        Account(purse, ledger, stage, models[stage], rates[stage], engine)
        for stage, engine in (("sampling", sampler), ("judging", judge))
    )
    return Accounts(sampling, judging, purse)


def spent_of(recipe: Recipe, ledger: Ledger) -> dict[str, Any]:
    """What all sessions spent, as JSON values: by stage and in all, and of which budget. Money is null without prices."""
    priced = any(map(any, prices(recipe).values()))
    found: dict[str, Any] = {}
    for row in ledger.spending():
        found.setdefault(row.stage, []).append((row, _amount(row, recipe)))
    every = [pair for pairs in found.values() for pair in pairs]
    budget = {unit: value for unit, value in recipe.budget.model_dump().items() if value}
    by_stage = {stage: _sums(pairs, priced=priced) for stage, pairs in found.items()}
    return {**_sums(every, priced=priced), "budget": budget or None, "by_stage": by_stage}


def _sums(pairs: Sequence[tuple[Spent, Amount]], *, priced: bool) -> dict[str, Any]:
    money = sum(amount.money for _, amount in pairs)
    return {
        "requests": sum(row.requests for row, _ in pairs),
        "prompt_tokens": sum(row.prompt_tokens for row, _ in pairs),
        "completion_tokens": sum(row.completion_tokens for row, _ in pairs),
        "money": money / MONEY if priced else None,
    }


def _models(recipe: Recipe) -> dict[str, str]:
    return {"sampling": recipe.engine.model, "judging": recipe.judge.engine_section(recipe.engine).model}


def _amount(row: Spent, recipe: Recipe) -> Amount:
    """A ledger's row at the recipe's price where its model is the recipe's or not known, else at its last own."""
    now = row.model in ("", _models(recipe).get(row.stage))
    price = prices(recipe)[row.stage] if now else Price(row.price_prompt, row.price_completion)
    return price.of(row.requests, row.prompt_tokens, row.completion_tokens)
