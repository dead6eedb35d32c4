"""From the bytes of a chat completion to Completions, for every dialect of the OpenAI format that servers speak.

What it knows of servers:
- thinking text is in `reasoning` (vLLM), `reasoning_content` (llama.cpp, SGLang) or in parts of the content (Mistral);
- `usage.completion_tokens` is the total over all choices, but llama.cpp (known by its `timings`) counts the first only;
- the first token's alternatives are a list (OpenAI) or a dict (the legacy form).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from loopguard.engines import Completion
from loopguard.engines.refusals import error_text, one_line

Json = dict[str, Any]


class BadAnswer(Exception):
    """A 200 answer that holds no completion: worth another try."""


def read_answer(payload: bytes, *, max_tokens: int) -> tuple[list[Completion], int]:
    """The completions of one answer in choice order, and how many choices came.

    A choice without content ends the list: what stands before it is kept. Raises BadAnswer when the first has none.
    """
    answer = _decode(payload)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        words = error_text(answer)
        raise BadAnswer(f"an answer without choices{': ' + words if words else ''}")
    if len(choices) > 1:
        choices = sorted(choices, key=_index)
    read: list[tuple[Json, str, str]] = []
    for choice in choices:
        try:
            read.append((choice, *_texts(choice)))
        except BadAnswer:
            if not read:
                raise
            break
    prompt_tokens, counts = _tokens(answer, read, max_tokens)
    completions = [
        Completion(
            content=content,
            reasoning=reasoning,
            finish_reason=str(choice.get("finish_reason") or "unknown"),
            stop_reason=_stop_reason(choice),
            prompt_tokens=prompt_tokens,
            completion_tokens=count,
            first_logprobs=first_logprobs(choice.get("logprobs")),
            token_ids=_token_ids(choice),
        )
        for (choice, content, reasoning), count in zip(read, counts, strict=True)
    ]
    return completions, len(choices)


def _decode(payload: bytes) -> Json:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadAnswer(f"an answer that is no JSON: {one_line(repr(payload[:80])[2:-1], limit=90)}") from None
    if not isinstance(answer, dict):
        raise BadAnswer("an answer that is no JSON object")
    return answer


def _index(choice: Json) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _texts(choice: Json) -> tuple[str, str]:
    """(content, reasoning) of one choice. Raises BadAnswer when the server gave nothing at all."""
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")  # some servers answer in the form of /v1/completions
        message = {"content": text} if isinstance(text, str) else {}
    finish = choice.get("finish_reason")
    if finish == "error" or (choice.get("error") and not message.get("content")):
        raise BadAnswer(f"a choice that ended in an error: {error_text(choice) or 'no reason given'}")
    content, thoughts = _parts(message.get("content"))
    for name in ("reasoning", "reasoning_content"):
        if not thoughts and isinstance(message.get(name), str):
            thoughts = message[name]
    if content is None:
        content = _instead(message)
    if content is None:
        if not thoughts and finish != "content_filter":
            raise BadAnswer(f"a choice with content null (finish_reason {finish!r})")
        content = ""
    return clean_text(content), clean_text(thoughts)


def _parts(content: Any) -> tuple[str | None, str]:
    """(text, thinking) of a message's content: a string, null, or a list of parts."""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        return None, ""
    texts, thoughts = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and "thinking" in part:
            inner = part["thinking"]
            thoughts.append(inner if isinstance(inner, str) else _parts(inner)[0] or "")
    return ("".join(texts) if texts else None), "".join(thoughts)


def _instead(message: Json) -> str | None:
    """What stands for a null content: the refusal, or the tool calls as name(arguments), one a line."""
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        return str(message["refusal"])
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return None
    functions = [call.get("function") or {} for call in calls if isinstance(call, dict)]
    return "\n".join(f"{function.get('name', '')}({function.get('arguments', '')})" for function in functions)


def clean_text(text: str) -> str:
    """`text` without lone surrogates (JSON escapes can carry them; UTF-8 cannot): pairs joined, the rest U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def first_logprobs(logprobs: Any) -> dict[str, float] | None:
    """Token text -> log-probability of the first generated token's likeliest choices, itself among them."""
    if not isinstance(logprobs, dict):
        return None
    found: dict[str, float] = {}
    content, legacy = logprobs.get("content"), logprobs.get("top_logprobs")
    if isinstance(content, list) and content and isinstance(content[0], dict):
        _add(found, content[0].get("top_logprobs"))
        _add(found, [content[0]])
    elif isinstance(legacy, list) and legacy:
        _add(found, legacy[0])
        tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
        if isinstance(tokens, list) and isinstance(values, list) and tokens and values:
            _add(found, {tokens[0]: values[0]})
    elif isinstance(legacy, dict):
        _add(found, legacy)
    return found or None


def _add(found: dict[str, float], alternatives: Any) -> None:
    """Add token -> logprob pairs of either form; of two tokens with one text the likelier stays."""
    if isinstance(alternatives, Mapping):
        pairs: Sequence[tuple[Any, Any]] = list(alternatives.items())
    elif isinstance(alternatives, list):
        pairs = [(item.get("token"), item.get("logprob")) for item in alternatives if isinstance(item, dict)]
    else:
        return
    for token, value in pairs:
        if isinstance(token, str) and isinstance(value, (int, float)) and math.isfinite(value):
            token = clean_text(token)
            found[token] = max(float(value), found.get(token, -math.inf))


def _stop_reason(choice: Json) -> str | None:
    reason = choice.get("stop_reason")  # vLLM: the stop string or the token id that ended it
    return str(reason) if isinstance(reason, str | int) else None


def _token_ids(choice: Json) -> list[int] | None:
    ids = choice.get("token_ids")  # vLLM, asked with return_token_ids
    return ids if isinstance(ids, list) and all(type(token) is int for token in ids) and ids else None


def _tokens(answer: Json, read: Sequence[tuple[Json, str, str]], max_tokens: int) -> tuple[int, list[int]]:
    """(prompt tokens, completion tokens of each choice).

    Exact where a choice carries token ids or the server counts one choice. Else the total is shared out by text length;
    llama.cpp's count, which is of choice 0, is scaled by text length, a choice cut by length counting max_tokens.
    """
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    total = _count(usage.get("completion_tokens"))
    lengths = [len(content) + len(reasoning) for _, content, reasoning in read]
    if len(read) == 1 and len(answer["choices"]) == 1:
        counts = [total]
    elif "timings" in answer:
        rate = total / max(1, lengths[0])
        counts = [total] + [
            max_tokens if choice.get("finish_reason") == "length" else min(max_tokens, max(1, round(rate * length)))
            for (choice, _, _), length in zip(read[1:], lengths[1:], strict=True)
        ]
    else:
        counts = share_out(total, lengths)
    ids = [_token_ids(choice) for choice, _, _ in read]
    counts = [len(known) if known else count for known, count in zip(ids, counts, strict=True)]
    return _count(usage.get("prompt_tokens")), counts


def share_out(total: int, lengths: Sequence[int]) -> list[int]:
    """`total` in whole parts proportional to `lengths`, summing to `total`."""
    whole = sum(lengths)
    if not whole:
        lengths, whole = [1] * len(lengths), len(lengths)
    bounds, run = [0], 0
    for length in lengths:
        run += length
        bounds.append(round(total * run / whole))
    return [end - start for start, end in pairwise(bounds)]


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
