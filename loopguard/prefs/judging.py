"""Ask a judge about one candidate: fill the spec, ask, read the score or raise.

Pointwise, one token, no chain of thought: the score is the expectation over the label tokens' probabilities,
renormalised. An engine without log-probabilities, or a judge whose first token is no label, is asked once more for
constrained JSON; a plain integer is read too. A reply that holds none of these is a JudgeError, never a score.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import Field, field_validator, model_validator

from loopguard.engines import Completion, Request
from loopguard.errors import JudgeError, RecipeError
from loopguard.house import find
from loopguard.prefs.fencing import fence, nonce, shorten
from loopguard.prefs.recipe import Section, parse_section, read_toml
from loopguard.records import Candidate, Prompt, Score

TOP_LOGPROBS = 20
"""As many as hosted servers give at the most."""

FORM = 2
"""Of what is asked with one and the same spec. Raised when it changes, so that finished runs ask again."""


class Scale(Section):
    """Whole points from `low` to `high`, one digit each, so that a label is one token."""

    low: int = Field(1, ge=0, le=9, description="the lowest grade")
    high: int = Field(5, ge=0, le=9, description="the highest grade")

    @model_validator(mode="after")
    def _two_points(self) -> Scale:
        if self.low >= self.high:
            raise ValueError("scale: low must be less than high (both 0 to 9: one digit is one token)")
        return self

    @property
    def labels(self) -> list[int]:
        """Every point of the scale, ascending."""
        return list(range(self.low, self.high + 1))


class JudgeSpec(Section):
    """A judge as its TOML describes it."""

    name: str = Field(min_length=1, description="part of the signature; a file without it lends its own name")
    description: str = Field("", description="one line for `loopguard judges list`")
    scale: Scale = Scale()
    system: str = Field("", description="system message, plain text")
    template: str = Field(
        description="user message: Jinja2 over prompt, answer, reference (each in its fence), low, high"
    )
    shows_reasoning: bool = Field(False, description="whether the judge sees thinking text, or the answer alone")
    max_chars: int = Field(24_000, ge=200, description="longer prompts and answers are cut in the middle for the judge")
    min_label_mass: float = Field(0.1, ge=0, le=1, description="least probability on the labels for logprobs to count")
    max_tokens: int = Field(16, ge=1, le=1024, description="most tokens of a reply: judges loop too")

    @field_validator("template")
    @classmethod
    def _fills(cls, value: str) -> str:
        for reference in ("<r>", ""):
            try:
                text = _template(value).render(prompt="<p>", answer="<a>", reference=reference, low=1, high=5)
            except Exception as error:  # whatever a template can raise: it is the spec that is wrong
                raise ValueError(f"{error} (known: prompt, answer, reference, low, high)") from None
            if "<p>" not in text or "<a>" not in text:
                raise ValueError("it must show {{ prompt }} and {{ answer }}, with a reference and without")
        return value

    @property
    def takes_reference(self) -> bool:
        """The right answer, where there is one, is shown to the judge."""
        return "reference" in self.template

    @property
    def signature(self) -> str:
        """Name, scale and the first 8 hex digits of the spec's SHA-256: what a score can be compared under."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return f"{self.name}|{self.scale.low}-{self.scale.high}|{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def load_judge(name: str) -> JudgeSpec:
    """A shipped judge by name or anybody's by path. Raises InputError (not found) or RecipeError (not valid)."""
    path = find("judges", name)
    raw = read_toml(path)
    if "template" not in raw:
        raise RecipeError(f"{path}: template is missing; see `loopguard judges show helpfulness` for a whole one")
    return parse_section(JudgeSpec, {"name": path.stem, **raw}, where=str(path))


@lru_cache(maxsize=64)
def _template(text: str) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    template = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(text)
    template.globals = dict(template.globals)  # a chain of dicts is walked for every text that is filled in
    return template


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge made of one candidate: a score, or why there is none."""

    score: Score | None
    error: str | None = None


def judge_messages(spec: JudgeSpec, prompt: Prompt, candidate: Candidate, *, salt: str = "") -> list[dict[str, str]]:
    """The judge's conversation about one candidate, every untrusted text fenced. Pure: the same in, the same out.

    A `salt` gives other fence marks, and nothing else. The mark of prompt and reference is the same for every answer: what
    engines keep of one request's beginning serves the next.
    """
    answer, asked, reference = answer_seen(spec, candidate), *prompt_seen(spec, prompt)
    salts = [salt] if salt else []
    of_prompt, of_answer = nonce(asked, reference, *salts), nonce(asked, answer, reference, *salts)
    user = _template(spec.template).render(
        prompt=fence("PROMPT", asked, of_prompt),
        answer=fence("ANSWER", answer, of_answer),
        reference=fence("REFERENCE", reference, of_prompt) if reference else "",
        low=spec.scale.low,
        high=spec.scale.high,
    )
    return as_messages(spec, user)


def answer_seen(spec: JudgeSpec, candidate: Candidate) -> str:
    """What the judge sees of a candidate: with its thinking text or without, long ones without their middle."""
    return shorten(candidate.text if spec.shows_reasoning else candidate.content, spec.max_chars)


def prompt_seen(spec: JudgeSpec, prompt: Prompt) -> tuple[str, str]:
    """What the judge sees of a prompt and of its reference ("" where there is none)."""
    reference = shorten(prompt.reference, spec.max_chars) if prompt.reference else ""
    return shorten(conversation(prompt), spec.max_chars), reference


def as_messages(spec: JudgeSpec, user: str) -> list[dict[str, str]]:
    """The judge's system message, where it has one, and the question."""
    system = [{"role": "system", "content": spec.system.strip()}] if spec.system.strip() else []
    return [*system, {"role": "user", "content": user.strip()}]


def conversation(prompt: Prompt) -> str:
    """The prompt as one text: the bare question, or every turn under its role."""
    if len(prompt.messages) == 1:
        return prompt.messages[0]["content"]
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in prompt.messages)


async def judge_one(
    spec: JudgeSpec,
    prompt: Prompt,
    candidate: Candidate,
    ask: Callable[[Request], Awaitable[Completion]],
    *,
    attempts: int,
) -> Judgement:
    """Ask about one candidate until a reply can be read, `attempts` times at most. `ask` may raise EngineError."""
    return await ask_until_read(spec, judge_messages(spec, prompt, candidate), ask, attempts=attempts)


async def ask_until_read(
    spec: JudgeSpec,
    messages: Sequence[dict[str, str]],
    ask: Callable[[Request], Awaitable[Completion]],
    *,
    attempts: int,
    first_seed: int = 0,
) -> Judgement:
    """Ask a question whose reply is a point of the spec's scale. Seed 0 is asked at temperature 0, others at 0.7."""
    error = ""
    for seed in range(first_seed, first_seed + attempts):
        request = Request(
            messages=messages,
            temperature=0.0 if seed == 0 else 0.7,
            max_tokens=spec.max_tokens,
            seed=seed,
            top_logprobs=TOP_LOGPROBS,
        )
        try:
            return Judgement(await _ask_twice(spec, request, ask))
        except JudgeError as unread:
            error = str(unread)
    return Judgement(None, f"no score in {attempts} {'reply' if attempts == 1 else 'replies'}: {error}")


async def _ask_twice(spec: JudgeSpec, request: Request, ask: Callable[[Request], Awaitable[Completion]]) -> Score:
    """One attempt: log-probabilities or an integer; where the reply has neither, constrained JSON."""
    try:
        return read_first_token(spec, await ask(request))
    except JudgeError:
        in_json = dataclasses.replace(
            request, top_logprobs=0, json_schema=schema(spec), max_tokens=spec.max_tokens + 48
        )
        return read_json(spec, await ask(in_json))


def schema(spec: JudgeSpec) -> dict[str, Any]:
    """The JSON schema of a reply: one integer of the scale."""
    score = {"type": "integer", "enum": spec.scale.labels}
    return {"type": "object", "properties": {"score": score}, "required": ["score"], "additionalProperties": False}


def read_first_token(spec: JudgeSpec, reply: Completion) -> Score:
    """The expected score over the first token's labels, or the integer that the reply is. Raises JudgeError.

    Labels count only where the reply is no longer number or sentence that happens to begin with one.
    """
    if reply.first_logprobs is None:
        return read_integer(spec, reply)
    if _GOES_ON.match(reply.content) and _bare_integer(spec, reply) not in spec.scale.labels:
        raise JudgeError(f"begins with a digit that is no grade: {_seen(reply)}")
    weights = label_weights(spec, reply.first_logprobs)
    mass = sum(weights.values())
    if mass < max(spec.min_label_mass, 1e-9):
        raise JudgeError(
            f"only {mass:.2f} of the probability lies on {spec.scale.low}..{spec.scale.high}: {_seen(reply)}"
        )
    expected = sum(label * weight for label, weight in weights.items()) / mass
    return Score(value=expected, method="logprobs", mass=min(1.0, mass))


def label_weights(spec: JudgeSpec, logprobs: Mapping[str, float]) -> dict[int, float]:
    """Probability of each label over its spellings (with and without space); labels not listed are left out."""
    weights: dict[int, float] = {}
    for token, logprob in logprobs.items():
        digit = token.strip(" \u2581\u0120")
        if len(digit) == 1 and digit in "0123456789" and int(digit) in spec.scale.labels and math.isfinite(logprob):
            weights[int(digit)] = weights.get(int(digit), 0.0) + math.exp(min(0.0, logprob))
    return weights


_INTEGER = re.compile(
    r"[\s*]*(?:(?:score|grade|rating)[\s*]*[:=][\s*]*)?(\d{1,3})[\s*]*(?:(?:/|out of)\s*(\d{1,3}))?[\s*]*\.?[\s*]*",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\s*\d(?:\d|[.,]\d|\s*/|\s*%|\s+out of|[ \t]+(?!is\b)[^\W\d_])", re.IGNORECASE)
"""10, 4.5, 4/10, 4 %, 3 reasons why: the digit is a part of something else. "4 is the right number" is a grade."""


def read_integer(spec: JudgeSpec, reply: Completion) -> Score:
    """The score of a reply that is nothing but an integer of the scale: "4", "Score: 4", "4/5". Raises JudgeError."""
    value = _bare_integer(spec, reply)
    if value is None:
        raise JudgeError(f"neither log-probabilities nor a bare integer: {_seen(reply)}")
    return Score(value=_on_scale(spec, value, reply), method="integer")


def _bare_integer(spec: JudgeSpec, reply: Completion) -> int | None:
    match = _INTEGER.fullmatch(reply.content)
    if match is None or (match[2] and int(match[2]) != spec.scale.high):
        return None
    return int(match[1])


def read_json(spec: JudgeSpec, reply: Completion) -> Score:
    """The score of a reply that is the JSON object asked for, or a bare integer. Raises JudgeError."""
    text = _CODE_FENCE.sub("", reply.content.strip())
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return read_integer(spec, reply)
    if not isinstance(answer, dict):
        return read_integer(spec, reply)
    value = answer.get("score")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise JudgeError(f"no integer under 'score': {_seen(reply)}")
    return Score(value=_on_scale(spec, value, reply), method="json")


_CODE_FENCE = re.compile(r"\A```\w*\s*|\s*```\Z")


def _on_scale(spec: JudgeSpec, value: int, reply: Completion) -> float:
    if value not in spec.scale.labels:
        seen = "that" if value > 999 else value
        raise JudgeError(f"{seen} is not on the scale {spec.scale.low}..{spec.scale.high}: {_seen(reply)}")
    return float(value)


def _seen(reply: Completion) -> str:
    text = " ".join(reply.content.split())
    if text:
        return repr(text[:80])
    if reply.reasoning:
        return "nothing but thinking: switch it off in [judge] extra_body, or raise max_tokens in the judge's .toml"
    return f"an empty reply (finish_reason {reply.finish_reason})"
