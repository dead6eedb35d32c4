"""The command as a person or a script meets it: what it says, where it says it, its exit codes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import loopguard as package
from loopguard import Run
from tests.fake_server import serve
from tests.handover.a_run import make_run
from tests.prefs.commands import PATIENCE, Running, environment, loopguard, questions, tables, write_prompts

HEAVY = (
    "numba",
    "numpy",
    "polars",
    "datasets",
    "openai",
    "pyarrow",
    "pydantic",
    "jinja2",
    "tenacity",
    "huggingface_hub",
)

LOOP = "and so on it goes, " * 60


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A scripted engine that loops when greedy, has two other answers, and judges them 4 and 2."""
    path = tmp_path / "script.jsonl"
    rules: list[dict[str, Any]] = [
        {"contains": "A good answer", "greedy": "4"},
        {"contains": "A bad answer", "greedy": "2"},
        {"samples": ["A good answer.", "A bad answer."], "greedy": {"content": LOOP, "finish_reason": "length"}},
    ]
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    return path


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_prompts(tmp_path / "prompts.jsonl", questions(4))


def build(prompts: Path, script: Path, out: Path, *more: object, **variables: str) -> Any:
    return loopguard("build-prefs", prompts, "--engine", f"scripted:{script}", "--out", out, *more, **variables)


# -- light on its feet


@pytest.mark.parametrize(
    "code",
    [
        "import loopguard",
        "import loopguard; dir(loopguard)",
        "import loopguard.cli",
        "import sys; sys.argv = ['loopguard', '--help']; from loopguard.cli import main; main()",
        "import sys; sys.argv = ['loopguard', '--version']; from loopguard.cli import main; main()",
        "import sys; sys.argv = ['loopguard', 'build-prefs', '--help']; from loopguard.cli import main; main()",
        "import sys; sys.argv = ['loopguard', 'judges', 'list']; from loopguard.cli import main; main()",
    ],
)
def test_nothing_heavy_is_loaded_for_a_look(code: str) -> None:
    watch = "import atexit, sys; atexit.register(lambda: print('loaded:', *(sys.modules.keys() & {names})))\n"
    watch = watch.replace("{names}", str(set(HEAVY)))
    done = subprocess.run([sys.executable, "-c", watch + code], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    if "build-prefs" in code or "judges" in code:
        loaded.discard("pydantic")  # later versions of typer load it for the options of a verb
    assert not loaded


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("finished")).path


@pytest.mark.parametrize(
    ("verb", "loaded"),
    [
        (["status", "RUN"], {"pydantic"}),
        (["export", "RUN", "--format", "trl", "--out", "OUT"], {"numpy", "polars", "pyarrow", "pydantic"}),
        (["push", "RUN", "me/pairs", "--dry-run"], {"huggingface_hub", "numpy", "pyarrow", "pydantic"}),
        (
            ["build-prefs", "PROMPTS", "--pipeline", "RUN/recipe.toml", "--out", "OUT"],
            {"jinja2", "numpy", "pyarrow", "pydantic"},
        ),
        (["scan", "OUTPUTS"], {"numpy", "pyarrow", "pydantic"}),
        (["tune-vllm", "OUTPUTS"], {"numba", "numpy", "pyarrow", "pydantic"}),
    ],
)
def test_a_verb_loads_what_it_needs(verb: list[str], loaded: set[str], finished: Path, tmp_path: Path) -> None:
    """Each of these takes as long to load as a small run takes; pandas and scipy come in through Arrow and numba."""
    code = f"""if True:
        import atexit, json, sys
        atexit.register(lambda: print(json.dumps([*sys.modules.keys() & set({[*HEAVY, "pandas", "scipy"]})]), file=sys.stderr))
        from loopguard.cli import main
        main()
    """
    outputs = tmp_path / "answers.jsonl"
    outputs.write_text(json.dumps({"output": "and so on, " * 99}) + "\n")
    prompts = finished.parent / "prompts.jsonl"
    names = {"RUN": finished, "PROMPTS": prompts, "OUTPUTS": outputs, "OUT": tmp_path / "out"}
    for name, path in names.items():
        verb = [word.replace(name, str(path)) for word in verb]
    done = subprocess.run([sys.executable, "-c", code, *verb], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stderr.splitlines()[-1])) == loaded


def test_a_search_for_settings_does_not_load_scipy(tmp_path: Path) -> None:
    """numba asks for it when it loads its first kernel, and need not here; whoever imports it later gets it whole."""
    pytest.importorskip("scipy")
    (tmp_path / "outputs.jsonl").write_text(json.dumps({"output": "and so on, " * 99}) + "\n")
    code = """if True:
        import atexit, sys
        sys.argv = ["loopguard", "tune-vllm", "outputs.jsonl", "--json"]
        def at_end():
            loaded = sorted(sys.modules.keys() & {"numba.np.arraymath", "scipy.linalg"})
            import scipy.linalg.cython_blas
            print(loaded, scipy.linalg.cython_blas.__name__, file=sys.stderr)
        atexit.register(at_end)
        from loopguard.cli import main
        main()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "['numba.np.arraymath'] scipy.linalg.cython_blas", done.stderr
    assert json.loads(done.stdout)


def test_arrow_made_ready_quickly_has_all_that_it_has_otherwise() -> None:
    """A command makes each of Arrow's functions when it is asked for; nobody shall see a difference."""
    code = """if True:
        import sys
        if sys.argv[1] == "quick":
            from loopguard.loops.quick_start import quick_arrow
            quick_arrow()
        import pyarrow as pa, pyarrow.compute as pc
        early = len(vars(pc))
        names = sorted({*pc.list_functions(), "and_", "or_", "utf8_zfill", "field", "SortOptions"})
        print([name for name in names if hasattr(pc, name)])
        print([getattr(pc, name).__doc__ for name in names if hasattr(pc, name)])
        print(pc.or_(pa.array([True]), pa.array([False])), pc.is_in(pa.array([3]), value_set=pa.array([3])))
        print(pa.array(["1", None]).cast(pa.int8()), pa.table({"a": [1, 1]}).group_by("a").aggregate([("a", "count")]))
        print(hasattr(pc, "no_such_function"), hasattr(pc, "__path__"))
        print(early < 200, file=sys.stderr)
    """
    quick, plain = (
        subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, env=environment())
        for how in ("quick", "plain")
    )
    assert (quick.stdout, quick.returncode) == (plain.stdout, 0)
    assert quick.stdout.endswith("False False\n")
    assert (quick.stderr, plain.stderr) == ("True\n", "False\n")


def test_help_names_every_verb_and_the_first_command_to_type() -> None:
    text = loopguard("--help").stdout
    for word in ("build-prefs", "status", "judges", "pipelines", "loopguard build-prefs prompts.jsonl --out"):
        assert word in text
    text = loopguard("build-prefs", "--help").stdout
    for word in ("--engine", "--judge-engine", "--dry-run", "--set", "Exit codes: 0 all done"):
        assert word in text


def test_version() -> None:
    assert loopguard("--version").stdout == f"loopguard {package.__version__}\n"


def test_judges_and_pipelines_are_listed_and_shown(tmp_path: Path) -> None:
    judges, pipelines = loopguard("judges", "list").stdout, loopguard("pipelines", "list").stdout
    assert [line.split()[0] for line in judges.splitlines()] == ["conciseness", "helpfulness", "reasoning"]
    assert [line.split()[0] for line in pipelines.splitlines()] == ["cluster", "demo", "liquid", "server"]
    assert all(len(line.split()) > 4 for line in (judges + pipelines).splitlines())
    shown = loopguard("pipelines", "show", "liquid").stdout
    assert package.load_recipe("liquid").name == "liquid"
    (tmp_path / "mine.toml").write_text(shown)
    assert package.load_recipe(str(tmp_path / "mine.toml")) == package.load_recipe("liquid")
    assert "template" in loopguard("judges", "show", "helpfulness").stdout
    wrong = loopguard("judges", "show", "kindness")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == (
        "loopguard: no judge named 'kindness'; there are conciseness, helpfulness, reasoning, or pass a path to a .toml\n"
    )


# -- a run and its exit codes


def test_a_run_says_what_it_did_and_where(prompts: Path, script: Path, tmp_path: Path) -> None:
    done = build(prompts, script, tmp_path / "run", "--samples", 2, "--set", "judge.max_retries=2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for part in ("4 distinct", "loop rate greedy", "100.0% (4 of 4;", "4 from 4 prompts: 4 by loop", "calls saved"):
        assert part in done.stdout
    assert f"Files: {tmp_path / 'run'}/preferences.parquet" in done.stdout
    assert "Next:  python -c" in done.stdout
    assert "to the end" in done.stdout
    assert "\x1b" not in done.stdout
    saved = package.load_recipe(str(tmp_path / "run" / "recipe.toml"))
    assert (saved.sampling.samples, saved.judge.max_retries) == (2, 2)


def test_no_colour_and_no_bar_in_a_pipe_even_when_the_environment_wants_some(
    prompts: Path, script: Path, tmp_path: Path
) -> None:
    done = build(prompts, script, tmp_path / "run", CLICOLOR="1", TERM="xterm-256color")
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr


def test_a_bar_on_a_terminal(prompts: Path, script: Path, tmp_path: Path) -> None:
    lead, follow = pty.openpty()
    command = [sys.executable, "-m", "loopguard", "build-prefs", str(prompts), "--engine", f"scripted:{script}"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], stdout=follow, stderr=follow, env=environment(TERM="xterm-256color")
    )
    os.close(follow)
    seen = b""
    while True:
        try:
            piece = os.read(lead, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(lead)
    assert process.wait(PATIENCE) == 0
    text = seen.decode()
    assert "asking" in text or "writing" in text
    assert "\x1b[" in text
    assert "loop rate" in text


def test_quiet_and_json(prompts: Path, script: Path, tmp_path: Path) -> None:
    quiet = build(prompts, script, tmp_path / "run", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    again = build(prompts, script, tmp_path / "run", "--json", "--quiet")
    assert json.loads(again.stdout) == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert again.stderr == ""


def test_a_second_run_asks_nothing_and_says_so(prompts: Path, script: Path, tmp_path: Path) -> None:
    build(prompts, script, tmp_path / "run")
    before = tables(tmp_path / "run")
    again = build(prompts, script, tmp_path / "run")
    assert again.returncode == 0
    assert "4 of 4 prompts are in the ledger already; 0 to go" in again.stderr
    assert Run(tmp_path / "run").summary["this_session"]["sampling"]["requests"] == 0
    assert tables(tmp_path / "run") == before


def test_offline_asks_nothing_and_says_what_is_missing(prompts: Path, script: Path, tmp_path: Path) -> None:
    done = build(prompts, script, tmp_path / "run", "--offline")
    assert done.returncode == 3
    assert "0 prompts failed, 4 not asked yet" in done.stdout
    assert done.stderr.startswith("to go on: loopguard build-prefs ")
    build(prompts, script, tmp_path / "run")
    rules = build(prompts, script, tmp_path / "run", "--offline", "--max-pairs", 3)
    assert rules.returncode == 0, rules.stderr


def test_options_override_the_recipe_and_set_reaches_every_key(prompts: Path, script: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\n[sampling]\nsamples = 3\nmax_tokens = 50\ntemperature = 0.7\n')
    more = [
        "--pipeline",
        tmp_path / "mine.toml",
        "--samples",
        2,
        "--temperature",
        "0.5,1.0",
        "--no-greedy",
        "--top-p",
        0.9,
    ]
    more += ["--set", "output.think_open=<thought>", "--set", "sampling.max_tokens=60", "--judge", "none", "--seed", 5]
    assert build(prompts, script, tmp_path / "run", *more).returncode == 0
    saved = package.load_recipe(str(tmp_path / "run" / "recipe.toml"))
    drawn = (saved.sampling.samples, saved.sampling.temperature, saved.sampling.greedy, saved.sampling.top_p)
    assert drawn == (2, (0.5, 1.0), False, 0.9)
    assert (saved.sampling.max_tokens, saved.sampling.seed, saved.judge.spec) == (60, 5, "none")
    assert (saved.output.think_open, saved.name) == ("<thought>", "mine")
    assert Run(tmp_path / "run").candidates.height == 8


def test_without_out_the_run_is_named_for_its_recipe(prompts: Path, script: Path, tmp_path: Path) -> None:
    arguments = ["build-prefs", prompts, "--engine", f"scripted:{script}"]
    assert loopguard(*arguments, cwd=tmp_path, PYTHONPATH=os.getcwd()).returncode == 0
    assert loopguard(*arguments, "-p", "liquid", cwd=tmp_path, PYTHONPATH=os.getcwd()).returncode == 0
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"default", "liquid"}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere.jsonl"], ["nowhere.jsonl"]),
        (["here.docx"], ["here.docx", ".jsonl"]),
        (["no_column.jsonl"], ["no prompt column", "its columns are id, body", "--prompt-column"]),
        (["prompts.jsonl", "--prompt-column", "promt"], ["no column promt", "its columns are prompt"]),
        (["prompts.jsonl", "--pipeline", "liqid"], ["no pipeline named 'liqid'", "demo, liquid, server"]),
        (["prompts.jsonl", "--engine", "opnai:http://x/v1"], ["unknown engine 'opnai:http://x/v1'", "openai:BASE_URL"]),
        (["prompts.jsonl", "--temperature", "warm"], ["--temperature 'warm'", "0.6,1.0"]),
        (["prompts.jsonl", "--set", "engine.timeout"], ["KEY=VALUE"]),
        (["prompts.jsonl", "--set", "engine.timeot=3"], ["unknown key 'engine.timeot'", "did you mean engine.timeout"]),
        (["prompts.jsonl", "--set", "engine.timeout=soon"], ["engine.timeout", "valid number", "(seen: 'soon')"]),
        (["prompts.jsonl", "--samples", "-1"], ["sampling.samples", "(seen: -1)"]),
        (["empty.jsonl"], ["empty.jsonl is empty"]),
    ],
)
def test_wrong_input_is_one_line_and_exit_1(
    arguments: list[str], parts: list[str], script: Path, tmp_path: Path
) -> None:
    write_prompts(tmp_path / "prompts.jsonl", questions(2))
    (tmp_path / "here.docx").write_text("?")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "no_column.jsonl").write_text('{"id": 1, "body": "What?"}\n')
    file, *options = arguments
    engine = [] if "--engine" in options else ["--engine", f"scripted:{script}"]
    done = loopguard("build-prefs", tmp_path / file, *engine, *options, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("loopguard: ")
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_wrong_option_is_exit_1_too() -> None:
    for arguments in (
        ["build-prefs"],
        ["build-prefs", "x.jsonl", "--samles", 3],
        ["buld"],
        ["build-prefs", "x", "--limit", 0],
    ):
        done = loopguard(*arguments)
        assert done.returncode == 1, arguments
        assert "Traceback" not in done.stderr


def test_rows_that_hold_no_prompt_are_told_and_the_rest_goes_on(script: Path, tmp_path: Path) -> None:
    rows = [b'{"prompt": "One?"}', b'{"prompt": ', b'{"prompt": null}', b'{"prompt": "  "}', b'{"prompt": 7}']
    rows += [rb'{"prompt": "lone \ud800"}', rb'{"prompt": "nul \u0000"}', b'{"prompt": "One?"}', b'{"prompt": "Two?"}']
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(rows) + b"\n")
    done = build(path, script, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "2 distinct, and 7 rows without one" in done.stdout
    skipped = Run(tmp_path / "run").skipped
    assert skipped["row"].to_list() == [2, 3, 4, 5, 6, 7, 8]
    assert set(skipped["status"]) == {"skipped"}
    assert all(skipped["reason"].to_list())
    assert skipped["reason"].to_list()[-1] == "duplicate"


# -- dry runs


def test_a_dry_run_counts_exactly_and_asks_nothing(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", ["x" * 400, "y" * 40, "x" * 400])
    with serve() as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--out", tmp_path / "run"]
        arguments += ["--samples", 5, "--temperature", "0.6,0.9", "--max-tokens", 100]
        done = loopguard(*arguments, "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "prompts": 2,
            "broken_rows": 1,
            "already_done": 0,
            "sampling_requests": 6,  # two temperatures and greedy, a prompt
            "candidates": 12,
            "judge_requests": 12,
            "sampling_prompt_tokens": 3 * (100 + 8) + 3 * (10 + 8),
            "sampling_completion_tokens": 1200,
            "judge_prompt_tokens": 6 * (108 + 100 + 400) + 6 * (18 + 100 + 400),
        }
        words = loopguard(*arguments, "--dry-run").stdout
        assert "6 requests for 12 candidates" in words
        assert "Nothing was asked." in words
        assert server.requests == []
        assert not (tmp_path / "run").exists()

        assert loopguard(*arguments).returncode == 0
        sampling = [entry for entry in server.requests if "top_logprobs" not in entry["body"]]
        assert len(sampling) == 6
        assert sum(entry["body"].get("n", 1) for entry in sampling) == 12
        after = json.loads(loopguard(*arguments, "--dry-run", "--json").stdout)
        assert (after["already_done"], after["sampling_requests"], after["judge_requests"]) == (2, 0, 0)


@pytest.mark.parametrize("option", [["--set", "detector.nothing=1"], ["--judge", "kindness"], ["--samples", "0"]])
def test_a_dry_run_finds_what_is_wrong_with_the_recipe(option: list[str], prompts: Path, script: Path) -> None:
    done = loopguard("build-prefs", prompts, "--engine", f"scripted:{script}", "--dry-run", *option)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


# -- status


def test_status_before_during_and_after(tmp_path: Path) -> None:
    run_dir, prompts = tmp_path / "run", write_prompts(tmp_path / "prompts.jsonl", questions(12))
    none = loopguard("status", run_dir)
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr == f"loopguard: {run_dir}: no run directory (it holds no ledger.sqlite)\n"
    with serve(["hang,contains=Question 7"]) as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", 3, "--out", run_dir]
        with Running(*arguments) as process:
            assert process.wait_until(lambda: len(server.requests) > 40), process.stderr()
            during = json.loads(loopguard("status", run_dir, "--json").stdout)
            assert process.alive()
        assert (during["total"], during["failed"]) == (12, 0)
        assert during["working"] is True
        assert 0 < during["missing"] < 12
        assert during["done"] + during["missing"] == 12
        assert during["sampled"]["total"] == 5 * during["done"]
        assert during["answers"] >= 6 * during["done"]
    with serve(port=int(server.url.split(":")[2].split("/")[0])):
        assert loopguard(*arguments).returncode == 0
    after = loopguard("status", run_dir)
    assert "12 of 12 prompts done, 0 missing, 0 failed" in after.stdout
    assert "everything is answered" in after.stdout
    rates = Run(run_dir).summary["loop_rate"]
    for decoding in ("greedy", "sampled"):
        assert f"({rates[decoding]['looping']} of {rates[decoding]['total']};" in after.stdout


# -- text that comes from models


def test_what_a_model_says_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[bold red]hi[/bold red] [link=http://x]y[/link] \u202e\x9b31m \ud800"
    script, prompts = tmp_path / "script.jsonl", tmp_path / "prompts.jsonl"
    looping = {"content": evil + " over and over and over again." * 60, "finish_reason": "length"}
    script.write_text(json.dumps({"samples": [f"{evil} a", f"{evil} b"], "greedy": looping}) + "\n")
    prompts.write_text(json.dumps({"prompt": "[/] \x1b[31mred\x1b[0m [blink]?"}) + "\n")
    done = build(prompts, script, tmp_path / "run", "--judge", "none")
    assert done.returncode == 0, done.stderr
    assert not {c for c in done.stdout + done.stderr if c != "\n" and not c.isprintable()}
    for part in ("␛[2J", "[bold red]hi[/bold red]", "[link=http://x]", "\\u202e", "[/] ␛[31mred␛[0m [blink]?"):
        assert part in done.stdout


def test_an_error_in_a_models_words_is_printed_harmlessly(prompts: Path, tmp_path: Path) -> None:
    with serve(["500,words=\x1b[2Jgone [red]mad"]) as server:
        done = loopguard(
            *("build-prefs", prompts, "--engine", f"openai:{server.url}", "--out", tmp_path / "run"),
            *("--set", "engine.max_retries=0"),
        )
    assert done.returncode == 3
    assert not {c for c in done.stdout + done.stderr if c != "\n" and not c.isprintable()}


def test_a_narrow_encoding_is_no_reason_to_fail(prompts: Path, script: Path, tmp_path: Path) -> None:
    done = build(prompts, script, tmp_path / "läuft", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "loop rate" in done.stdout


def test_a_reader_that_leaves_early_is_no_error(prompts: Path, script: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loopguard", "pipelines", "show", "liquid"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=PATIENCE)
    assert b"Traceback" not in stderr
    assert process.returncode in (0, 1)
