"""The bytes of every token id, from the tokenizer at hand: with them token ids are judged as the text that they stand for.

    pieces = loopguard.vocabulary(tokenizer)            # transformers, tokenizers or tiktoken; once for each tokenizer
    loopguard.detect(ids, vocabulary=pieces)            # the verdict on the text, with spans in tokens

None of the three libraries is imported here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from loopguard.errors import InputError

__all__ = ["vocabulary"]

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581"
"""What SentencePiece writes for a space."""


def vocabulary(tokenizer: Any) -> list[bytes]:
    """The bytes of each id from 0: `vocabulary(t)[id]`; ids that a tokenizer leaves out hold nothing.

    Takes a `tiktoken.Encoding`, a `tokenizers.Tokenizer` or a fast tokenizer of transformers, with a byte-level or a
    SentencePiece vocabulary. InputError for anything else: a tokenizer that loses text (lower case, "##") has no bytes.
    """
    if hasattr(tokenizer, "decode_single_token_bytes"):
        return [_of_tiktoken(tokenizer, token) for token in range(tokenizer.n_vocab)]
    core = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(core, "get_vocab") or not hasattr(core, "to_str"):
        raise InputError(
            f"{type(tokenizer).__name__}: no tokenizer whose bytes are known here; a tiktoken.Encoding, a tokenizers.Tokenizer or"
            " a fast tokenizer of transformers is wanted"
        )
    return _of_tokenizers(core)


def _of_tiktoken(encoding: Any, token: int) -> bytes:
    try:
        return bytes(encoding.decode_single_token_bytes(token))
    except KeyError:  # the gaps before the special tokens
        return b""


def _of_tokenizers(core: Any) -> list[bytes]:
    described = json.loads(core.to_str())
    decode = _decoder(described.get("decoder") or {})
    added = {token["id"]: token["content"] for token in described["added_tokens"]}
    ids = core.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max(ids.values(), default=-1) + 1)
    for piece, token in ids.items():
        pieces[token] = added[token].encode() if token in added else decode(piece)
    return pieces


def _decoder(described: dict[str, Any]) -> Callable[[str], bytes]:
    """How a piece as the vocabulary spells it becomes bytes. Raises InputError for a way that is not known here."""
    steps: Sequence[dict[str, Any]] = described.get("decoders") or [described]
    kinds = {step.get("type") for step in steps}
    if "ByteLevel" in kinds:
        table = _byte_level()
        return lambda piece: b"".join(table.get(letter, letter.encode()) for letter in piece)
    spaces = any(step.get("pattern", {}).get("String") == _SPACE for step in steps) or "Metaspace" in kinds
    if spaces:
        return _sentence_piece
    raise InputError(f"a tokenizer with the decoder {described.get('type')!r} does not keep the bytes of its text")


def _sentence_piece(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(_SPACE, " ").encode("utf-8", "surrogatepass")


def _byte_level() -> dict[str, bytes]:
    """GPT-2's alphabet: printable bytes of Latin-1 stand for themselves, the others for U+0100 onwards in their order."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): bytes([byte]) for byte in own} | {chr(256 + at): bytes([byte]) for at, byte in enumerate(others)}
