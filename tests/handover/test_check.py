"""`loopguard check`: every kind of fault, planted at known rows, is found there and nowhere else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loopguard.errors import InputError
from loopguard.handover.check import Checked, Finding, check
from loopguard.handover.contamination import Benchmark
from loopguard.handover.measured import FAULTS, SERIOUS
from loopguard.handover.pairs import PairRow, open_pairs
from loopguard.handover.tokenizers_at_hand import open_tokenizer
from loopguard.handover.trainer_views import TRAINERS
from tests.handover.planted import (
    BENCHMARK,
    CLEAN,
    LOOP,
    MAX_LENGTH,
    NEVER,
    ROWS,
    TEMPLATE,
    planted_for,
    prose,
    row,
    said,
)
from tests.handover.small_tokenizer import ENDLESS, FORGETFUL, write_tokenizer
from tests.hub_server import HubRepo, HubServer
from tests.prefs.commands import loopguard

WHOLE_SET = {"prompt_cut_short", "no_eos"}
"""Faults of a template, which every row has then: not in the planted set."""
OTHERS = ("axolotl", "llama-factory", "oumi")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("model"), TEMPLATE)


def lines(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def checked(path: Path, model: Path, max_length: int = MAX_LENGTH, **given: Any) -> Checked:
    with open_pairs(str(path)) as pairs:
        return check(pairs, open_tokenizer(str(model)), name=pairs.name, max_length=max_length, **given)


def rows_by_fault(found: Iterable[tuple[int, set[str]]]) -> dict[str, list[int]]:
    kinds: dict[str, list[int]] = {}
    for number, names in found:
        for name in names:
            kinds.setdefault(name, []).append(number)
    return kinds


def test_every_kind_of_fault_is_planted() -> None:
    assert {name for _, names in ROWS for name in names} == set(FAULTS) - WHOLE_SET - {"prompt_cut"}
    for trainer in OTHERS:
        planted = {name for _, names in planted_for(trainer)[1] for name in names}
        assert planted == set(FAULTS) - WHOLE_SET - NEVER[trainer] - ({"prompt_cut"} if trainer == "axolotl" else set())


@pytest.mark.parametrize("trainer", OTHERS)
def test_every_planted_fault_is_found_under_other_views(tmp_path: Path, trainer: str) -> None:
    template, rows = planted_for(trainer)
    planted = lines(tmp_path / "pairs.jsonl", [one for one, _ in rows])
    benchmark = Benchmark(str(lines(tmp_path / "benchmark.jsonl", [{"question": text} for text in BENCHMARK])))
    told: list[Finding] = []
    model = write_tokenizer(tmp_path / "model", template)
    checked(planted, model, trainer=TRAINERS[trainer], benchmark=benchmark, write=told.append)
    expected = rows_by_fault((number, names) for number, (_, names) in enumerate(rows, start=1))
    assert rows_by_fault((one.row, set(one.faults)) for one in told) == expected


@pytest.mark.parametrize("trainer", OTHERS)
def test_nothing_is_found_in_a_clean_set_under_other_views(tmp_path: Path, trainer: str) -> None:
    model = write_tokenizer(tmp_path / "model", planted_for(trainer)[0])
    found = checked(lines(tmp_path / "pairs.jsonl", CLEAN), model, trainer=TRAINERS[trainer])
    assert (found.rows, len(found.columns), dict(found.counts)) == (len(CLEAN), len(CLEAN), {})


def test_whole_sets_under_other_views(tmp_path: Path) -> None:
    """No EOS is LLaMA-Factory's alone: the others append one. A template that it cannot take apart stops it."""
    path, endless = lines(tmp_path / "pairs.jsonl", CLEAN), write_tokenizer(tmp_path / "endless", ENDLESS)
    counts = {name: dict(checked(path, endless, trainer=TRAINERS[name]).counts) for name in OTHERS}
    assert counts == {"axolotl": {}, "llama-factory": {"no_eos": len(CLEAN)}, "oumi": {}}
    with pytest.raises(InputError, match="LLaMA-Factory cannot take the chat template apart"):
        checked(path, write_tokenizer(tmp_path / "forgetful", FORGETFUL), trainer=TRAINERS["llama-factory"])


def test_an_answer_that_runs_into_the_prompt_is_found_under_axolotl(tmp_path: Path) -> None:
    """Without anything between, the last letters of the one and the first of the other make other tokens."""
    opened = "{{ bos_token }}{% for m in messages %}{{ m['role'] + m['content'] + '\n' }}{% endfor %}"
    opened += "{% if add_generation_prompt %}{{ 'assistant' }}{% endif %}"
    path = lines(tmp_path / "pairs.jsonl", [row("Who?", "erring", "she")])
    found = checked(path, write_tokenizer(tmp_path / "model", opened), trainer=TRAINERS["axolotl"])
    assert found.counts["prompt_cut_short"] == 1


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_every_planted_fault_is_found_at_its_row_and_nowhere_else(tmp_path: Path, model: Path, suffix: str) -> None:
    """By the command, from the rows that it writes."""
    planted = lines(tmp_path / "pairs.jsonl", [one for one, _ in ROWS])
    benchmark = lines(tmp_path / "benchmark.jsonl", [{"question": text} for text in BENCHMARK])
    out = tmp_path / f"rows.{suffix}"
    done = loopguard(
        *("check", planted, "--tokenizer", model, "--max-length", MAX_LENGTH),
        *("--benchmark", benchmark, "--rows", out, "--json"),
    )
    assert done.returncode == 3, done.stderr
    told = (
        pl.read_parquet(out).to_dicts() if suffix == "parquet" else list(map(json.loads, out.read_text().splitlines()))
    )
    assert [one["row"] for one in told] == list(range(1, len(ROWS) + 1))
    expected = rows_by_fault((number, names) for number, (_, names) in enumerate(ROWS, start=1))
    assert rows_by_fault((one["row"], set(one["faults"])) for one in told) == expected
    figures = json.loads(done.stdout)
    assert {name: (one["rows"], one["first"]) for name, one in figures["faults"].items()} == {
        name: (len(rows), rows[:5]) for name, rows in expected.items()
    }
    serious = {*SERIOUS, "loop_beyond_cut"}
    assert figures["failed"] == [name for name in FAULTS if name in serious and name in expected]
    assert [error["text"] for error in figures["errors"]] == [
        "rejected is None, neither a string nor a list of messages",
        "strings beside message lists: give all three in one form",
        "System role not supported",
    ]
    assert figures["benchmark"] == {"name": str(benchmark), "prompts": 3, "found": 2, "pairs": 2}
    details = {one["row"]: one["detail"] for one in told}
    assert details[16] == "duplicate_pair: row 1"
    assert details[15] == "contradiction: row 14"
    assert details[17].startswith(f"contaminated: row 1 of {benchmark}: how many sacks does the miller count")
    assert details[18] == f"contaminated: row 2 of {benchmark}: whole"
    assert (figures["now"]["loops"], figures["now"]["seen"]) == (4, 2)
    assert figures["prompts"] == {"distinct": 22, "pairs_with_an_earlier_prompt": 2}


def test_nothing_is_found_in_a_clean_set(tmp_path: Path, model: Path) -> None:
    path = lines(tmp_path / "pairs.jsonl", CLEAN)
    found = checked(path, model)
    assert (found.rows, dict(found.counts), found.errors) == (len(CLEAN), {}, {})
    done = loopguard("check", path, "--tokenizer", model, "--max-length", MAX_LENGTH)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("nothing serious\n")
    assert "fault" not in done.stdout


def test_a_template_without_eos_is_found_in_every_row(tmp_path: Path) -> None:
    found = checked(lines(tmp_path / "pairs.jsonl", CLEAN), write_tokenizer(tmp_path / "model", ENDLESS))
    assert found.counts == {"no_eos": len(CLEAN)}


def test_a_prompt_that_is_rendered_otherwise_alone_is_found_in_every_row(tmp_path: Path) -> None:
    found = checked(lines(tmp_path / "pairs.jsonl", CLEAN), write_tokenizer(tmp_path / "model", FORGETFUL))
    assert found.counts == {"prompt_cut_short": len(CLEAN)}


def test_strings_get_an_eos_and_implicit_prompts_are_found(tmp_path: Path, model: Path) -> None:
    strings = [{"prompt": prose(1, 8), "chosen": " " + prose(2, 9), "rejected": " " + prose(3, 9)}]
    found = checked(lines(tmp_path / "strings.jsonl", strings), model)
    assert (dict(found.counts), found.columns["chosen_eos"].tolist()) == ({}, found.columns["chosen"].tolist())
    whole = [{side: [*one["prompt"], *one[side]] for side in ("chosen", "rejected")} for one in CLEAN]
    implicit, explicit = (
        checked(lines(tmp_path / name, rows), model) for name, rows in [("i.jsonl", whole), ("e.jsonl", CLEAN)]
    )
    assert not implicit.counts
    for place in ("prompt", "chosen", "rejected", "common", "chosen_text", "rejected_eos"):
        assert implicit.columns[place].tolist() == explicit.columns[place].tolist()


def test_what_two_strings_begin_with_is_the_prompt(tmp_path: Path, model: Path) -> None:
    """To the first difference, one space before it left to the answers."""
    path = lines(tmp_path / "pairs.jsonl", [{"chosen": "The sky is blue.", "rejected": "The sky is green."}])
    with open_pairs(str(path)) as pairs:
        (pair,) = pairs
    assert isinstance(pair, PairRow)
    assert (pair.prompt, pair.chosen, pair.rejected) == ("The sky is", " blue.", " green.")


def test_message_lists_in_csv_are_read(tmp_path: Path, model: Path) -> None:
    cells = [{side: json.dumps(one[side]) for side in ("prompt", "chosen", "rejected")} for one in CLEAN]
    pl.DataFrame(cells).write_csv(tmp_path / "pairs.csv")
    found = checked(tmp_path / "pairs.csv", model)
    assert (found.rows, len(found.columns), dict(found.counts)) == (len(CLEAN), len(CLEAN), {})


def test_few_loops_beyond_the_cut_are_no_failure(tmp_path: Path, model: Path) -> None:
    late, soon = (
        row(prose(n, 8), prose(2, 12), prose(3, n) + " " + LOOP * 12, rejected_truncated=False) for n in (150, 9)
    )
    soon = soon | {"chosen": said("Short."), "rejected": said(LOOP * 12)}
    path = lines(tmp_path / "pairs.jsonl", [late, *({**soon, "prompt": said(prose(k, 9))} for k in range(19))])
    arguments = ("check", path, "--tokenizer", model, "--max-length", MAX_LENGTH, "--json")
    assert checked(path, model).counts["loop_beyond_cut"] == 1
    assert loopguard(*arguments, "--max-unseen", "0.05").returncode == 0
    assert loopguard(*arguments, "--max-unseen", "0.04").returncode == 3
    assert loopguard(*arguments, "--fail-on", "loop_beyond_cut").returncode == 3
    assert loopguard(*arguments, "--fail-on", "none", "--max-unseen", "1").returncode == 0


def test_a_benchmark_is_found_by_thirteen_words_in_a_row(tmp_path: Path) -> None:
    words = prose(1, 40).lower().rstrip(".").split()
    path = lines(tmp_path / "b.jsonl", [{"question": " ".join(words[:20])}, {"question": "Two, and two?"}])
    benchmark = Benchmark(str(path))
    assert benchmark.find("x " + " ".join(words[7:20])) == (1, " ".join(words[7:20]))
    assert benchmark.find("x " + " ".join(words[8:20]) + " y") is None  # twelve
    assert benchmark.find("TWO AND TWO") == (2, "whole")
    assert benchmark.find("two and two and") is None
    assert benchmark.find([{"role": "system", "content": "two and two"}, {"role": "user", "content": "Hm?"}]) is None
    assert benchmark.hit == {1, 2}


def test_columns_of_other_kinds_are_taken_for_absent(tmp_path: Path, model: Path) -> None:
    loop = {f"rejected_loop_{name}": "3" for name in ("kind", "terminal", "start", "end", "period", "repeats")}
    strange = [
        {**CLEAN[0], "margin": "high"},
        {**CLEAN[1], "margin": True, "rejected_truncated": "yes"},
        {**CLEAN[2], **loop},
    ]
    found = checked(lines(tmp_path / "pairs.jsonl", strange), model)
    assert (len(found.columns), dict(found.counts)) == (3, {})
    assert all(map(math.isnan, found.columns.margin))


def test_the_trainers_are_those_of_the_help() -> None:
    text = " ".join(loopguard("check", "--help", COLUMNS="200").stdout.split())
    assert f"Whose templates and truncation: {', '.join(TRAINERS)}." in text


@pytest.mark.slow
def test_a_dataset_of_the_hub_is_checked_as_it_is(tmp_path: Path, model: Path) -> None:
    data = "".join(json.dumps(one) + "\n" for one in [*CLEAN, CLEAN[0]]).encode()
    with HubServer({"someone/pairs": HubRepo({"data/train-00000.jsonl": data})}) as hub:
        done = loopguard(
            *("check", "hf:someone/pairs", "--tokenizer", model, "--max-length", MAX_LENGTH, "--json"),
            **hub.environment(tmp_path / "home"),
        )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["faults"] == {"duplicate_pair": {"rows": 1, "share": 1 / 31, "first": [31]}}
    assert figures["advice"]["trimmed"] == []
