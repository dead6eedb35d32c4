"""An OpenAI-compatible server that answers at once with ready-made bytes; prints its address. For benchmarks only.

python benchmarks/instant_server.py
"""

from __future__ import annotations

import asyncio
import json
import random

from aiohttp import web

TEXT = "river stone lamp quiet garden seven paper window morning yellow engine silver cloud letter market bread "
WORDS = TEXT.split()
LABELS = [{"token": str(k), "logprob": p, "bytes": None} for k, p in ((4, -0.3), (5, -1.6), (3, -3.0))]


def _text(seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=120))


def _choice(index: int, text: str) -> dict[str, object]:
    return {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}


def _body(choices: list[dict[str, object]], tokens: int) -> bytes:
    usage = {"prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens}
    whole = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "instant",
        "choices": choices,
        "usage": usage,
    }
    return json.dumps(whole).encode()


FIVE = [_body([_choice(k, _text(5 * v + k + 1)) for k in range(5)], 1000) for v in range(64)]
ONE = [_body([_choice(0, _text(1000 + v))], 200) for v in range(64)]
SCORE = _body([{**_choice(0, "4"), "logprobs": {"content": [{**LABELS[0], "top_logprobs": LABELS}]}}], 1)


async def chat(request: web.Request) -> web.Response:
    """n=5 (a probe's n=2 too), one, or a score, by what the body asks for; 64 variants of the texts."""
    raw = await request.read()
    five = any(part in raw for part in (b'"n":5', b'"n": 5', b'"n":2', b'"n": 2'))
    variants = [SCORE] if b'"logprobs"' in raw else FIVE if five else ONE
    return web.Response(body=variants[hash(raw) % len(variants)], content_type="application/json")


async def models(_: web.Request) -> web.Response:
    """One model."""
    return web.json_response({"object": "list", "data": [{"id": "instant", "object": "model"}]})


async def main() -> None:
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1", flush=True)  # type: ignore[union-attr]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
