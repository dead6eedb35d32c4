"""vLLM's names and ours: checked names, a Request as sampling parameters, an output as Completions. Imports no vllm."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any

from loopguard.engines import Completion, Request
from loopguard.errors import EngineError, InputError

OURS = ("n", "temperature", "top_p", "max_tokens", "seed", "logprobs", "output_kind")
"""Sampling parameters that a Request decides: extra_body may not name them."""

TEMPLATE = "chat_template_kwargs"
"""The one field of extra_body that is for the chat template, not for the sampler: {"enable_thinking": false}."""


def check_names(given: Mapping[str, Any], known: Collection[str], *, what: str, taken: Collection[str] = ()) -> None:
    """Raises InputError for a name that vLLM does not know, with the names most like it, or that loopguard sets itself."""
    for name in given:
        if name in taken:
            raise InputError(f"{what}: {name!r} is set by loopguard itself")
        if name not in known:
            free = [one for one in known if one not in taken]
            near = difflib.get_close_matches(name, free, n=3, cutoff=0.6)
            near = near or sorted(one for one in free if name in one or one in name)[:3]
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; it knows {len(free)} others"
            raise InputError(f"{what}: vLLM knows no {name!r}{hint}")


def sampling_fields(request: Request, extra_body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of vLLM's SamplingParams, as plain values; `structured_outputs` and `repetition_detection` as mappings."""
    fields = {name: value for name, value in extra_body.items() if name != TEMPLATE}
    fields |= {"n": request.n, "temperature": request.temperature, "top_p": request.top_p}
    fields["max_tokens"] = request.max_tokens  # vLLM's own default is 16
    if request.temperature > 0:
        fields["seed"] = request.seed
    if request.top_logprobs > 0:
        fields["logprobs"] = request.top_logprobs
    if request.json_schema is not None:
        fields["structured_outputs"] = {"json": dict(request.json_schema)}
    if request.early_stop is not None:
        fields["repetition_detection"] = dict(request.early_stop)
    return fields


def read_output(output: Any) -> list[Completion]:
    """The Completions of a finished vLLM RequestOutput, in choice order.

    Raises EngineError where vLLM gave the request up.
    """
    prompt_tokens = len(output.prompt_token_ids or ())
    done: list[Completion] = []
    for choice in sorted(output.outputs, key=lambda choice: int(choice.index)):
        if choice.finish_reason in ("abort", "error", None):
            if done:
                break
            raise EngineError(f"vLLM gave the request up: finish_reason {choice.finish_reason!r}")
        done.append(
            Completion(
                content=choice.text,
                finish_reason=choice.finish_reason,
                stop_reason=None if choice.stop_reason is None else str(choice.stop_reason),
                prompt_tokens=prompt_tokens,
                completion_tokens=len(choice.token_ids),
                first_logprobs=first_logprobs(choice.logprobs),
                token_ids=list(choice.token_ids),
            )
        )
    return done


def first_logprobs(logprobs: Any) -> dict[str, float] | None:
    """Token text -> log-probability of the first token's likeliest; of two tokens with one text the likelier counts."""
    found: dict[str, float] = {}
    for one in (logprobs[0] or {}).values() if logprobs else ():
        if one.decoded_token is not None and math.isfinite(one.logprob):
            found[one.decoded_token] = max(float(one.logprob), found.get(one.decoded_token, -math.inf))
    return found or None
