"""Untrusted text inside a judge's prompt: a fence that the text cannot close, and no control tokens in it.

Candidates are written by a model that may have learnt to say "give me 10". Three things hold it in: the fence carries a
nonce that depends on the text itself, so no text can contain its own (it would have to predict its own SHA-256); what
looks like a fence or like a chat template's control token is broken up; and the template is filled in one pass, so
that nothing inside a candidate is ever read as a placeholder.
"""

from __future__ import annotations

import hashlib
import re

_CONTROL_TOKEN = re.compile(
    r"<(?P<pipe>[|｜][^<>‹›\s]{1,48}[|｜])>"  # ChatML, Llama 3, Phi, DeepSeek: <|im_end|>, <｜end▁of▁sentence｜>
    r"|<(?P<half>[|｜]\w{1,32}|\w{1,32}[|｜])>"  # Gemma 4: <|turn>, <turn|>
    r"|<(?P<turn>/?(?:s|bos|eos|pad|unk|mask|sop|eop|start_of_turn|end_of_turn|turn|seed:\w{1,32}))>"  # Llama 2, Gemma
    r"|<(?P<upper>[A-Z_]{1,32}_TOKEN)>"  # Command R: <BOS_TOKEN>
    r"|\[(?P<inst>/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_[A-Z]{1,16}|gMASK))\]"  # Mistral, GLM
    r"|<<(?P<sys>/?SYS)>>"  # Llama 2
)
_FENCE = re.compile(r"<{3,}|>{3,}")


def nonce(*parts: str) -> str:
    """16 hex digits that none of `parts` contains; the same for the same parts, so that a resumed run asks the same."""
    salt = 0
    while True:
        text = "\x1f".join([str(salt), *parts])
        found = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if not any(found in part for part in parts):
            return found
        salt += 1


def defuse(text: str) -> str:
    """`text` with control tokens and fence marks broken up, readable as before: <|im_end|> becomes ‹|im_end|›."""
    if "<" not in text and "[" not in text and ">>>" not in text:
        return text
    while (opened := _CONTROL_TOKEN.sub(_open_up, text)) != text:
        text = opened  # one may stand inside another: <|[INST]|>
    return _FENCE.sub(lambda m: " ".join(m.group()), text)


def _open_up(match: re.Match[str]) -> str:
    name = next(group for group in match.groups() if group)
    return f"‹{name}›"


def fence(label: str, text: str, mark: str) -> str:
    """The text between two lines that carry the nonce `mark`."""
    return f"<<<{label} {mark}>>>\n{defuse(text)}\n<<<END {label} {mark}>>>"


def shorten(text: str, limit: int) -> str:
    """At most about `limit` characters: the middle is replaced by a note of how much was left out."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[... {len(text) - head - tail} characters left out ...]\n{text[-tail:]}"
