"""Which requests one prompt needs: a block of samples a temperature, then one greedy candidate. Asks nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from loopguard.engines import Completion, Request
from loopguard.prefs.recipe import OutputSection, SamplingSection
from loopguard.records import Candidate, Prompt


@dataclass(frozen=True, slots=True)
class Draw:
    """One request of a prompt and the index of its first candidate."""

    request: Request
    first_index: int


def base_seed(recipe_seed: int, prompt_id: str) -> int:
    """The seed of candidate 0 of a prompt, in 0 .. 2**31 - 1025; candidate k has this plus k.

    One choice after another: engines give choice k of an n-request the seed `seed + k` (vLLM and llama.cpp both), so
    five single requests stand for one request with n = 5.
    """
    digest = hashlib.sha256(f"{recipe_seed}:{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**31 - 1024)


def draws(prompt: Prompt, sampling: SamplingSection) -> list[Draw]:
    """The requests of one prompt, samples first, greedy last, so that prefix caching shares the prompt."""
    seed, index, found = base_seed(sampling.seed, prompt.prompt_id), 0, []
    early_stop = sampling.early_stop.model_dump() if sampling.early_stop else None
    for temperature, block in groupby(sampling.temperatures()):
        n = len(list(block))
        found.append(
            Draw(
                Request(
                    messages=prompt.messages,
                    temperature=temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_tokens,
                    seed=seed + index,
                    n=n,
                    early_stop=early_stop,
                ),
                index,
            )
        )
        index += n
    if sampling.greedy:
        request = Request(
            messages=prompt.messages, max_tokens=sampling.max_tokens, seed=seed + index, early_stop=early_stop
        )
        found.append(Draw(request, index))
    return found


def candidates_of(prompt: Prompt, draw: Draw, answers: Sequence[Completion], output: OutputSection) -> list[Candidate]:
    """The candidates that the answers to one draw are, verdicts and scores still to come."""
    request = draw.request
    return [
        Candidate(
            prompt_id=prompt.prompt_id,
            index=draw.first_index + k,
            decoding="sampled" if request.temperature > 0 else "greedy",
            temperature=request.temperature,
            top_p=request.top_p,
            seed=(request.seed or 0) + k,
            text=as_one_text(answer, output),
            content=answer.content,
            reasoning=answer.reasoning,
            finish_reason=answer.finish_reason,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
        )
        for k, answer in enumerate(answers)
    ]


def as_one_text(answer: Completion, output: OutputSection) -> str:
    """The answer as the one assistant message that is examined and trained on.

    Thinking text stands in its tags before the content; a thought that was cut off before any content stays open.
    """
    if not answer.reasoning:
        return answer.content
    if not answer.content and answer.finish_reason != "stop":
        return output.think_open + answer.reasoning
    return output.think_open + answer.reasoning + output.think_close + answer.content
