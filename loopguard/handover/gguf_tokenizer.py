"""The tokenizer in a GGUF file, rebuilt with `tokenizers`: the ids that llama.cpp gives.

But for code points that Unicode has not assigned: llama.cpp splits text at them, `tokenizers`, and so a trainer, does not. And for
the control characters that SmolLM2 has no token for (U+0006 and the like): both leave them out, llama.cpp as a boundary.

Only byte-level BPE whose way of splitting text is known here (`tokenizer.ggml.pre` in SPLITTERS): a tokenizer that is nearly
right would count wrong without a word. Every other model has its tokenizer.json on the Hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loopguard.engines.gguf import metadata
from loopguard.errors import InputError

__all__ = ["SPLITTERS", "read_gguf"]

SPLITTERS = ("smollm",)
"""tokenizer.ggml.pre that is rebuilt exactly: single digits, then GPT-2's pattern (as in SmolLM2's tokenizer.json)."""

_CONTROL, _USER_DEFINED = 3, 4  # tokenizer.ggml.token_type: found in text before anything is split
_PREFIX = "tokenizer.ggml."


def read_gguf(path: Path) -> tuple[Any, dict[str, str], str | None]:
    """(tokenizers.Tokenizer, special tokens by name, chat template) of a GGUF file.

    Raises InputError: no GGUF file, or a tokenizer that is not known here.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    found = metadata(path)
    model, splitter = found.get(_PREFIX + "model"), found.get(_PREFIX + "pre")
    if model != "gpt2" or splitter not in SPLITTERS:
        raise InputError(
            f"{path}: the tokenizer in this GGUF file ({model}, {splitter}) is not read;"
            " give the folder or the Hub id of the model, where its tokenizer.json is"
        )
    tokens, kinds = found[_PREFIX + "tokens"], found[_PREFIX + "token_type"]
    merges = [tuple(merge.split(" ")) for merge in found[_PREFIX + "merges"]]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    pairs = zip(tokens, kinds, strict=True)
    core.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in pairs
            if kind in (_CONTROL, _USER_DEFINED)
        ]
    )
    named = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    ids = {name: found.get(f"{_PREFIX}{short}_token_id") for name, short in named.items()}
    return core, {name: tokens[i] for name, i in ids.items() if i is not None}, found.get("tokenizer.chat_template")
