"""What a server's refusal means: a field that it does not know, a prompt that is too long, a model that is not there.

Servers agree on no code for any of this, so their words are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MAX_WORDS = 300
"""Characters of a server's text that are repeated to the user."""

OPTIONAL_FIELDS = ("seed", "top_logprobs", "response_format", "return_token_ids")
"""Fields that ServerEngine can do without; `n` it replaces by single requests."""

_CONTEXT = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|context (?:length|window|size)"
    r"|max_model_len|(?:prompt|input|request)(?: length| text)? (?:is )?(?:too long|too large|exceeds)"
    r"|reduce the length|too many (?:input |prompt )?tokens|longer than the (?:model|maximum|context)",
    re.IGNORECASE,
)
_WINDOW = re.compile(r"(?:maximum context length (?:is|of)|max_model_len(?: of|=)?) *\(?(\d+)", re.IGNORECASE)
_PROMPT = re.compile(r"(\d+) (?:input tokens|in the messages|tokens? from the input)", re.IGNORECASE)
_MODEL = re.compile(
    r"model_not_found|no such model|unknown model|invalid model"
    r"|model\b.{0,200}?\b(?:does ?n[o']t exist|not (?:be )?found|not (?:available|loaded|supported|served|exist))",
    re.IGNORECASE | re.DOTALL,
)
_QUOTA = re.compile(r"insufficient_quota|exceeded your current quota|insufficient (?:credits|balance)", re.IGNORECASE)
_MODERATION = re.compile(r"moderation|flagged|content.?policy|safety", re.IGNORECASE)
_NAMES = {
    "n": re.compile(
        r"['\"`]n['\"`]|\bn\s*(?:[<>=!]=?|must|is not|is too|should|cannot|can't|parameter)|\bparameter:? n\b"
        r"|\bn_cmpl\b|(?:multiple|number of) (?:choices|completions|generations)|only one (?:choice|completion)"
        r"|body\W{1,6}n\b",
        re.IGNORECASE,
    ),
    "top_logprobs": re.compile(r"log_?probs", re.IGNORECASE),
    "response_format": re.compile(
        r"response_?format|json_?schema|structured.?outputs?|guided|grammar|constrained", re.IGNORECASE
    ),
    "seed": re.compile(r"\bseed\b", re.IGNORECASE),
    "return_token_ids": re.compile(r"return_token_ids"),
}
_AT_MOST = re.compile(
    r"(?:at most|less than or equal to|no more than|<=|max(?:imum)?(?: \w+){0,3}:?"
    r"|between \d+ (?:and|<= value <=))\s*(\d+)",
    re.IGNORECASE,
)


def one_line(text: str, *, secret: str = "", limit: int = MAX_WORDS) -> str:
    """`text` in one line of at most `limit` characters, without control characters and without the secret."""
    if len(secret) >= 4:
        text = text.replace(secret, "[key]")
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 20 * limit]).split())
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."


def server_words(body: str) -> str:
    """The words of an error body: error.message with its type or code, a `detail`, else the body as it is."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return re.sub(r"<(?:style|script).*?</(?:style|script)>|<[^>]*>", " ", body, flags=re.DOTALL | re.IGNORECASE)
    return error_text(parsed) or body


def error_text(parsed: Any) -> str:
    """The error that a decoded body tells of; "" when it tells of none."""
    if isinstance(parsed, list) and parsed:  # Gemini's OpenAI endpoint wraps its errors in a list
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return ""
    error = parsed.get("error") or parsed.get("detail") or parsed.get("message")
    if error is None and parsed.get("object") == "error":
        error = parsed
    if isinstance(error, dict):
        words = [error.get("message"), error.get("type"), error.get("code"), _named("param", error.get("param"))]
        return ", ".join(str(word) for word in words if word not in (None, ""))
    return error if isinstance(error, str) else json.dumps(error) if error else ""


def _named(name: str, value: Any) -> str:
    return f"{name} {value!r}" if isinstance(value, str) and value else ""


def refused_field(status: int, words: str, body: Mapping[str, Any]) -> str | None:
    """The field of the request `body` that the server's words refuse; None when they are about something else."""
    if status not in (400, 404, 405, 415, 422, 500, 501, 503):
        return None
    named = re.search(r"param '([\w.]+)'", words)
    sent = [name for name in ("n", *OPTIONAL_FIELDS) if name in body]
    if named and named[1] != "body":
        name = named[1].split(".")[0]
        name = "top_logprobs" if name == "logprobs" else name
        return name if name in sent else None
    if status in (404, 405):
        return None
    return next((name for name in sent if _NAMES[name].search(words)), None)


def allowed_most(words: str, asked: int) -> int | None:
    """The largest value that the server's words allow, when they name one from 1 to `asked` - 1."""
    found = [int(number) for number in _AT_MOST.findall(words)]
    return next((number for number in found if 0 < number < asked), None)


def is_context_error(status: int, words: str) -> bool:
    """Whether the prompt (with max_tokens) does not fit the model's context."""
    return status in (400, 413, 422, 500) and bool(_CONTEXT.search(words))


def room_left(words: str) -> int | None:
    """Tokens that are free after the prompt, when the words say so (vLLM, OpenAI); None when they do not or none is."""
    window, prompt = _WINDOW.search(words), _PROMPT.search(words)
    room = int(window[1]) - int(prompt[1]) if window and prompt else 0
    return room if room > 0 else None


def is_unknown_model(status: int, words: str) -> bool:
    """Whether the server does not serve the model."""
    return status in (400, 404, 422, 500) and bool(_MODEL.search(words))


def is_hopeless(status: int, words: str) -> bool:
    """Whether no other request could fare better: wrong key, unknown model, no such address, no money."""
    if status == 403:
        return not _MODERATION.search(words)
    return status in (401, 402, 404, 405) or is_unknown_model(status, words) or bool(_QUOTA.search(words))
