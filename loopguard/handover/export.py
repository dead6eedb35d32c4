"""`export_run`: a finished run in the form that one trainer reads, with the configuration to paste.

    exported = export_run("runs/mine", "llama-factory")
    exported.folder, exported.rows, exported.snippet

The folder appears whole under its name or not at all; the run is read, never changed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from loopguard.counted import counted
from loopguard.errors import InputError
from loopguard.files import JsonlWriter, TableWriter, storage_error, write_text
from loopguard.handover.finished import finished_run
from loopguard.handover.formats import PRETOKENIZED, Format, arrow_schema, find_format, kto_rows_of_all
from loopguard.handover.lengths import lengths, round_up
from loopguard.handover.markdown import code
from loopguard.handover.run_rows import outcomes, pairs
from loopguard.handover.snippets import Facts, snippet
from loopguard.prefs.continuing import saved_recipe
from loopguard.prefs.recipe import Recipe

if TYPE_CHECKING:
    from loopguard.handover.run_rows import Row
    from loopguard.handover.tokenizers_at_hand import Tokenizer
    from loopguard.prefs.run import Run

__all__ = ["Exported", "Options", "export_run"]

NOTES = "README.md"
TEMPLATE_SAYS = "the chat template: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a format may be asked for beside its plain form."""

    pretokenized: bool = False
    """trl: token ids instead of messages; a cut rejected text has no end-of-sequence token."""
    tokenizer: str = ""
    """pretokenized and ftpo: a folder, user/model on the Hub, a .gguf file, or embedded."""
    all_loops: bool = False
    """kto: every looping candidate is a false row, not only those in pairs."""
    engine: str = ""
    """ftpo: ask this engine for the alternatives."""
    model: str = ""
    """ftpo: the model's name at the engine."""


@dataclass(slots=True, kw_only=True)
class Exported:
    """What was written, for a person and for a program."""

    format: str
    folder: Path
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Why something of the run is in no row -> how often."""
    cut: int = 0
    """Rows whose rejected text goes on beyond its end."""
    sides: Counter[bool] = field(default_factory=Counter)
    """kto: rows by label."""
    longest: int = 0
    """Tokens of the longest row; 0: not counted."""
    max_length: int = 0
    """The recommended limit, in tokens."""
    files: list[str] = field(default_factory=list)
    snippet: str = ""
    """The configuration to paste."""
    notes: list[str] = field(default_factory=list)


def export_run(
    run: str | Path, format: str, *, out: str | Path | None = None, force: bool = False, options: Options | None = None
) -> Exported:
    """Write a run in one format to the folder `out` (RUN-FORMAT here, if not given); `force` replaces files there.

    Raises:
        InputError: an unknown format, no run, nothing to export, a tokenizer that is not there, an option of another format.
        RunInUse: the run is still going.
        StorageError: the folder cannot be written.
    """
    chosen, options = find_format(format), options or Options()
    _check(chosen, options)
    path = Path(run)
    folder = Path(out) if out is not None else Path(f"{path.resolve().name}-{format}")
    with finished_run(path) as opened:
        _check_target(folder, path, force=force)
        tokenizer = None
        if options.tokenizer:
            from loopguard.handover.tokenizers_at_hand import open_tokenizer

            tokenizer = open_tokenizer(options.tokenizer)
        exported = Exported(format=format, folder=folder)
        with _new_folder(folder) as pending:
            _write(opened, chosen, options, tokenizer, pending, exported)
    return exported


def _check(chosen: Format, options: Options) -> None:
    """Raises InputError for options that say nothing to this format, and for those that it lacks."""
    given = {
        "--pretokenized": (options.pretokenized, ("trl",)),
        "--all-loops": (options.all_loops, ("kto",)),
        "--engine": (bool(options.engine), ("ftpo",)),
        "--model": (bool(options.model), ("ftpo",)),
        "--tokenizer": (bool(options.tokenizer), ("ftpo", "trl")),
    }
    for name, (is_given, formats) in given.items():
        if is_given and chosen.name not in formats:
            raise InputError(f"{name} is for --format {' and '.join(formats)}, not for {chosen.name}")
    if options.tokenizer and chosen.name == "trl" and not options.pretokenized:
        raise InputError("--tokenizer makes --format trl no other without --pretokenized; leave it out, or pass both")
    if options.model and not options.engine:
        raise InputError("--model names a model at an engine: pass --engine too")
    if (options.pretokenized or chosen.name == "ftpo") and not options.tokenizer:
        what = "--pretokenized" if options.pretokenized else "--format ftpo"
        raise InputError(f"{what} needs --tokenizer: that of the model that will be trained (a folder or user/model)")


def _check_target(folder: Path, run: Path, *, force: bool) -> None:
    if folder.suffix in (".parquet", ".jsonl", ".json"):
        raise InputError(f"--out {folder}: a folder is wanted: the data and the configuration go there")
    if folder.resolve() == run.resolve():
        raise InputError(f"--out {folder} is the run itself, which is only read; pass another folder")
    if (
        os.path.isdir(folder) and os.listdir(folder) and not force
    ):  # an answer for every name, unlike the methods of Path
        raise InputError(f"{folder} exists and is not empty; pass --force to replace its files, or another --out")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise InputError(f"{folder} is a file; pass another --out")


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside the final one that takes its name when the block ends well; or its files are moved to one that is there."""
    pending = folder.parent / f".{folder.name}-{secrets.token_hex(4)}.partial"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        pending.mkdir()
    except OSError as error:
        raise storage_error(folder, error) from error
    try:
        yield pending
        if folder.is_dir():
            for file in sorted(pending.iterdir()):
                os.replace(file, folder / file.name)
        else:
            os.rename(pending, folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(pending, ignore_errors=True)


def _write(
    run: Run, chosen: Format, options: Options, tokenizer: Tokenizer | None, pending: Path, exported: Exported
) -> None:
    rows = _rows(run, chosen, options, tokenizer, exported)
    columns = PRETOKENIZED if options.pretokenized else chosen.columns
    path = pending / chosen.data
    with TableWriter(path, arrow_schema(columns)) if path.suffix == ".parquet" else JsonlWriter(path) as file:
        for row in rows:
            file.write(row)
            exported.rows += 1
        if not exported.rows:
            why = "; ".join(f"{count:,}: {reason}" for reason, count in exported.left_out.items())
            raise InputError(f"{run.path}: nothing to export as {chosen.name}{f' ({why})' if why else ''}")
    _recommend(run, chosen, options, exported)
    name = "trl-pretokenized" if options.pretokenized else chosen.name
    facts = Facts(
        folder=exported.folder.as_posix(),
        data=chosen.data,
        max_length=exported.max_length,
        chosen=exported.sides[True],
        rejected=exported.sides[False],
    )
    configs = snippet(name, facts)
    for file_name, text in configs.items():
        write_text(pending / file_name, text)
    exported.snippet = "\n".join(f"# {facts.folder}/{name}\n{text}" for name, text in configs.items())
    exported.files = [chosen.data, *configs, NOTES]
    write_text(pending / NOTES, _readme(run, chosen, exported))


def _rows(run: Run, chosen: Format, options: Options, tokenizer: Tokenizer | None, exported: Exported) -> Iterator[Row]:
    """The rows in order; what is in none of them is counted in `exported`."""
    if chosen.name == "ftpo":
        from loopguard.handover.onset_rows import onset_rows

        assert tokenizer is not None
        yield from onset_rows(run, options, tokenizer, exported)
    elif options.all_loops:
        for prompt, candidates in outcomes(run):
            for row in kto_rows_of_all(prompt.messages, candidates):
                exported.sides[row["label"]] += 1
                yield row
    elif options.pretokenized:
        assert tokenizer is not None
        yield from _token_rows(run, tokenizer, exported)
    else:
        for pair in pairs(run):
            found = chosen.rows(pair)
            exported.cut += bool(found) and bool(pair["rejected_truncated"])
            if not found:
                exported.left_out[chosen.refuses] += 1
            for row in found:
                exported.sides[bool(row.get("label"))] += 1
                yield row


def _token_rows(run: Run, tokenizer: Tokenizer, exported: Exported) -> Iterator[Row]:
    from loopguard.handover.tokenized import PairTokenizer

    tokenize = PairTokenizer(tokenizer)
    for pair in pairs(run):
        try:
            row = tokenize.row(pair)
        except InputError as error:
            exported.left_out[f"{TEMPLATE_SAYS}{error}"] += 1
            continue
        answers = max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        exported.longest = max(exported.longest, len(row["prompt_ids"]) + answers)
        exported.cut += bool(pair["rejected_truncated"])
        yield row


def _recommend(run: Run, chosen: Format, options: Options, exported: Exported) -> None:
    """max_length, and what a person should know of it and of cut texts."""
    recipe, counts = saved_recipe(run.path) or Recipe(), run.summary["prompts"]
    if counts["missing"] or counts["failed"]:
        exported.notes.append(
            f"The run is not done: {counted(counts['missing'], 'prompt', 'is', 'are')} missing, {counts['failed']:,} failed."
        )
    if chosen.name == "ftpo":
        exported.max_length = round_up(exported.longest)
        whose = (
            f"the likeliest tokens of {options.engine}"
            if options.engine
            else "what outputs of the same prompt said there"
        )
        exported.notes.append(f"Alternatives: {whose}.")
        exported.notes.append("Rows whose rejected token is a stop word (the, a, of, ...) are dropped by the loader.")
    elif chosen.name != "argilla":
        found = lengths(run, trim_loops=recipe.pairing.trim_loops, all_loops=options.all_loops)
        whole = exported.longest or found.whole
        exported.max_length = round_up(whole if chosen.ignores_long else min(found.needed, whole))
        exported.notes += _on_lengths(chosen, exported.max_length, whole, known=found.prompts_known)
    if exported.cut and options.pretokenized:
        exported.notes.append(f"{exported.cut:,} rejected texts were cut and carry no end-of-sequence token.")
    elif exported.cut and chosen.cut:
        instead = "; --format trl --pretokenized gives a form without it"
        exported.notes.append(f"{exported.cut:,} rejected texts were cut: {chosen.cut}{instead}.")


def _on_lengths(chosen: Format, max_length: int, whole: int, *, known: bool) -> Iterator[str]:
    holds = "every pair whole" if max_length >= whole else "every chosen answer whole and every loop to its second copy"
    yield f"max_length {max_length:,} holds {holds}, by the engine's token counts; the longest sequence has {whole:,}."
    if not known:
        yield "The engine did not report how long the prompts were: add the longest one to max_length."
    if chosen.ignores_long:
        yield "NeMo-RL cuts nothing: a pair longer than the limit is masked out. Recipes with trim_loops keep loops short."


def _told(reason: str) -> str:
    """A reason as Markdown: what a chat template says of itself stays code."""
    _, of_template, said = reason.partition(TEMPLATE_SAYS)
    return f"{TEMPLATE_SAYS}{code(said)}" if of_template else reason


def _readme(run: Run, chosen: Format, exported: Exported) -> str:
    configs = [name for name in exported.files if name not in (chosen.data, NOTES)]
    lines = [
        f"# {counted(exported.rows, 'row')} for {chosen.consumer}",
        "",
        f"Made by {code(f'loopguard export {run.path.name} --format {chosen.name}')}. Data: `{chosen.data}`."
        f" To paste: {', '.join(f'`{name}`' for name in configs)}.",
        "",
        *(f"- {note}" for note in exported.notes),
        *(f"- left out, {count:,}: {_told(reason)}" for reason, count in exported.left_out.items()),
    ]
    return "\n".join(lines).rstrip() + "\n"
