"""The scripted engine: which rule fits, which answer it gives, and every way in which its file can be wrong."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loopguard.engines import Completion, EngineOptions, Request, open_engine
from loopguard.errors import EngineError, InputError

FIVE = Request(messages=[{"role": "user", "content": "Two and two?"}], temperature=0.7, seed=3, n=5)
RULES = [
    {"prompt": "Two and two?", "samples": ["a", "b", "c"], "greedy": "4"},
    {"contains": "two", "samples": ["first"]},
    {"contains": "Rate", "greedy": {"content": "7", "logprobs": {"7": -0.1, "8": -2}, "reasoning": "Well."}},
    {"contains": "broken", "samples": ["ok", {"error": "no luck"}, "ok"]},
    {"samples": [{"content": "twelve chars", "finish_reason": "length"}]},
]


def script(folder: Path, *lines: Any) -> str:
    path = folder / "answers.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return f"scripted:{path}"


def ask(spec: str, request: Request) -> list[Completion]:
    return asyncio.run(open_engine(spec).ask(request))


def said(text: str, **given: Any) -> Request:
    return Request(messages=[{"role": "system", "content": "Be two."}, {"role": "user", "content": text}], **given)


def test_an_n_request_gives_what_single_requests_with_later_seeds_give(tmp_path: Path) -> None:
    spec = script(tmp_path, *RULES)
    five = ask(spec, FIVE)
    assert [choice.content for choice in five] == ["a", "b", "c", "a", "b"]
    assert five == [ask(spec, replace(FIVE, n=1, seed=3 + k))[0] for k in range(5)]


@pytest.mark.parametrize(
    ("request_", "content"),
    [
        (replace(FIVE, n=1, temperature=0.0), "4"),
        (replace(FIVE, n=1, seed=None), "a"),
        (said("Something else"), "first"),
        (said("Rate it"), "first"),
        (Request(messages=[{"role": "user", "content": "Rate it"}], temperature=1.0), "7"),
        (Request(messages=[{"role": "user", "content": "?"}]), "twelve chars"),
    ],
)
def test_which_answer(tmp_path: Path, request_: Request, content: str) -> None:
    assert ask(script(tmp_path, *RULES), request_)[0].content == content


def test_a_whole_answer(tmp_path: Path) -> None:
    spec = script(tmp_path, *RULES)
    rate = Request(messages=[{"role": "user", "content": "Rate"}], top_logprobs=5)
    (scored,) = ask(spec, rate)
    assert scored == Completion(
        content="7", reasoning="Well.", prompt_tokens=2, completion_tokens=2, first_logprobs={"7": -0.1, "8": -2}
    )
    assert ask(spec, replace(rate, top_logprobs=0))[0].first_logprobs is None
    assert ask(spec, said("?", temperature=1.0))[0].finish_reason == "stop"
    (cut,) = ask(spec, Request(messages=[{"role": "user", "content": "?"}]))
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 4)


def test_an_error_ends_the_answer_or_is_it(tmp_path: Path) -> None:
    spec = script(tmp_path, *RULES)
    broken = Request(messages=[{"role": "user", "content": "broken"}], temperature=1.0, seed=0, n=3)
    assert [choice.content for choice in ask(spec, broken)] == ["ok"]
    with pytest.raises(EngineError, match="no luck"):
        ask(spec, replace(broken, seed=1))


def test_no_rule_fits(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"has no answer for the prompt 'Where.*' and no default rule"):
        ask(script(tmp_path, *RULES[:-1]), Request(messages=[{"role": "user", "content": "Where to go?"}]))


def test_latency_is_spent_within_the_concurrency(tmp_path: Path) -> None:
    engine = open_engine(script(tmp_path, {"samples": [{"latency": 0.05}]}), EngineOptions(concurrency=2))

    async def main() -> float:
        began = time.monotonic()
        await asyncio.gather(*(engine.ask(said("?")) for _ in range(4)))
        await engine.close()
        return time.monotonic() - began

    assert asyncio.run(main()) >= 0.1


def test_its_names(tmp_path: Path) -> None:
    spec = script(tmp_path, *RULES)
    engine = open_engine(spec)
    assert (engine.spec, engine.model) == (spec, "answers")
    assert open_engine(spec, EngineOptions(model="other")).model == "other"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{oops", "line 2: no JSON"),
        ("[" * 100_000, "line 2: no JSON"),
        ([1], "line 2: a rule is an object with prompt, contains, samples, greedy; got [1]"),
        ({"promt": "x", "samples": ["a"]}, "line 2: unknown key 'promt'; allowed: prompt, contains, samples, greedy"),
        ({"prompt": "x", "contains": "y", "samples": ["a"]}, "line 2: a rule has 'prompt' or 'contains' or neither"),
        ({"prompt": 3, "samples": ["a"]}, "line 2: 'prompt' must be a string; got 3"),
        ({"prompt": "x"}, "line 2: a rule needs 'samples'"),
        ({"prompt": "x", "samples": []}, "line 2: a rule needs 'samples'"),
        ({"prompt": "x", "samples": "a"}, "line 2: 'samples' must be a list of answers"),
        ({"samples": ["a", 3]}, "line 2, sample 2: an answer is a string or an object with content, reasoning"),
        (
            {"samples": ["a"], "greedy": {"text": "x"}},
            "line 2, greedy: unknown key 'text'; allowed: content, reasoning",
        ),
        ({"greedy": {"content": None}}, "line 2, greedy: 'content' must be str; got null"),
        ({"greedy": {"latency": True}}, "line 2, greedy: 'latency' must be int or float; got true"),
        ({"greedy": {"logprobs": {"7": "x"}}}, "line 2, greedy: the logprob of '7' must be a number"),
    ],
)
def test_a_wrong_file(tmp_path: Path, line: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        open_engine(script(tmp_path, {"samples": ["fine"]}, line))
    assert words in str(caught.value)
    assert "answers.jsonl" in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    for spec, words in [
        ("scripted:", "needs a file of answers"),
        (f"scripted:{tmp_path / 'none'}", "No such file"),
        (f"scripted:{tmp_path}", "Is a directory"),
    ]:
        with pytest.raises(InputError, match=words):
            open_engine(spec)
    (tmp_path / "latin").write_bytes(b'{"samples": ["\xe9"]}')
    with pytest.raises(InputError, match="is not UTF-8: invalid continuation byte"):
        open_engine(f"scripted:{tmp_path / 'latin'}")


def test_an_unknown_kind() -> None:
    with pytest.raises(InputError, match="unknown engine 'openia:x'; pass one of embedded"):
        open_engine("openia:x")
