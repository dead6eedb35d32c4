"""What a person sees, to the character: at 80 and 200 columns, with colour and without, in a pipe, of hostile text."""

from __future__ import annotations

import json
import re
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import loopguard as library
from loopguard.console import loop_in_words, marked, plain_table, put
from loopguard.loops.show import pieces
from loopguard.terminal import TerminalWatcher
from tests.prefs.commands import PROGRESS, loopguard
from tests.pseudo_terminal import lines, on_terminal

PERIOD = "let me check that once more, shall we? "
HOSTILE = "\x1b[2J[bold]\u202e " + PERIOD * 20
SIGNATURE = library.Detector().signature

PLAIN = {"TERM": "dumb"}
NO_COLOUR = {"NO_COLOR": "1"}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three outputs of two models, one of them a loop in hostile text; a model's name of 60 characters."""
    path = tmp_path_factory.mktemp("terminal") / "o.jsonl"
    long_name = "organisation/a-model-with-a-long-name-3b-instruct-q4_k_m-v0.3"
    rows = [("small", HOSTILE), ("small", "Fine."), (long_name, "Fine too.")]
    path.write_text("".join(json.dumps({"model": m, "output": o}) + "\n" for m, o in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: one pair by loop, one by score, one prompt without a pair, one row without a prompt."""
    folder = tmp_path_factory.mktemp("terminal-run")
    rules = [
        {"prompt": "Loop", "samples": ["Yes \x1b]0;gone\x07 and " + PERIOD * 20, "A short answer."], "greedy": "Yes."},
        {"contains": "Good answer", "greedy": {"content": "5", "logprobs": {"5": -0.001}}},
        {"contains": "Which number is right", "greedy": {"content": "2", "logprobs": {"2": -0.001}}},
        {"prompt": "Score", "samples": ["Good answer", "Bad answer"]},
        {"samples": ["I do not know."]},
    ]
    (folder / "rules.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    prompts = [json.dumps({"prompt": prompt}) for prompt in ("Loop", "Score", "Same")]
    (folder / "prompts.jsonl").write_text("\n".join([*prompts, '{"other": 1}']))
    done = loopguard("build-prefs", "prompts.jsonl", *given(), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def given() -> list[object]:
    return ["--engine", "scripted:rules.jsonl", "--out", "run"]


# -- scan

LOOPS = " let me check that once more, shall we?"
FOLDED = f"⟦{LOOPS}⟧⟦{LOOPS}⟧ [... and 18.0 copies more ...]"

RATES = """\
outputs                                                        loop rate    95 % interval  looping  of
──────────────────────────────────────────────────────────────────────────────────────────────────────
all                                                               33.33%  6.15% to 79.23%        1   3
  verbatim, terminal                                              33.33%  6.15% to 79.23%        1   3

small                                                             50.00%  9.45% to 90.55%        1   2
organisation/a-model-with-a-long-name-3b-instruct-q4_k_m-v0.3      0.00%  0.00% to 79.35%        0   1
"""

NARROW_RATES = """\
outputs                                  loop rate    95 % interval  looping  of
────────────────────────────────────────────────────────────────────────────────
all                                         33.33%  6.15% to 79.23%        1   3
  verbatim, terminal                        33.33%  6.15% to 79.23%        1   3

small                                       50.00%  9.45% to 90.55%        1   2
organisation/a-model-with-a-long-name-3      0.00%  0.00% to 79.35%        0   1
b-instruct-q4_k_m-v0.3
"""

REST = f"""
92.06% of all that was examined repeats what was said
column output; detector {SIGNATURE}

--- {{path}}, row 1: verbatim loop, to the end, x 20.0
␛[2J[bold]\\u202e{FOLDED}\x20
"""


def test_scan_in_a_pipe_is_as_wide_as_it_needs_to_be(outputs: Path) -> None:
    done = loopguard("scan", outputs, "--group-by", "model", "--show", 3, COLUMNS="40")
    assert done.stdout == RATES + REST.format(path=outputs)


def test_scan_on_a_wide_terminal(outputs: Path) -> None:
    written = on_terminal("scan", outputs, "--group-by", "model", "--show", 3, columns=200)
    assert "\n".join(lines(written)).startswith(RATES)
    assert (
        f"\x1b[1;33m{LOOPS}\x1b[0m\x1b[1;31m{LOOPS}\x1b[0m\x1b[2;3m [... and 18.0 copies more ...] \x1b[0m" in written
    )
    assert "⟦" not in written
    assert "\x1b[2J" not in written


@pytest.mark.parametrize("variables", [NO_COLOUR, PLAIN], ids=["NO_COLOR", "dumb"])
def test_scan_on_a_narrow_terminal_cuts_nothing_and_brackets_loops(outputs: Path, variables: dict[str, str]) -> None:
    """An output's lines are whole: the terminal itself wraps them."""
    written = on_terminal("scan", outputs, "--group-by", "model", "--show", 3, columns=80, **variables)
    rest = REST.format(path=outputs).replace("] \n", "]\n")
    assert "\n".join(lines(written)) == NARROW_RATES + rest
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", written)
    assert "\x1b[2J" not in written


def test_progress_of_scan_never_fills_a_line(outputs: Path) -> None:
    """A longer one could not be taken back by a carriage return."""
    many = outputs.parent / "many.jsonl"
    many.write_text(outputs.read_text(encoding="utf-8") * 20_000, encoding="utf-8")
    told = [line for line in on_terminal("scan", many, columns=30).split("\r\x1b[K") if "MB/s" in line]
    assert all(len(line) < 30 for line in told)


# -- build-prefs and status

SUMMARY = """\
Run run
model              rules (scripted:rules.jsonl)
prompts            3 distinct, and 1 row without one
candidates         18, 12 equal to another one
loop rate greedy   0.0% (0 of 3; 95 % interval 0.0% to 56.1%)
loop rate sampled  {sampled}
loops by kind      {loops} verbatim, terminal
cut, not looping   0 hit the token limit without a loop
pairs              2 from 2 prompts: 1 by loop, 1 by score
no pair            1 all_equal
rows left out      1 missing_column
judge              helpfulness: 4 scores (4 logprobs); 1 call saved, loops need none
"""

PAIR = f"""\
--- prompt
Loop

--- chosen: score 2.00
{{chosen}}

--- rejected: verbatim loop, to the end, x 20.0
Yes ␛]0;gone␇ and{FOLDED}

Files: run/preferences.parquet (and .jsonl), candidates.parquet, skipped.parquet, summary.json
"""


def test_the_end_of_build_prefs_in_a_pipe(run: Path) -> None:
    done = loopguard("build-prefs", "prompts.jsonl", *given(), cwd=run, COLUMNS="40")
    table, _, rest = done.stdout.partition("\n\n")
    rate = re.search(r"sampled  (\S+ \((\d+) of 15; 95 % interval \S+ to \S+\))\n", table)
    assert rate
    assert f"{table}\n".startswith(SUMMARY.format(sampled=rate[1], loops=rate[2]))
    assert rest.startswith(PAIR.format(chosen=rest.split("\n")[4]))
    assert rest.split("\n")[4] in ("A short answer.", "Yes.")
    assert all(line == line.rstrip() for line in table.split("\n"))
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("columns", [80])
def test_the_end_of_build_prefs_on_a_terminal(run: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    written = on_terminal("build-prefs", "prompts.jsonl", *given(), columns=columns)
    seen = lines(written)
    assert seen[:2] == ["3 of 3 prompts are in the ledger already; 0 to go", "Run run"]
    judge = seen.index("prompts            3 distinct, and 1 row without one") + 9
    whole = "judge              helpfulness: 4 scores (4 logprobs); 1 call saved, loops need none"
    assert seen[judge] == (whole if columns == 200 else whole.removesuffix(" none"))
    assert (seen[judge + 1] == "                   none") == (columns == 80)
    assert "\x1b[1;31m--- rejected: verbatim loop, to the end, x 20.0\x1b[0m\n" in written
    assert "\x1b]0;" not in written


def test_status_says_the_same_in_a_pipe_and_on_a_wide_terminal(run: Path) -> None:
    piped = loopguard("status", run / "run").stdout
    assert piped.startswith(
        f"Run {run / 'run'}\nprompts            3 of 3 prompts done, 0 missing, 0 failed\n"
        "now                everything is answered\nanswers kept  "
    )
    assert lines(on_terminal("status", run / "run", columns=200)) == piped.split("\n")
    narrow = lines(on_terminal("status", run / "run", columns=60))
    assert max(map(len, narrow[1:])) <= 60


def test_a_run_without_pairs_says_so(run: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "Same"}')
    done = loopguard(
        "build-prefs", tmp_path / "p.jsonl", "--engine", f"scripted:{run}/rules.jsonl", "--out", tmp_path / "run"
    )
    assert "\nNo pairs to show.\n\nFiles: " in done.stdout
    assert "Next:" not in done.stdout


def test_a_file_without_any_prompt_is_questioned(run: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(b"\x80\n\x81\n")
    done = loopguard(
        "build-prefs", tmp_path / "p.jsonl", "--engine", f"scripted:{run}/rules.jsonl", "--out", tmp_path / "run"
    )
    assert "\nrows left out      2 invalid_utf8\n" in done.stdout
    assert "\nNo pairs to show. No row holds a prompt: is this the right file?\n" in done.stdout
    said = (
        f"loopguard: {tmp_path}/p.jsonl: none of its 2 rows holds a prompt; {tmp_path}/run/skipped.parquet says why\n"
    )
    assert (done.returncode, done.stderr.endswith(said)) == (1, True)


# -- help

VERBS = ["build-prefs", "status", "report", "scan", "tune-vllm", "check", "export", "push", "judges", "pipelines"]


def test_help_lists_the_verbs_in_the_order_of_their_use() -> None:
    seen = lines(on_terminal("--help", columns=80))
    listed = [match[1] for line in seen if (match := re.match(r"│ ([a-z-]+)  +\S", line))]
    assert [name for name in listed if name in VERBS] == VERBS
    assert max(map(len, seen)) <= 80


@pytest.mark.parametrize(
    ("verb", "defaults"),
    [
        ("build-prefs", ["(OPENAI_API_KEY)", "(local)"]),
        ("scan", ["0"]),
        ("push", ["(main)", "(that of the prompts' dataset, else unknown)"]),
    ],
)
def test_help_fits_and_names_defaults(verb: str, defaults: list[str]) -> None:
    """A default in brackets must not be taken for rich's markup."""
    seen = lines(on_terminal(verb, "--help", columns=80))
    assert max(map(len, seen)) <= 80
    text = " ".join(" ".join(line.strip("│ ") for line in seen).split())
    assert f"loopguard {verb} [OPTIONS] " in text
    assert "…" not in text
    assert all(f"[default: {default}]" in text for default in defaults)


def test_lists_of_what_is_shipped_fold_on_a_terminal() -> None:
    piped = loopguard("judges", "list").stdout.splitlines()
    assert [line.partition("  ")[0] for line in piped] == ["conciseness", "helpfulness", "reasoning"]
    assert (
        piped[0]
        == "conciseness  Says what the question needs and stops: no padding, no repetition, no missing content."
    )
    seen = lines(on_terminal("judges", "list", columns=60))
    assert seen[:2] == [
        "conciseness  Says what the question needs and stops: no",
        "             padding, no repetition, no missing content.",
    ]


# -- pieces


def console(*, terminal: bool, width: int = 40, colour: str | None = None) -> Console:
    return Console(file=StringIO(), force_terminal=terminal, width=width, color_system=colour)  # type: ignore[arg-type]


def written(made: Console) -> str:
    assert isinstance(made.file, StringIO)
    return made.file.getvalue()


def test_a_table_where_there_is_no_terminal_has_no_blanks_at_the_ends() -> None:
    table = plain_table(title="what is measured here, and a long title")
    table.add_column("name")
    table.add_column("n", justify="right")
    table.add_row("x" * 50, "7")
    table.add_row("y", "1,000")
    into = console(terminal=False)
    put(table, into)
    assert written(into).split("\n") == [
        "what is measured here, and a long title",
        f"{'name':50}      n",
        "─" * 57,
        f"{'x' * 50}      7",
        f"{'y':50}  1,000",
        "",
    ]


def test_marks_of_a_loop() -> None:
    text = "So: " + "again and again, " * 30 + "done. It went on to something else and came to an end."
    verdict = library.detect(text)
    shown = list(pieces(text, verdict.loops))
    assert marked(shown, console(terminal=False)).plain == "".join(
        {"first": f"⟦{p.text}⟧", "copy": f"⟦{p.text}⟧", "text": p.text}.get(p.role, f" {p.text} ") for p in shown
    )
    coloured = marked(shown, console(terminal=True, colour="standard"))
    assert "⟦" not in coloured.plain
    assert {str(span.style) for span in coloured.spans} == {"bold yellow", "bold red", "italic dim"}


def test_a_loop_in_words() -> None:
    assert loop_in_words("near", False, 1587.46) == "near loop, left again, x 1,587.5"
    assert loop_in_words("verbatim", True, 4.0) == "verbatim loop, to the end, x 4.0"


@pytest.mark.parametrize(
    ("seconds", "prompts", "counts", "line"),
    [
        (40.0, 1, (0, 0, 1), "1 of 30 prompts; 40 s a prompt, 1 failed; about 19 min left\n"),
        (40.0, 20, (120, 3, 0), "20 of 30 prompts; 0.5 prompts/s, 2.5% of outputs loop; about 20 s left\n"),
        (2.0, 26, (150, 75, 2), ""),
    ],
)
def test_a_line_of_progress_where_there_is_no_terminal(
    seconds: float,
    prompts: int,
    counts: tuple[int, int, int],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    watcher = TerminalWatcher()
    watcher.asking(total=30, done=0)
    clock[0] += seconds
    outputs, looping, failed = counts
    watcher.through(prompts, outputs=outputs, looping=looping, failed=failed)
    assert capsys.readouterr().err == line
    assert PROGRESS.sub("", f"before\n{line}after\n") == "before\nafter\n"
