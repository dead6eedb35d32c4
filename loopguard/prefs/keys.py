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
    return request_keys(model, request, extra_body, messages_digest=messages_digest, seeds=[request.seed])[0]


def request_keys(
    model: str, request: Request, extra_body: Mapping[str, Any], *, messages_digest: bytes, seeds: Iterable[int | None]
) -> list[bytes]:
    """The keys of the same request under several seeds: those of the choices of an n-request."""
    # 1 and 1.0 are one temperature
    before = [model, float(request.temperature), float(request.top_p), request.max_tokens]
    after = [request.top_logprobs, request.json_schema, dict(extra_body)]
    if request.early_stop is not None:  # only then, so that keys from before it was known still hold
        after.append({"early_stop": dict(request.early_stop)})
    head = hashlib.sha256(messages_digest + _SORTED(before)[:-1].encode())
    tail = _SORTED(after)[1:]
    found = []
    for seed in seeds:
        whole = head.copy()
        whole.update(f",{'null' if seed is None else int(seed)},{tail}".encode())
        found.append(whole.digest()[:16])
    return found


def digest_messages(messages: Iterable[Mapping[str, str]]) -> bytes:
    """32 bytes over roles and contents, lone surrogates included."""
    text = ",".join(f"[{_quoted(m['role'])},{_quoted(m['content'])}]" for m in messages)
    return hashlib.sha256(f"[{text}]".encode()).digest()


_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring_ascii
