"""The public fake: an engine that gives the answers of a JSONL file. For tests, demonstrations and dry runs.

    {"prompt": "What is 2 + 2?", "samples": ["4", "It is 4.", "4 4 4 4 4 4 4 4"], "greedy": "4"}
    {"contains": "Rate the answer", "greedy": {"content": "7", "logprobs": {"7": -0.1, "8": -2.4}}}
    {"samples": ["I do not know."]}

A rule fits when the last user message equals `prompt` (looked up first), else when any message contains `contains`
(first in file order), else a rule with neither is the default; of equal rules the first counts. At temperature 0 it
answers `greedy` (the first sample when absent); above, samples[seed % len(samples)] with seed + k for choice k (no seed
counts as 0), so one request with n=5 gives what five requests with seed, seed + 1, ... seed + 4 give. An answer is a
string or an object with the fields of `Answer`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopguard.engines import Completion, EngineOptions, Request
from loopguard.errors import EngineError, InputError

RULE_KEYS = ("prompt", "contains", "samples", "greedy")
_RULE_KEYS = frozenset(RULE_KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One scripted answer; a bare string in the file is one with this content."""

    content: str = ""
    reasoning: str = ""
    finish_reason: str = "stop"
    logprobs: Mapping[str, float] | None = None
    """First token -> log-probability; given only to requests that want logprobs."""
    prompt_tokens: int | None = None
    """Default: characters of all messages // 4 + 1."""
    completion_tokens: int | None = None
    """Default: characters of content and reasoning // 4 + 1."""
    error: str = ""
    """When given: the request fails with an EngineError of this text."""
    latency: float = 0.0
    """Seconds until the answer comes."""

    def completion(self, request: Request, prompt_tokens: int) -> Completion:
        """This answer as an engine gives it. Raises EngineError for a scripted error."""
        if self.error:
            raise EngineError(self.error)
        completion_tokens = self.completion_tokens
        if completion_tokens is None:
            completion_tokens = (len(self.content) + len(self.reasoning)) // 4 + 1
        return Completion(
            content=self.content,
            reasoning=self.reasoning,
            finish_reason=self.finish_reason,
            prompt_tokens=prompt_tokens if self.prompt_tokens is None else self.prompt_tokens,
            completion_tokens=completion_tokens,
            first_logprobs=self.logprobs if request.top_logprobs else None,
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """The answers to one prompt. A bare string stays one: a hundred thousand rules load in a second."""

    samples: Sequence[str | Answer]
    greedy: str | Answer

    def answer(self, request: Request, choice: int) -> str | Answer:
        """What stands for choice `choice` of the request."""
        if request.temperature == 0:
            return self.greedy
        return self.samples[((request.seed or 0) + choice) % len(self.samples)]


class ScriptedEngine:
    """Replays the answers of the JSONL file at `path`. Raises InputError, with the line, for a file it cannot use."""

    def __init__(self, path: str, options: EngineOptions) -> None:
        """Read the file, once and whole."""
        if not path:
            raise InputError("the scripted engine needs a file of answers; example: scripted:answers.jsonl")
        self._path = path
        self._model = options.model or Path(path).stem
        self._exact: dict[str, Rule] = {}
        self._containing: list[tuple[str, Rule]] = []
        self._default: Rule | None = None
        self._concurrency = options.concurrency
        self._gate = asyncio.Semaphore(options.concurrency)
        for match, text, rule in _read_rules(Path(path)):
            if match == "prompt":
                self._exact.setdefault(text, rule)
            elif match == "contains":
                self._containing.append((text, rule))
            elif self._default is None:
                self._default = rule

    @property
    def spec(self) -> str:
        """`scripted:PATH`."""
        return f"scripted:{self._path}"

    @property
    def model(self) -> str:
        """The model's name as given, else the file's stem."""
        return self._model

    async def start(self) -> None:
        """Nothing to do: the file was read when the engine was made."""

    async def close(self) -> None:
        """Nothing to give back."""
        self._gate = asyncio.Semaphore(self._concurrency)

    async def ask(self, request: Request) -> list[Completion]:
        """The scripted answers for choices 0 to n - 1. Raises EngineError when no rule fits, or the script says so."""
        rule = self._rule(request.messages)
        answers = [rule.answer(request, choice) for choice in range(request.n)]
        if latency := max(0.0 if isinstance(answer, str) else answer.latency for answer in answers):
            async with self._gate:
                await asyncio.sleep(latency)
        prompt_tokens = sum(len(message["content"]) for message in request.messages) // 4 + 1
        done: list[Completion] = []
        for answer in answers:
            if isinstance(answer, str):
                tokens = len(answer) // 4 + 1
                done.append(Completion(content=answer, prompt_tokens=prompt_tokens, completion_tokens=tokens))
            elif answer.error and done:
                break
            else:
                done.append(answer.completion(request, prompt_tokens))
        return done

    def _rule(self, messages: Sequence[Mapping[str, str]]) -> Rule:
        last = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
        if rule := self._exact.get(last):
            return rule
        for text, rule in self._containing:
            if any(text in message["content"] for message in messages):
                return rule
        if self._default:
            return self._default
        raise EngineError(f"{self._path} has no answer for the prompt {last[:80]!r} and no default rule")


def _read_rules(path: Path) -> Iterator[tuple[str, str, Rule]]:
    """(`prompt`, `contains` or "", its text, the rule) for each line."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.isspace():
                    try:
                        yield _read_rule(line)
                    except ValueError as error:
                        raise InputError(f"{path}, line {number}{error}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error.reason}") from None


def _read_rule(line: str) -> tuple[str, str, Rule]:
    """One rule. Raises ValueError with what follows "line 7" in the message."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f": no JSON: {error}") from None
    if not isinstance(given, dict):
        raise ValueError(f": a rule is an object with {', '.join(RULE_KEYS)}; got {_short(given)}")
    match, text = _read_match(given)
    samples = given.get("samples", [])
    if not isinstance(samples, list):
        raise ValueError(f": 'samples' must be a list of answers; got {_short(samples)}")
    if not samples and "greedy" not in given:
        raise ValueError(": a rule needs 'samples' (a list of at least one answer) or 'greedy'")
    for k, sample in enumerate(samples):
        if type(sample) is not str:
            samples[k] = _read_answer(sample, f", sample {k + 1}")
    greedy = _read_answer(given["greedy"], ", greedy") if "greedy" in given else samples[0]
    return match, text, Rule(samples or (greedy,), greedy)


def _read_match(given: Mapping[str, Any]) -> tuple[str, str]:
    """(`prompt`, `contains` or "", its text)."""
    if unknown := given.keys() - _RULE_KEYS:
        raise ValueError(f": unknown key {min(unknown)!r}; allowed: {', '.join(RULE_KEYS)}")
    if "prompt" in given and "contains" in given:
        raise ValueError(": a rule has 'prompt' or 'contains' or neither, not both")
    match = "prompt" if "prompt" in given else "contains" if "contains" in given else ""
    text = given[match] if match else ""
    if not isinstance(text, str):
        raise ValueError(f": {match!r} must be a string; got {_short(text)}")
    return match, text


_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    "content": (str,),
    "reasoning": (str,),
    "finish_reason": (str,),
    "logprobs": (dict,),
    "prompt_tokens": (int,),
    "completion_tokens": (int,),
    "error": (str,),
    "latency": _NUMBER,
}


def _read_answer(given: Any, where: str) -> str | Answer:
    if isinstance(given, str):
        return given
    if not isinstance(given, dict):
        raise ValueError(f"{where}: an answer is a string or an object with {', '.join(_TYPES)}; got {_short(given)}")
    for name, value in given.items():
        if name not in _TYPES:
            raise ValueError(f"{where}: unknown key {name!r}; allowed: {', '.join(_TYPES)}")
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            wanted = " or ".join(kind.__name__ for kind in _TYPES[name])
            raise ValueError(f"{where}: {name!r} must be {wanted}; got {_short(value)}")
    if bad := [text for text, value in given.get("logprobs", {}).items() if type(value) not in _NUMBER]:
        raise ValueError(f"{where}: the logprob of {bad[0]!r} must be a number")
    return Answer(**given)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
