"""Exports that need a tokenizer: pairs as token ids without an end after cut texts, and the onset rows of FTPO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install 'loopguard-prefs[check]'")

from loopguard.handover.export import Options, export_run
from loopguard.handover.onsets import second_copy
from loopguard.handover.tokenized import closing, end_token
from loopguard.handover.tokenizers_at_hand import Tokenizer, open_tokenizer
from loopguard.prefs.run import Run
from tests.handover.a_run import ENDLESS, ONCE, SUM, WAIT, make_run
from tests.handover.small_tokenizer import CHATML, STRICT, write_tokenizer
from tests.handover.small_tokenizer import ENDLESS as NO_END
from tests.prefs.commands import loopguard

ASKED = f"<|im_start|>user\n{SUM}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"), pairing__max_pairs_per_prompt=2)


def tokenizer_at(folder: Path, template: str = CHATML) -> Tokenizer:
    return open_tokenizer(str(write_tokenizer(folder, template)))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]


# -- token ids


def pretokenized(run: Run, folder: Path, template: str) -> tuple[Any, Tokenizer, list[dict[str, Any]]]:
    tokenizer = tokenizer_at(folder / "tokenizer", template)
    options = Options(pretokenized=True, tokenizer=tokenizer.name)
    made = export_run(run.path, "trl", out=folder / "out", options=options)
    return made, tokenizer, pl.read_parquet(folder / "out" / "train.parquet").to_dicts()


def text_of(tokenizer: Tokenizer, ids: list[int]) -> str:
    return str(tokenizer.core.decode(ids, skip_special_tokens=False))


def test_a_cut_rejected_text_has_no_end_and_all_else_has(run: Run, tmp_path: Path) -> None:
    made, tokenizer, rows = pretokenized(run, tmp_path, CHATML)
    assert (made.rows, made.cut) == (7, 4)
    cut = run.preferences["rejected_truncated"].to_list()
    for row, pair, is_cut in zip(rows, run.preferences.to_dicts(), cut, strict=True):
        assert list(row) == ["prompt_ids", "chosen_ids", "rejected_ids"]
        assert text_of(tokenizer, row["prompt_ids"]) == tokenizer.render(pair["prompt"], add_generation_prompt=True)
        assert text_of(tokenizer, row["chosen_ids"]) == pair["chosen"][0]["content"] + "<|im_end|>\n"
        end = "" if is_cut else "<|im_end|>\n"
        assert text_of(tokenizer, row["rejected_ids"]) == pair["rejected"][0]["content"] + end
        assert (tokenizer.eos_id in row["rejected_ids"]) is not is_cut


def test_trimmed_texts_have_no_end_either(tmp_path: Path) -> None:
    run = make_run(tmp_path, pairing__trim_loops=3)
    _, tokenizer, rows = pretokenized(run, tmp_path, CHATML)
    assert text_of(tokenizer, rows[0]["rejected_ids"]).endswith(WAIT.rstrip(". "))
    assert [tokenizer.eos_id in row["rejected_ids"] for row in rows] == [False] * 4 + [True]


def test_what_a_template_refuses_is_left_out_and_told(run: Run, tmp_path: Path) -> None:
    made, _, rows = pretokenized(run, tmp_path, STRICT)
    assert len(rows) == 5
    assert made.left_out == {
        "the chat template: System role not supported": 1,
        "the chat template: Roles must alternate user/assistant/user/assistant": 1,
    }


def test_a_template_that_writes_no_end_is_taken_as_it_is(run: Run, tmp_path: Path) -> None:
    _, tokenizer, rows = pretokenized(run, tmp_path, NO_END)
    assert closing(tokenizer) == "\n"
    assert text_of(tokenizer, rows[0]["rejected_ids"]) == f"assistant: {ENDLESS}"


def test_a_tokenizer_without_a_template_is_refused(run: Run, tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "tokenizer", None)
    done = loopguard("export", run.path, "-f", "trl", "--pretokenized", "--tokenizer", folder, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"loopguard: {folder} has no chat template: give the tokenizer of a chat model\n"
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_the_token_that_ends_an_answer(tmp_path: Path) -> None:
    assert end_token(tokenizer_at(tmp_path / "chatml")) == "<|im_end|>"
    assert end_token(tokenizer_at(tmp_path / "strict", STRICT)) == "<|im_end|>"


# -- onsets


def is_what_the_loader_takes(row: dict[str, Any], tokenizer: Tokenizer) -> bool:
    """The conditions of utils/dataset_helpers.py, `load_ftpo_multi_dataset` (sam-paech/auto-antislop, 4b31caed): the three
    columns; rejected and every chosen one token each when encoded alone; the rejected one not among the chosen.
    """
    assert set(row) == {"context_with_chat_template", "rejected_decoded", "multi_chosen_decoded"}
    rejected = tokenizer.encode(row["rejected_decoded"]).ids
    chosen = [tokenizer.encode(text).ids for text in row["multi_chosen_decoded"]]
    return bool(chosen) and len(rejected) == 1 and all(len(ids) == 1 for ids in chosen) and rejected not in chosen


def test_onsets_with_what_other_outputs_said_there(run: Run, tmp_path: Path) -> None:
    tokenizer = tokenizer_at(tmp_path / "tokenizer")
    made = export_run(run.path, "ftpo", out=tmp_path / "out", options=Options(tokenizer=tokenizer.name))
    rows = lines(tmp_path / "out")
    assert all(is_what_the_loader_takes(row, tokenizer) for row in rows)
    first = "Let me add them. Wait, let me check the sum again."
    assert rows[0]["context_with_chat_template"] == ASKED + first
    assert rows[0]["rejected_decoded"] == " Wait"
    assert rows[1]["context_with_chat_template"] == f"{ASKED}The answer should be four. {WAIT.rstrip()}"
    assert made.left_out == {"no output of the prompt goes on otherwise at that place (--engine asks the model)": 3}
    assert made.max_length == 128


def test_an_output_that_ended_there_gives_the_end_token(tmp_path: Path) -> None:
    stretch = "Wait, let me check that again: two and two are four."
    loop = {"content": f"So. {f'{stretch} ' * 30}", "finish_reason": "length"}
    rules = [{"samples": [loop, f"Well. {stretch}"], "greedy": "Four."}]
    run = make_run(tmp_path, [SUM], rules=rules, judge__spec="none", sampling__samples=2)
    tokenizer = tokenizer_at(tmp_path / "tokenizer")
    export_run(run.path, "ftpo", out=tmp_path / "out", options=Options(tokenizer=tokenizer.name))
    (row,) = lines(tmp_path / "out")
    assert row["context_with_chat_template"] == f"{ASKED}So. {stretch}"
    assert row["rejected_decoded"] == " Wait"
    assert row["multi_chosen_decoded"] == ["<|im_end|>"]


@pytest.mark.parametrize(
    ("answer", "start", "period", "found"),
    [
        ("Say it again, ok. Say it again, ok. Say it again, ok. ", 0, 18, "Say it again, ok."),
        ("Step 1 is far. Step 2 is far. Step 3 is far. ", 0, 15, "Step 1 is far."),
        ("Step 9 is far. Step 10 is far. Step 11 is far. ", 0, 15, None),
        ("One way. No way. One way. ", 0, 9, None),
    ],
)
def test_the_second_copy_is_told_where_it_is_the_first_but_for_digits(
    tmp_path: Path, answer: str, start: int, period: int, found: str | None
) -> None:
    tokenizer = tokenizer_at(tmp_path)
    copy = second_copy(ASKED, answer, start, period, tokenizer)
    if found is None:
        assert copy == "the second copy is not the same as the first, so that its start is not known to the character"
    else:
        assert not isinstance(copy, str)
        onset = copy.onset(copy.tokens[0])
        assert onset.context.removeprefix(ASKED).rstrip() == found
        assert (
            ASKED + answer == onset.context + onset.rejected + (ASKED + answer)[len(onset.context + onset.rejected) :]
        )


def test_a_thought_that_the_template_has_opened_is_not_opened_again(tmp_path: Path) -> None:
    rendered = f"{ASKED}<think>\n"
    copy = second_copy(rendered, "<think>\nWait, let me. Wait, let me. Wait, let me. ", 8, 14, tokenizer_at(tmp_path))
    assert not isinstance(copy, str)
    assert copy.onset(copy.tokens[0]).context.startswith(f"{rendered}Wait, let me.")


# -- alternatives from an engine


def engine(folder: Path, logprobs: dict[str, float]) -> str:
    rules = [{"contains": "Wait, let me check the sum again", "greedy": {"content": "x", "logprobs": logprobs}}]
    rules.append({"samples": [""], "greedy": {"content": "", "error": "no such place"}})  # type: ignore[list-item]
    (folder / "engine.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    return f"scripted:{folder / 'engine.jsonl'}"


LIKELY = {" Wait": -0.1, " The": -1.0, "ing": -1.1, " let": -2.0, " and": -9.0}


def test_an_engine_gives_its_likely_tokens_once(run: Run, tmp_path: Path) -> None:
    tokenizer = tokenizer_at(tmp_path / "tokenizer")
    options = Options(tokenizer=tokenizer.name, engine=engine(tmp_path, LIKELY))
    made = export_run(run.path, "ftpo", out=tmp_path / "out", options=options)
    rows = lines(tmp_path / "out")
    assert [row["rejected_decoded"] for row in rows] == [" Wait", " Wait"]
    assert all(is_what_the_loader_takes(row, tokenizer) for row in rows)
    kept = [text for text in (" The", "ing", " let") if len(tokenizer.encode(text).ids) == 1]
    assert kept
    assert [row["multi_chosen_decoded"] for row in rows] == [kept, kept], "by likelihood; 0.0001 is too little"
    assert made.left_out["the engine gave no log-probabilities there"] == 2
    (tmp_path / "engine.jsonl").write_text('{"samples": [""], "greedy": {"error": "asked again"}}\n', encoding="utf-8")
    export_run(run.path, "ftpo", out=tmp_path / "out", force=True, options=options)
    assert lines(tmp_path / "out") == rows, "the answers were on disk"


def test_an_engine_that_does_not_go_on_with_the_answer_gives_no_row(run: Run, tmp_path: Path) -> None:
    tokenizer = tokenizer_at(tmp_path / "tokenizer")
    given = ("--tokenizer", tokenizer.name, "--engine", engine(tmp_path, {"Hello": -0.1, "Hi": -1.0}))
    done = loopguard("export", run.path, "-f", "ftpo", "--out", tmp_path / "out", *given)
    assert done.returncode == 1
    assert (
        "2: the looping token is not among the engine's likeliest there: another model, or it does not" in done.stderr
    )
    assert not (tmp_path / "out").exists()


def test_an_engine_that_cannot_be_reached_is_one_line_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    given = ("--tokenizer", tokenizer, "--engine", "openai:http://127.0.0.1:9/v1")
    done = loopguard("export", run.path, "-f", "ftpo", *given, cwd=tmp_path, OPENAI_API_KEY="none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("loopguard: no server at http://127.0.0.1:9/v1")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_engines_that_cannot_go_on_are_named(run: Run, tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    done = loopguard("export", run.path, "-f", "ftpo", "--tokenizer", tokenizer, "--engine", "vllm:m", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "loopguard: --engine 'vllm:m': for ftpo one of embedded, openai, scripted, which go on with an unfinished answer\n"
    )


def test_once_is_no_loop(run: Run) -> None:
    assert not run.candidates.filter(pl.col("text") == ONCE)["looping"].any()
