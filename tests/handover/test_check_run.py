"""`loopguard check` on run directories: what it advises is what then comes out, and bad input is one clear line each."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from loopguard import Run, build_prefs, load_recipe
from loopguard.errors import InputError
from loopguard.handover.advice import Advice, advise
from loopguard.handover.check import Checked, check
from loopguard.handover.check_figures import setting
from loopguard.handover.pairs import open_pairs
from loopguard.handover.tokenizers_at_hand import open_tokenizer
from loopguard.handover.trainer_views import TRAINERS
from loopguard.prefs.database import hold
from tests.handover.a_run import RULES, make_run
from tests.handover.planted import prose
from tests.handover.small_tokenizer import write_tokenizer
from tests.prefs.commands import loopguard

TRL = TRAINERS["trl"]
LOOP = "Wait, let me check that again. "
JUDGED = [f"Number {k} is right." for k in range(8)]


def rules() -> list[dict[str, Any]]:
    """8 prompts whose pairs go by score, with 8 margins; 6 that loop later and later, the last after 300 words."""
    scores = [
        {
            "contains": text,
            "greedy": {"content": "5", "logprobs": {"5": math.log(0.3 + k / 12), "1": math.log(0.7 - k / 12)}},
        }
        for k, text in enumerate(JUDGED)
    ]
    low = {"contains": "<<<ANSWER", "greedy": {"content": "1", "logprobs": {"1": -0.01}}}
    judged = [{"prompt": f"Which is {k}?", "samples": [JUDGED[k], "No. " + prose(k, 2 * k)]} for k in range(8)]
    endless = [{"content": prose(50 + k, 60 * k) + LOOP * 30, "finish_reason": "length"} for k in range(6)]
    loops = [{"prompt": f"How {k}?", "samples": [prose(k, 20), endless[k]]} for k in range(6)]
    return [*scores, low, *judged, *loops]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of 14 pairs."""
    found = tmp_path_factory.mktemp("made")
    asked = [rule["prompt"] for rule in rules() if "prompt" in rule]
    run = make_run(found, asked, rules=rules(), sampling__samples=2, sampling__greedy=False)
    assert run.summary["pairs"] == {"total": 14, "loop": 6, "score": 8}
    return found


def looked_at(run_dir: Path, model: Path, max_length: int) -> tuple[Checked, Advice]:
    tokenizer = open_tokenizer(str(model))
    with open_pairs(str(run_dir)) as pairs:
        found = check(pairs, tokenizer, name=pairs.name, max_length=max_length, trainer=TRL)
        return found, advise(found, tokenizer, run=pairs.run, max_unseen=0.05)


def paired_anew(folder: Path, to: Path, **changes: Any) -> Path:
    """The run copied and its pairs made again under other rules, with nothing asked."""
    shutil.copytree(folder / "run", to)
    recipe = load_recipe(str(to / "recipe.toml")).override({f"pairing.{key}": value for key, value in changes.items()})
    build_prefs(str(folder / "prompts.jsonl"), recipe, out=to, offline=True)
    return to


def test_the_advised_max_length_shows_so_many_loops_and_one_less_does_not(folder: Path, model: Path) -> None:
    found, advice = looked_at(folder / "run", model, 400)
    assert (advice.settings[0].loops, advice.settings[0].seen) == (6, 2)
    longest = max(int(one.name.split()[-1]) for one in advice.settings if one.name.startswith("max_length"))
    again, _ = looked_at(folder / "run", model, longest)
    assert again.counts["loop_beyond_cut"] == 0
    fewer, _ = looked_at(folder / "run", model, longest - 1)
    assert fewer.counts["loop_beyond_cut"] == 1
    for one in advice.settings:
        if one.name.startswith("max_length"):
            other, _ = looked_at(folder / "run", model, int(one.name.split()[-1]))
            assert setting(one.name, other.columns, other.max_length, TRL) == one
    assert any(line.startswith(f"max_length: {longest} tokens show 95 % of the loops") for line in advice.lines)
    assert found.columns["loop_seen"].max() == longest


@pytest.mark.parametrize("copies", [2, 3])
def test_the_figures_of_trimmed_loops_are_those_of_the_run_paired_anew(
    folder: Path, model: Path, tmp_path: Path, copies: int
) -> None:
    _, advice = looked_at(folder / "run", model, 700)
    assert [one.name for one in advice.trimmed] == ["trim_loops = 0", "trim_loops = 2", "trim_loops = 3"]
    assert advice.prompts == 14
    found, again = looked_at(paired_anew(folder, tmp_path / "run", trim_loops=copies), model, 700)
    name = f"trim_loops = {copies}"
    (promised,) = [one for one in advice.trimmed if one.name == name]
    assert setting(name, found.columns, 700, TRL) == promised
    assert promised != setting(name, looked_at(folder / "run", model, 700)[0].columns, 700, TRL)
    assert again.trimmed[0] == promised  # seen from there, it is how things are now


def test_the_figures_of_a_wider_margin_are_those_of_the_run_paired_anew(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    _, advice = looked_at(folder / "run", model, 700)
    wider = [one for one in advice.settings if one.name.startswith("min_margin")]
    assert [one.pairs for one in wider] == [13, 11]
    for one in wider:
        value = float(one.name.split()[-1])
        found, _ = looked_at(paired_anew(folder, tmp_path / str(value), min_margin=value), model, 700)
        assert setting(one.name, found.columns, 700, TRL) == one


def test_the_loops_are_those_that_the_run_found_also_where_they_are_trimmed(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    """Two copies are no loop to the detector: that the text was cut there is what the row says."""
    found, _ = looked_at(paired_anew(folder, tmp_path / "run", trim_loops=2), model, 4000)
    whole, _ = looked_at(folder / "run", model, 4000)
    assert found.columns["loop_seen"].tolist() == whole.columns["loop_seen"].tolist()
    assert (found.columns["loop_seen"] > 0).sum() == 6
    assert found.counts["eos_after_cut_text"] == 6


def test_the_command_changes_nothing_in_the_run_and_says_what_to_run(folder: Path, model: Path) -> None:
    run = folder / "run"
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != ".lock"}
    done = loopguard("check", run, "--tokenizer", model, "--max-length", "400", COLUMNS="80")
    assert done.returncode == 3
    assert "serious: loop_beyond_cut" in done.stdout
    assert "1 rejected texts did not end" in done.stdout
    assert f"loopguard export {run} --format trl --pretokenized" in done.stdout
    assert "trim_loops = 2" in done.stdout
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != ".lock"}
    assert {name: data for name, data in after.items() if name in before} == before
    assert set(after) - set(before) <= {"ledger.sqlite-shm", "ledger.sqlite-wal"}


def test_the_commands_in_the_advice_can_be_run(folder: Path, model: Path) -> None:
    done = loopguard("check", folder / "run", "--tokenizer", model, "--max-length", "4000", "--json")
    figures = json.loads(done.stdout)
    (line,) = [line for line in figures["advice"]["lines"] if line.startswith("To pair again")]
    assert str(folder / "prompts.jsonl") in line
    assert f"--out {folder / 'run'} --offline" in line
    assert figures["tokenizer"]["digest"] == open_tokenizer(str(model)).digest


def trouble(*arguments: object) -> str:
    done = loopguard("check", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("loopguard: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("loopguard: ").strip()


def test_a_run_that_is_still_going(folder: Path, model: Path) -> None:
    held = hold(folder / "run")
    try:
        said = trouble(folder / "run", "--tokenizer", model)
    finally:
        held.release()
    assert said.startswith(f"{folder / 'run'}: the run is still going")


def test_a_run_without_pairs(tmp_path: Path, model: Path) -> None:
    make_run(tmp_path, ["x"], rules=[*RULES, {"prompt": "x", "samples": ["same"]}])
    assert "the run has no pairs (1 all_equal)" in trouble(tmp_path / "run", "--tokenizer", model)


def test_a_run_that_has_no_tables_yet(folder: Path, tmp_path: Path, model: Path) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / "preferences.parquet").unlink()
    assert "no preferences.parquet" in trouble(tmp_path / "run", "--tokenizer", model)
    (tmp_path / "run" / "summary.json").unlink()
    assert "no summary.json yet" in trouble(tmp_path / "run", "--tokenizer", model)
    assert "no run directory" in trouble(tmp_path, "--tokenizer", model)


def test_files_that_hold_no_pairs(tmp_path: Path, model: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "x", "completion": "y"}\n')
    assert "has no column chosen or rejected; its columns are prompt, completion" in trouble(
        tmp_path / "a.jsonl", "--tokenizer", model
    )
    (tmp_path / "b.jsonl").write_text("")
    assert trouble(tmp_path / "b.jsonl", "--tokenizer", model).endswith("b.jsonl is empty")
    assert trouble(tmp_path / "c.jsonl", "--tokenizer", model).startswith("no such file: ")


def test_a_tokenizer_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    run = folder / "run"
    assert trouble(run, "--tokenizer", "./none").startswith(
        "no tokenizer at ./none; give a folder with tokenizer.json,"
    )
    assert "the folder holds no tokenizer.json; AutoTokenizer" in trouble(run, "--tokenizer", tmp_path)
    assert "no tokenizer at none.gguf: none.gguf does not exist" in trouble(run, "--tokenizer", "none.gguf")
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "tokenizer.json cannot be read: " in trouble(run, "--tokenizer", tmp_path)


def test_a_tokenizer_without_a_template(folder: Path, tmp_path: Path) -> None:
    bare = write_tokenizer(tmp_path / "bare", None)
    assert trouble(folder / "run", "--tokenizer", bare).endswith(
        "has no chat template: give the tokenizer of a chat model"
    )
    broken = write_tokenizer(tmp_path / "broken", "{% for %}")
    assert "the chat template cannot be read: " in trouble(folder / "run", "--tokenizer", broken)


def test_files_of_a_tokenizer_that_nobody_can_read(tmp_path: Path) -> None:
    for name, text in (("deep", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}"), ("digits", "{{ " + "9" * 9000 + " }}")):
        with pytest.raises(InputError, match="the chat template cannot be read: "):
            open_tokenizer(str(write_tokenizer(tmp_path / name, text))).need_template()
    model = write_tokenizer(tmp_path / "bytes")
    (model / "chat_template.jinja").write_bytes(b"\xff\xfe{{")
    with pytest.raises(InputError, match=r"chat_template.jinja cannot be read: 'utf-8' codec"):
        open_tokenizer(str(model))
    (model / "tokenizer_config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"tokenizer_config.json cannot be read: maximum recursion"):
        open_tokenizer(str(model))
    for name in ("", "a" * 5000, "a\0b", "~nobody-of-that-name/x", "./a\nb"):
        with pytest.raises(InputError, match="no tokenizer at "):
            open_tokenizer(name)
    with pytest.raises(InputError, match="no such file"), open_pairs("a" * 5000):
        pass
    oumi = TRAINERS["oumi"]
    with pytest.raises(InputError, match="is not in its vocabulary"):
        oumi.prepare(open_tokenizer(str(write_tokenizer(tmp_path / "eos", eos_token="<nowhere>"))), [])


def test_options_that_mean_nothing(folder: Path, model: Path, tmp_path: Path) -> None:
    run = folder / "run"
    assert trouble(run, "--tokenizer", model, "--trainer", "x") == (
        "--trainer x: known are trl, openrlhf, axolotl, llama-factory, oumi"
    )
    assert trouble(run, "--tokenizer", model, "--max-length", "0") == "--max-length 0: 1 to 1,000,000,000 tokens"
    assert trouble(run, "--tokenizer", model, "--max-length", str(10**30)).endswith(": 1 to 1,000,000,000 tokens")
    assert trouble(run, "--tokenizer", model, "--fail-on", "x").startswith("--fail-on 'x': known are broken_row,")
    assert trouble(run, "--tokenizer", model, "--rows", tmp_path / "r.csv").endswith(".parquet or .jsonl is wanted")
    assert "no such file" in trouble(run, "--tokenizer", model, "--benchmark", tmp_path / "b.jsonl")


def test_rows_are_not_written_over_what_is_read(folder: Path, model: Path, tmp_path: Path) -> None:
    run, pairs = folder / "run", tmp_path / "pairs.parquet"
    shutil.copy(run / "preferences.parquet", pairs)
    before = {path: path.read_bytes() for path in (pairs, run / "preferences.parquet", run / "candidates.parquet")}
    link = tmp_path / "link.parquet"
    link.symlink_to(pairs)
    for source, rows in ((pairs, pairs), (link, pairs), (pairs, link)):
        assert trouble(source, "--tokenizer", model, "--rows", rows).endswith(
            "is read by this check; pass another file"
        )
    for rows in (run / "preferences.parquet", run / "new.jsonl"):
        assert "is in the run, which is only read" in trouble(run, "--tokenizer", model, "--rows", rows)
    benchmark = tmp_path / "b.jsonl"
    benchmark.write_text('{"question": "Who?"}\n')
    assert "is read by this check" in trouble(
        *(run, "--tokenizer", model, "--benchmark", benchmark, "--rows", benchmark)
    )
    assert {path: path.read_bytes() for path in before} == before
    assert benchmark.read_text() == '{"question": "Who?"}\n'


def test_a_run_is_opened_as_a_run(folder: Path) -> None:
    with open_pairs(str(folder / "run")) as pairs:
        assert isinstance(pairs.run, Run)
        assert len(list(pairs)) == 14
