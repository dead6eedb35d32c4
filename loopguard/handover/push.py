"""A run as a dataset on the Hub: one commit of Parquet files and card, nothing at all where nothing changed.

    push("runs/mine", "user/name")        # -> Pushed(url, commit, changed, ...)

Only files that differ are uploaded, and blobs that an interrupted push has left there are not uploaded again: equal runs give
equal files. The run directory is read, never changed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from loopguard.errors import InputError
from loopguard.files import write_text
from loopguard.handover.card import UNKNOWN, Facts, Licence, card, hub_dataset
from loopguard.handover.finished import finished_run
from loopguard.handover.hub import CARD, Hub, Pushed, check_name
from loopguard.handover.pair_figures import pair_figures, score_figures
from loopguard.handover.parquet_files import write_files
from loopguard.prefs.recipe import parse_recipe, read_toml
from loopguard.prefs.run import RECIPE


def prepare(
    run_dir: Path, repo: str, folder: Path, *, test_share: float = 0.0, licence: Licence = UNKNOWN
) -> dict[str, Path]:
    """Write card and Parquet files of a run under `folder`; their paths by name in the dataset. Asks nobody anything.

    Raises InputError for a run that has nothing to push, RunInUse while it is going, StorageError for a full disk.
    """
    with finished_run(run_dir) as run:
        files = write_files(run.path, folder, test_share=test_share)
        facts = Facts(
            repo=repo,
            summary=run.summary,
            recipe=parse_recipe(read_toml(run.path / RECIPE), where=str(run.path / RECIPE)),
            files=files,
            pairs=pair_figures(run.path),
            scores=score_figures(run.path),
            licence=licence,
            test_share=test_share,
        )
    write_text(folder / CARD, card(facts))
    return {CARD: folder / CARD} | {file.name: file.path for file in files}


def dry_run(
    run_dir: Path, repo: str, folder: Path, *, test_share: float = 0.0, licence: str | None = None
) -> dict[str, Path]:
    """As `push`, but the files stay in `folder` and the Hub is asked nothing: the prompts' licence is not known."""
    check_name(repo)
    given = Licence(name=checked_licence(licence), said_by="option") if licence else UNKNOWN
    return prepare(run_dir, repo, folder, test_share=checked_share(test_share), licence=given)


def push(
    run_dir: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    test_share: float = 0.0,
    licence: str | None = None,
    note: Callable[[str], None] = print,
) -> Pushed:
    """Make the dataset `repo` hold what the run holds, in one commit on the state that was looked at.

    Args:
        run_dir: a finished run.
        repo: user/name; made where there is none.
        private: for a new dataset; an error for one that is public.
        revision: a branch, made where there is none, or refs/pr/N; main if not given.
        create_pr: open a pull request instead of committing.
        test_share: share of the prompts whose rows go into the split `test`.
        licence: the dataset's licence; else that of the prompts' dataset on the Hub, else unknown.
        note: takes lines for a person.

    Raises:
        InputError: no such run, nothing to push, no repository name, a dataset that is not ours.
        HubError: no token, no right, no network, too many requests. Nothing is half-written then.
    """
    check_name(repo)
    test_share = checked_share(test_share)
    given = Licence(name=checked_licence(licence), said_by="option") if licence else None
    if create_pr and revision not in (None, "main"):
        raise InputError(f"--create-pr asks for a change of main; leave out --revision {revision}")
    with finished_run(run_dir) as run:
        source = hub_dataset(run.summary["prompts_from"])
    hub = Hub(repo, note)
    target = hub.look(revision, private=private, create_pr=create_pr)
    found = given or (hub.licence_of(source) if source else UNKNOWN)
    with tempfile.TemporaryDirectory(prefix="loopguard-push-") as folder:
        files = prepare(run_dir, repo, Path(folder), test_share=test_share, licence=found)
        if not target.exists:
            target = hub.create(revision, private=private)
        return hub.bring(files, target, revision=revision, create_pr=create_pr)


def check_before_a_run(repo: str) -> None:
    """What can be known before any answer is paid for: the name is one, the token is taken and may write there.

    Raises InputError or HubError.
    """
    check_name(repo)
    Hub(repo, lambda _: None).check_token()


def checked_share(share: float) -> float:
    """Raises InputError unless 0 <= share < 1."""
    if not 0 <= share < 1:
        raise InputError(f"--split {share:g}: a share of the prompts from 0 up to, but not, 1; such as 0.05")
    return share


def checked_licence(licence: str) -> str:
    """Raises InputError for what is no licence identifier; whether there is such a licence the Hub says."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,63}", licence):
        raise InputError(f"--license {licence!r}: the Hub's identifier of one, such as apache-2.0, cc-by-4.0 or other")
    return licence
