"""What the fake server says when nothing goes wrong.

The text of choice k is a pure function of the messages, the temperature and seed + k; a word is a token. About one
prompt in three loops when greedy, one sampled choice in six. A request with top_logprobs, a json_schema or at most 16
tokens, probes apart, is taken for a judge's: its score depends on its text only, random nonces of 16 hex digits left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from typing import Any

from loopguard.engines.probe import QUESTION

Json = dict[str, Any]

VOCABULARY = """
the a one model river stone light number answer because however then step first second next value sum water people
city small large find show think under over with without time word house garden music train year long short bright
"""
WORDS = VOCABULARY.split()
NONCE = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")


def answer(body: Json, *, n: str, reasoning: str, usage: str, token_ids: str = "ignore") -> Json:
    """The right answer to a request; see Behaviour for n, reasoning, usage and token_ids."""
    count = 1 if n == "ignore" else body.get("n", 1)
    made = [choose(body, body.get("seed", 0) + k, reasoning) for k in range(count)]
    choices = [{"index": k, **choice} for k, (choice, _) in enumerate(made)]
    tokens = [length for _, length in made]
    if token_ids == "offer" and body.get("return_token_ids"):
        for k, length in enumerate(tokens):
            choices[k]["token_ids"] = list(range(1, length + 1))
    out: Json = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 0, "model": body["model"]}
    out["choices"] = choices[::-1]  # servers promise no order
    prompt = sum(len(str(message["content"]).split()) for message in body["messages"])
    if usage == "total":
        out["usage"] = {"prompt_tokens": prompt, "completion_tokens": sum(tokens), "total_tokens": prompt + sum(tokens)}
    elif usage == "first":
        out["usage"] = {"prompt_tokens": prompt, "completion_tokens": tokens[0], "total_tokens": prompt + tokens[0]}
        out["timings"] = {"predicted_n": tokens[0]}
    return out


def choose(body: Json, seed: int, reasoning: str) -> tuple[Json, int]:
    """(one choice, its tokens)."""
    short = most_tokens(body) <= 16 and not is_probe(body)
    if body.get("top_logprobs") or body.get("response_format") or short:
        return judge(body), 1
    words, finish = speak(body["messages"], seed, body.get("temperature", 1.0), most_tokens(body))
    message: Json = {"role": "assistant", "content": " ".join(words)}
    if reasoning:
        message[reasoning] = " ".join(["Let", "me", "think:", *words[:5]])
    return {"message": message, "finish_reason": finish, "logprobs": None}, len(words)


def is_probe(body: Json) -> bool:
    """Whether a request only asks what the server can do."""
    return any(QUESTION in str(message["content"]) for message in body["messages"])


def speak(messages: list[Json], seed: int, temperature: float, most: int) -> tuple[list[str], str]:
    """(words, finish_reason): the text as a pure function of the messages, seed and temperature."""
    chance = _random(messages, *(("greedy",) if temperature == 0 else (seed, temperature)))
    words = chance.choices(WORDS, k=chance.randint(20, 60))
    if chance.random() < (0.34 if temperature == 0 else 0.17):
        again = words[-chance.randint(4, 12) :]
        words += again * (most // len(again) + 1)
    return (words[:most], "length") if len(words) > most else ([*words[:-1], words[-1] + "."], "stop")


def judge(body: Json) -> Json:
    """A choice that scores: the likeliest label, as text or in the schema, with logprobs when wanted."""
    said = NONCE.sub("", json.dumps([message["content"] for message in body["messages"]]))
    scale = re.search(r"\b([01]) *(?:to|-|–|and) *(10|[1-9])\b", said)
    low, high = (int(scale[1]), int(scale[2])) if scale else (1, 5)
    chance = _random(said)
    weights = {str(label): chance.random() ** 4 + 1e-3 for label in range(low, high + 1)}
    total = sum(weights.values())
    logprobs = sorted(((math.log(w / total), label) for label, w in weights.items()), reverse=True)
    text = logprobs[0][1]
    choice: Json = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    if schema := (body.get("response_format") or {}).get("json_schema"):
        choice["message"]["content"] = json.dumps(fill(schema["schema"], int(text)))
    elif most := body.get("top_logprobs"):
        top = [{"token": label, "logprob": value, "bytes": list(label.encode())} for value, label in logprobs[:most]]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return choice


def fill(schema: Json, score: int) -> Any:
    """A value of the JSON schema; numbers in it are the score."""
    if "enum" in schema:
        return score if score in schema["enum"] else schema["enum"][score % len(schema["enum"])]
    if schema.get("type") == "object":
        return {name: fill(inner, score) for name, inner in schema.get("properties", {}).items()}
    return {"integer": score, "number": score, "boolean": True, "array": []}.get(schema.get("type", ""), "because")


def _random(*seeds: Any) -> random.Random:
    return random.Random(hashlib.sha256(json.dumps(seeds).encode()).digest())


def most_tokens(body: Json) -> int:
    """max_tokens of a request, by either name; 16 when it has none."""
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 16)
