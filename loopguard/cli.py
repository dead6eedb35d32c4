"""The command: thin verbs over the library. Heavy imports wait until a verb needs them.

Exit codes: 0 all done; 1 something the user can mend; 3 done, but some prompts failed or are missing; 130 interrupted.
"""

from __future__ import annotations

import gc
import io
import json
import os
import shlex
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loopguard import __version__
from loopguard.check_command import EXIT_CODES as CHECK_EXIT_CODES
from loopguard.check_command import check
from loopguard.errors import InputError, LoopguardError
from loopguard.estimate_command import dry_run_of
from loopguard.export_command import export
from loopguard.push_command import Private, PushToHub, push, push_after
from loopguard.report_command import report
from loopguard.scan_command import EXIT_CODES as SCAN_EXIT_CODES
from loopguard.scan_command import scan
from loopguard.shipped_command import judges, pipelines
from loopguard.tune_command import tune_vllm

if TYPE_CHECKING:
    from loopguard.prefs.recipe import Recipe

EXIT_CODES = "Exit codes: 0 all done, 1 wrong input or no engine, 3 done but some prompts failed, 130 interrupted."

app = typer.Typer(
    help="Find doom loops in language-model outputs and turn them into preference data that trains them away.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Start with: loopguard build-prefs prompts.jsonl --out runs/mine",
)
app.add_typer(judges, name="judges")
app.add_typer(pipelines, name="pipelines")
app.command("scan", epilog=SCAN_EXIT_CODES)(scan)
app.command("check", epilog=CHECK_EXIT_CODES)(check)
app.command("tune-vllm")(tune_vllm)
app.command("push")(push)
app.command("export")(export)
app.command("report")(report)

IN, WHO, DRAW, JUDGE, PAIR, RUN = "Prompts", "Engine", "Sampling", "Judge", "Pairs", "Run"


def _version(value: bool) -> None:
    if value:
        print(f"loopguard {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("build-prefs", epilog=EXIT_CODES)
def build_prefs(
    prompts: Annotated[
        str,
        typer.Argument(
            metavar="PROMPTS",
            help="Prompts: a .jsonl, .json, .csv, .tsv or .parquet file (.gz too), or hf:user/dataset[:split].",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory; runs/NAME-OF-RECIPE if not given.", rich_help_panel=RUN),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline",
            "-p",
            help="Recipe: demo, liquid, server, cluster, or a path to a .toml. Not given: the run directory's, else the default.",
            rich_help_panel=RUN,
        ),
    ] = None,
    prompt_column: Annotated[
        str | None, typer.Option(help="Column of the prompts, if its name is not found.", rich_help_panel=IN)
    ] = None,
    reference_column: Annotated[
        str | None, typer.Option(help="Column of right answers, for judges that take one.", rich_help_panel=IN)
    ] = None,
    keep_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Other columns that come along, to group by; or none. Not given: all of short, single values.",
            rich_help_panel=IN,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many distinct prompts.", rich_help_panel=IN)
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="embedded[:PATH.gguf|:hf:repo/file], openai:BASE_URL (vLLM, llama.cpp, Ollama, ...), scripted:FILE.",
            rich_help_panel=WHO,
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model's name at the server.", rich_help_panel=WHO)] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Requests in flight at one time.", rich_help_panel=WHO)
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable that holds the key.", show_default="OPENAI_API_KEY", rich_help_panel=WHO
        ),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Candidates at a temperature.", rich_help_panel=DRAW)] = None,
    temperature: Annotated[
        str | None, typer.Option(help="One temperature, or several with commas: 0.6,1.0", rich_help_panel=DRAW)
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus of the samples.", rich_help_panel=DRAW)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens in one candidate.", rich_help_panel=DRAW)] = None,
    greedy: Annotated[
        bool | None,
        typer.Option("--greedy/--no-greedy", help="One more candidate at temperature 0.", rich_help_panel=DRAW),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="All candidates' seeds derive from it.", rich_help_panel=DRAW)
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="helpfulness, reasoning, conciseness, a path to a .toml, or none (pairs from loops only).",
            rich_help_panel=JUDGE,
        ),
    ] = None,
    judge_engine: Annotated[
        str | None, typer.Option(help="As --engine; the sampling engine if not given.", rich_help_panel=JUDGE)
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Judge's model at its server.", rich_help_panel=JUDGE)] = None,
    judge_api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the judge's key.", rich_help_panel=JUDGE)
    ] = None,
    min_margin: Annotated[
        float | None, typer.Option(help="Least score difference of a pair without loops.", rich_help_panel=PAIR)
    ] = None,
    max_pairs: Annotated[int | None, typer.Option(help="Most pairs from one prompt.", rich_help_panel=PAIR)] = None,
    trim_loops: Annotated[
        int | None,
        typer.Option(help="Cut rejected loops after so many copies; 0 keeps them whole.", rich_help_panel=PAIR),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AMOUNT",
            help="Most that all sessions may spend: 5000requests, 2Mtokens, 20usd (any currency: that of engine.price_prompt"
            " and price_completion, per million tokens); none lifts it. May be given several times.",
            rich_help_panel=RUN,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any key of the recipe: --set engine.timeout=60", rich_help_panel=RUN
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say how many requests and tokens it would take; ask nothing.", rich_help_panel=RUN
        ),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nothing: build from the answers that are there.", rich_help_panel=RUN)
    ] = False,
    runner: Annotated[
        str | None,
        typer.Option(
            help="local (this process) or ray (workers of Ray Data).", show_default="local", rich_help_panel=RUN
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="Ray cluster that this machine belongs to; a Ray of its own if not given.",
            rich_help_panel=RUN,
        ),
    ] = None,
    push_to_hub: PushToHub = None,
    private: Private = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.", rich_help_panel=RUN)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=RUN)] = False,
) -> None:
    """Sample 5 + 1 candidates a prompt, find the loops, judge the rest, write chosen/rejected pairs.

    Run the same command again after a crash, or with another judge or other pairing rules: only what is missing is asked.

        loopguard build-prefs prompts.jsonl --out runs/mine

        loopguard build-prefs gsm8k.jsonl --prompt-column question --limit 50 --engine openai:http://localhost:8000/v1
    """
    from loopguard.prefs.budget import read_budget
    from loopguard.prefs.build import recipe_for, run_directory

    changes = {
        "runner": runner,
        "ray.address": ray_address,
        "engine.engine": engine,
        "engine.model": model if model is not None else ("" if engine is not None else None),
        "engine.concurrency": concurrency,
        "engine.api_key_env": api_key_env,
        "sampling.samples": samples,
        "sampling.temperature": _temperatures(temperature),
        "sampling.top_p": top_p,
        "sampling.max_tokens": max_tokens,
        "sampling.greedy": greedy,
        "sampling.seed": seed,
        "judge.spec": judge,
        "judge.engine": judge_engine,
        "judge.model": judge_model,
        "judge.api_key_env": judge_api_key_env,
        "pairing.min_margin": min_margin,
        "pairing.max_pairs_per_prompt": max_pairs,
        "pairing.trim_loops": trim_loops,
        **_settings(settings or []),
        **read_budget(budget or []),
    }
    run_dir = run_directory(pipeline, out)
    given = {key: value for key, value in changes.items() if value is not None}
    recipe = recipe_for(run_dir, pipeline).override(given, where="options")
    columns: dict[str, Any] = {"prompt_column": prompt_column, "reference_column": reference_column, "limit": limit}
    columns["keep_columns"] = [] if keep_column == ["none"] else keep_column or None
    if dry_run:
        dry_run_of(prompts, recipe, run_dir, columns, as_json=as_json)
        return
    with push_after(push_to_hub, run_dir, private=private, quiet=quiet):
        _build(prompts, recipe, run_dir, columns, offline=offline, quiet=quiet, as_json=as_json)


def _build(
    prompts: str, recipe: Recipe, run_dir: Path, columns: dict[str, Any], *, offline: bool, quiet: bool, as_json: bool
) -> None:
    from loopguard.loops.quick_start import numba_without_scipy, quick_arrow
    from loopguard.prefs.build import build_prefs as build
    from loopguard.terminal import TerminalWatcher, out, print_sample_pair, print_summary

    numba_without_scipy()
    quick_arrow()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's notice to leave is handled like Ctrl-C
    watcher = TerminalWatcher(quiet=quiet)
    try:
        run = build(prompts, recipe, out=run_dir, offline=offline, watcher=watcher, **columns)
    except KeyboardInterrupt:
        watcher.close()
        _complain(f"stopped at once; to go on: {_same_command()}")
        os._exit(130)  # a thread may still be loading a model; the ledger and the tables stand a kill
    finally:
        watcher.close()
    summary = run.summary
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    elif not quiet:
        print_summary(run, out())
        print_sample_pair(run, out())
        _say_where(run_dir, summary)
    stopped, counts = summary["stopped"], summary["prompts"]
    if stopped and stopped != "interrupted":
        _complain(stopped)
    if (stopped or counts["failed"] or counts["missing"]) and not (stopped or "").startswith("budget: "):
        _tell(f"to go on: {_same_command()}")
    if stopped == "interrupted":
        raise typer.Exit(130)
    if counts["failed"] or counts["missing"]:
        raise typer.Exit(3)
    if counts["broken_rows"] and not counts["total"]:
        _complain(
            f"{prompts}: none of its {counts['broken_rows']:,} rows holds a prompt; {run_dir}/skipped.parquet says why"
        )
        raise typer.Exit(1)


def _say_where(run_dir: Path, summary: dict[str, Any]) -> None:
    from loopguard.terminal import out

    console = out()
    files = "preferences.parquet (and .jsonl), candidates.parquet, skipped.parquet, summary.json"
    console.print(f"\nFiles: {run_dir}/{files}", markup=False, soft_wrap=True)
    console.print(f"Look:  loopguard report {shlex.quote(str(run_dir))} --open", markup=False, soft_wrap=True)
    if summary["pairs"]["total"]:
        load = f"load_dataset('parquet', data_files='{run_dir}/preferences.parquet', split='train')"
        console.print(
            f'Next:  python -c "from datasets import load_dataset; print({load})"', markup=False, soft_wrap=True
        )


def _temperatures(text: str | None) -> Any:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--temperature {text!r}: one number, or several with commas, such as 0.6,1.0") from None
    return numbers[0] if len(numbers) == 1 else numbers


def _settings(pairs: list[str]) -> dict[str, Any]:
    """`--set engine.timeout=60`: values are read as TOML, what is no TOML is a string."""
    import tomllib

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair!r}: KEY=VALUE is wanted, such as engine.timeout=60")
        try:
            found[key.strip()] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = value
    return found


@app.command("status")
def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How far a run is: done, missing, failed, and the loop rate so far. Also while it works."""
    from loopguard.prefs.run import Run
    from loopguard.terminal import out, print_status

    found = Run(run)
    if as_json:
        print(json.dumps(asdict(found.status()), indent=2))
    else:
        print_status(found, found.status(), out())


_ORDER = ("build-prefs", "status", "report", "scan", "tune-vllm", "check", "export", "push")
app.registered_commands.sort(key=lambda verb: _ORDER.index(verb.name) if verb.name in _ORDER else len(_ORDER))


def _same_command() -> str:
    return shlex.join(["loopguard", *sys.argv[1:]])


def _tell(text: str) -> None:
    from loopguard.terminal import visible

    print(visible(text), file=sys.stderr)


def _complain(text: str) -> None:
    _tell(f"loopguard: {' '.join(text.split())}")


def main() -> None:
    """The entry point: errors on purpose become one line, everything else is a bug and shows itself."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show is no reason to fail
    try:
        app()
    except SystemExit as leave:
        sys.exit(1 if leave.code == 2 else leave.code)  # a wrong option is wrong input like any other
    except LoopguardError as error:
        _complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(130)
    except BrokenPipeError:  # `loopguard ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        gc.freeze()  # looking for cycles once more as everything ends takes a tenth of a small run, and frees nothing in time
