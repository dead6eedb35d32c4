"""What names an answer in the ledger: a hash over everything that decides it, and over nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from loopguard.engines import Request


def request_key(model: str, request: Request, extra_body: Mapping[str, Any], *, messages_digest: bytes) -> bytes:
    """16 bytes that stand for one choice: model, messages, every parameter, the seed. `n` is no part of it.

    Nor is the server's address: the same model behind another port gives the same answers.
    """
    parts = [
        model,
        float(request.temperature),  # 1 and 1.0 are one temperature
        float(request.top_p),
        request.max_tokens,
        request.seed,
        request.top_logprobs,
        request.json_schema,
        dict(extra_body),
    ]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(messages_digest + text.encode()).digest()[:16]


def digest_messages(messages: Iterable[Mapping[str, str]]) -> bytes:
    """32 bytes over roles and contents, lone surrogates included."""
    text = json.dumps([[m["role"], m["content"]] for m in messages], separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()
