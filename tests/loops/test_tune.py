"""vLLM's rule against a slow oracle written from its description, and the search for its settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import loopguard
from loopguard.errors import InputError, MissingExtra
from loopguard.loops.rough_tokens import rough_tokens
from loopguard.loops.tail_rule import NEVER, first_stops
from loopguard.loops.tune import COUNTS, EDGES, LARGEST_WORK, Setting, tune_vllm
from tests.loops.outputs import CLEAN, LOOP, TOKEN_LOOP, jsonl
from tests.prefs.commands import loopguard as command


def stop_after(ids: Sequence[int], *, max_pattern_size: int, min_pattern_size: int, min_count: int) -> int:
    """Tokens generated when vLLM stops: after each one, are the last `min_count` stretches of some size equal?"""
    for n in range(1, len(ids) + 1):
        for size in range(min_pattern_size, max_pattern_size + 1):
            stretches = [ids[n - size * (k + 1) : n - size * k] for k in range(min_count)]
            if size * min_count <= n and all(stretch == stretches[0] for stretch in stretches):
                return n
    return int(NEVER)


def stops(ids: Sequence[int], edges: Sequence[int], counts: Sequence[int]) -> list[list[int]]:
    found = np.empty((len(edges) - 1, len(counts)), np.int64)
    first_stops(np.array(ids, np.uint64), np.array(edges, np.int64), np.array(counts, np.int64), found)
    return found.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("ids", "params", "stopped"),
    [
        ([1, 2, 3, 1, 2, 3, 1, 2, 3], (3, 2, 3), 9),  # the cases of vLLM's own tests
        ([1, 2, 3, 1, 2, 3], (3, 2, 3), None),
        ([1, 2, 1, 2, 1, 2, 1, 2], (5, 2, 4), 8),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], (5, 2, 2), None),
        ([1, 2, 3, 1, 2, 3, 1, 2, 4], (3, 2, 3), None),
        ([], (3, 2, 2), None),
        ([1, 2, 3, 4, 5, 6, 5, 6, 5, 6], (3, 2, 3), 10),
        ([1, 2, 3, 4, 5, 6, 7, 8] * 5, (10, 2, 3), 24),
        ([10, 20, 10, 20, 10, 20], (5, 3, 3), None),
        ([7, 7], (1, 1, 2), 2),
        ([7], (1, 1, 2), None),
        ([7, 7, 7, 7], (2, 2, 2), 4),  # one token again and again is a pattern of two as well
    ],
)
def test_known_cases(ids: list[int], params: tuple[int, int, int], stopped: int | None) -> None:
    most, least, count = params
    assert stops(ids, [least, most + 1], [count]) == [[NEVER if stopped is None else stopped]]
    slow = stop_after(ids, max_pattern_size=most, min_pattern_size=least, min_count=count)
    assert slow == (NEVER if stopped is None else stopped)


@st.composite
def token_ids(draw: st.DrawFn) -> list[int]:
    """Few symbols, with stretches that repeat."""
    symbol = st.integers(0, draw(st.integers(0, 3)))
    ids: list[int] = []
    for _ in range(draw(st.integers(0, 4))):
        ids += draw(st.lists(symbol, max_size=12)) * draw(st.integers(1, 6))
    return ids[:80]


@settings(max_examples=300, deadline=None)
@given(token_ids(), st.sets(st.integers(2, 12), min_size=1, max_size=4), st.sets(st.integers(2, 7), min_size=1))
def test_against_the_oracle(ids: list[int], inner: set[int], some: set[int]) -> None:
    edges, counts = [1, *sorted(inner)], sorted(some)
    found = stops(ids, edges, counts)
    for b in range(len(edges) - 1):
        for k, count in enumerate(counts):
            slow = stop_after(ids, max_pattern_size=edges[b + 1] - 1, min_pattern_size=edges[b], min_count=count)
            assert found[b][k] == slow


def test_rough_tokens() -> None:
    texts = ["a b 12 a b 13", "", " a b 12", "漢字漢字"]
    raw = [text.encode() for text in texts]
    offsets, ids = rough_tokens(np.cumsum([0, *map(len, raw)]), np.frombuffer(b"".join(raw), np.uint8))
    parts = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    assert parts[1] == []
    first = parts[0]
    assert first[1] == first[4]  # " b" both times
    assert first[2] not in (first[5:], first[1])  # 12 is not 13
    assert parts[3][0] == parts[3][2] != parts[3][1]


# -- the search


def outputs() -> list[dict[str, object]]:
    """Six loops of eight tokens, one slow counter, clean ones of which some say a thing twice or three times."""
    rng = np.random.default_rng(1)
    loops = [[*rng.integers(1000, 9000, 40).tolist(), *TOKEN_LOOP] for _ in range(6)]
    clean = [rng.integers(0, 9000, 300).tolist() for _ in range(200)]
    for ids in clean[:20]:
        ids[100:130] = ids[90:100] * 3
    clean[0][100:160] = clean[0][90:100] * 6
    return [{"token_ids": ids} for ids in loops + clean]


def test_the_search(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", outputs())
    found = tune_vllm([file], max_stopped=0.005)
    assert (found.looping, found.clean, found.unit) == (6, 200, "token ids")
    best = found.best
    assert best is not None
    assert (best.loops_stopped, best.clean_stopped, best.tokens_cut) == (6, 0, 0)
    lists = [row["token_ids"] for row in outputs()]
    slow = [stop_after(ids, **best.params) for ids in lists]  # type: ignore[arg-type]
    assert sum(stop != NEVER for stop in slow[:6]) == best.loops_stopped
    assert sum(stop != NEVER for stop in slow[6:]) == best.clean_stopped
    assert sum(len(lists[i]) - slow[i] for i in range(6)) == best.tokens_saved  # type: ignore[arg-type]
    assert json.loads(json.dumps(found.as_dict()))["best"]["min_count"] == best.min_count


def test_the_front_rises(tmp_path: Path) -> None:
    found = tune_vllm([jsonl(tmp_path / "a.jsonl", outputs())])
    pairs = [(setting.clean_stopped, setting.loops_stopped) for setting in found.front]
    assert pairs == sorted(set(pairs))
    assert all(after > before for (_, before), (_, after) in pairwise(pairs))
    assert all(setting.work <= LARGEST_WORK for setting in found.front)


def test_edges_and_counts_rise() -> None:
    assert EDGES.tolist() == sorted(set(EDGES.tolist()))
    assert COUNTS.tolist() == sorted(set(COUNTS.tolist()))
    assert EDGES[0] == 1
    assert COUNTS[0] == 2


def test_the_line_to_paste() -> None:
    numbers = {"loops_stopped": 1, "clean_stopped": 0, "tokens_saved": 9, "tokens_cut": 0}
    setting = Setting(max_pattern_size=64, min_pattern_size=1, min_count=8, **numbers)
    line = "RepetitionDetectionParams(max_pattern_size=64, min_pattern_size=1, min_count=8)"
    assert setting.as_line() == f"repetition_detection={line}"


def test_nothing_loops(tmp_path: Path) -> None:
    found = tune_vllm([jsonl(tmp_path / "a.jsonl", [{"output": CLEAN}])])
    assert (found.looping, found.best, found.front) == (0, None, [])


def test_texts_are_counted_in_words(tmp_path: Path) -> None:
    found = tune_vllm([jsonl(tmp_path / "a.jsonl", [{"output": LOOP}, {"output": CLEAN}, {"output": None}])])
    assert (found.looping, found.clean, found.unit) == (1, 1, "words and marks")
    assert found.best is not None
    assert found.best.loops_stopped == 1


def test_bad_input(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"output": CLEAN, "n": None}])
    with pytest.raises(InputError, match="max_stopped is 2"):
        tune_vllm([file], max_stopped=2)
    with pytest.raises(InputError, match="has no column ids"):
        tune_vllm([file], tokens_column="ids")
    with pytest.raises(InputError, match="every row is null"):
        tune_vllm([file], text_column="n")


def test_a_tokenizer(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"output": LOOP}, {"output": CLEAN}])
    tokenizers = pytest.importorskip("tokenizers", reason="pip install tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "let": 1, "me": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    found = tune_vllm([file], tokenizer=str(tmp_path / "tokenizer.json"))
    assert found.unit == f"tokens of {tmp_path}/tokenizer.json"
    assert found.tokens == sum(len(words.encode(text).ids) for text in (LOOP, CLEAN))


def test_without_the_package_its_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match="pip install tokenizers"):
        tune_vllm([jsonl(tmp_path / "a.jsonl", [{"output": CLEAN}])], tokenizer="x")


def test_the_command(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", outputs())
    done = command("tune-vllm", file, "--max-stopped", "0.4")
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 of 206 outputs loop; counted in token ids" in done.stdout
    assert "SamplingParams(..., repetition_detection=RepetitionDetectionParams(max_pattern_size=" in done.stdout
    assert "recipe, under [sampling]: early_stop = { max_pattern_size = " in done.stdout
    assert "the share stopped may be as high as 1.88%" in done.stdout
    figures = json.loads(command("tune-vllm", file, "--json").stdout)
    assert figures["best"]["loops_stopped"] == 6
    assert figures["detector"] == loopguard.Detector().signature
