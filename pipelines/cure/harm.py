"""Whether the cure did harm: task answers, answer lengths, perplexity on ordinary text, before and after."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def last_number(text: str) -> str | None:
    """The last number of a text without commas and trailing zeros: how grade-school answers are compared."""
    found = _NUMBER.findall(text)
    return f"{float(found[-1].replace(',', '')):g}" if found else None


def right(answer: str, reference: str) -> bool:
    """The answer's last number is the reference's; a reference that is no number stands in the answer as whole words."""
    wanted = last_number(reference)
    if wanted is None or any(sign.isalpha() for sign in reference.split()[-1]):
        words = re.escape(reference.strip().casefold())
        return re.search(rf"(?<!\w){words}(?:s|es)?(?!\w)", answer.casefold()) is not None
    return last_number(answer) == wanted


def perplexity(checkpoint: Path, texts: Iterable[str], *, max_length: int = 512) -> dict[str, Any]:
    """Perplexity per token over the beginnings of the texts, without a chat template: {perplexity, tokens, texts}."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).to(device).eval()
    total, tokens, count = 0.0, 0, 0
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][:, :max_length].to(device)
            if ids.shape[1] < 2:
                continue
            logits = model(ids).logits[0, :-1]
            total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            tokens, count = tokens + ids.shape[1] - 1, count + 1
    return {"perplexity": math.exp(total / max(1, tokens)), "tokens": tokens, "texts": count}
