"""`loopguard push`: a run as a dataset on the Hub, in one commit; or its files in a folder, to look at first."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from loopguard.handover.hub import Pushed

WHERE, WHAT, HOW, RUN = "Dataset", "Content", "Output", "Run"

PushToHub = Annotated[
    str | None,
    typer.Option(
        "--push-to-hub", metavar="USER/NAME", help="When it is done, push it as a dataset.", rich_help_panel=RUN
    ),
]
Private = Annotated[
    bool, typer.Option("--private", help="With --push-to-hub: a new dataset is private.", rich_help_panel=RUN)
]


def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.", show_default=False)],
    repo: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="Dataset on the Hub, made if there is none.", show_default=False)
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Make the new dataset a private one.", rich_help_panel=WHERE)
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, made if there is none, or refs/pr/N.", show_default="main", rich_help_panel=WHERE),
    ] = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request instead of committing.", rich_help_panel=WHERE)
    ] = False,
    split: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of the prompts for a split `test`, such as 0.05.", rich_help_panel=WHAT
        ),
    ] = 0.0,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            help="The dataset's licence, such as apache-2.0.",
            show_default="that of the prompts' dataset, else unknown",
            rich_help_panel=WHAT,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be pushed; the Hub is asked nothing.", rich_help_panel=HOW),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="With --dry-run: leave card and files in this folder.", rich_help_panel=HOW),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no result.", rich_help_panel=HOW)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=HOW)] = False,
) -> None:
    """Push pairs, candidates and skipped prompts with a card, in one commit. Nothing changed: no commit.

    The token is that of HF_TOKEN or of `hf auth login`. After a failure the same command goes on where it was.

        loopguard push runs/mine user/name --private

        loopguard push runs/mine user/name --dry-run --out dataset
    """
    from loopguard.errors import InputError
    from loopguard.loops.quick_start import quick_arrow

    if out is not None and not dry_run:
        raise InputError("--out is for --dry-run: a push leaves no files here")
    quick_arrow()
    if dry_run:
        _dry_run(run, repo, split=split, licence=licence, out=out, as_json=as_json, quiet=quiet)
        return
    done = push_run(
        run,
        repo,
        private=private,
        revision=revision,
        create_pr=create_pr,
        split=split,
        licence=licence,
        quiet=quiet,
    )
    if as_json:
        print(json.dumps(done.as_dict(), indent=2))
    elif not quiet:
        print(_told(done))


def push_run(
    run: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    split: float = 0.0,
    licence: str | None = None,
    quiet: bool = False,
) -> Pushed:
    """`handover.push.push`, with the client's progress bars where a person looks on."""
    from loopguard.handover.hub import tidy_client
    from loopguard.handover.push import push as push_to_hub

    note = (lambda _: None) if quiet else _note
    tidy_client(note, bars=sys.stderr.isatty() and not quiet)
    return push_to_hub(
        run,
        repo,
        private=private,
        revision=revision,
        create_pr=create_pr,
        test_share=split,
        licence=licence,
        note=note,
    )


@contextlib.contextmanager
def push_after(repo: str | None, run: Path, *, private: bool, quiet: bool) -> Iterator[None]:
    """build-prefs --push-to-hub: name and token are looked at before the block, the push comes after it.

    Raises InputError or HubError: before anything was asked, or with the command that pushes the finished run.
    """
    from loopguard.errors import HubError, InputError, LoopguardError

    if repo is None:
        if private:
            raise InputError("--private is for --push-to-hub USER/NAME")
        yield
        return
    from loopguard.handover.push import check_before_a_run

    check_before_a_run(repo)
    later = shlex.join(["loopguard", "push", str(run), repo, *(["--private"] if private else [])])
    try:
        yield
    except typer.Exit:
        _note(f"not pushed, since the run is not finished; as it is: {later}")
        raise
    try:
        done = push_run(run, repo, private=private, quiet=quiet)
    except LoopguardError as error:
        raise HubError(f"{error}. The run itself is complete; to push it: {later}") from None
    if not quiet:
        print(_told(done), file=sys.stderr)


def _told(done: Pushed) -> str:
    if done.commit is None:
        return f"Nothing has changed since the last push: no commit. {done.url}"
    gone = f", {len(done.deleted)} of an earlier push removed" if done.deleted else ""
    return f"Pushed {len(done.changed)} new or changed files{gone}: {done.url} (commit {done.commit[:12]})"


def _dry_run(
    run: Path, repo: str, *, split: float, licence: str | None, out: Path | None, as_json: bool, quiet: bool
) -> None:
    import tempfile

    from loopguard.errors import InputError, StorageError
    from loopguard.handover.push import dry_run

    if out is not None and os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise InputError(f"--out {out}: a new or empty folder is wanted")
    try:
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".loopguard-push-", dir=out.parent if out else None) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            files = dry_run(run, repo, made, test_share=split, licence=licence)
            sizes = {name: path.stat().st_size for name, path in files.items()}
            if out is not None:  # under its name only when it is whole
                made.rename(out)
    except OSError as error:
        raise StorageError(f"--out {out}: {error.strerror}") from error
    if as_json:
        print(json.dumps({"repo": repo, "files": sizes}, indent=2))
    elif not quiet:
        for name, size in sizes.items():
            print(f"{size:>14,}  {name}")
        print(
            f"These files in one commit would be {repo}. The Hub was asked nothing" + (f"; see {out}/" if out else "")
        )


def _note(text: str) -> None:
    from loopguard.visible import visible

    print(f"loopguard: {visible(' '.join(text.split()))}", file=sys.stderr)
