"""The Hub, asked through its own client: what a dataset holds, one commit that makes it hold what it should.

Its errors are one line each; a Hub that is too busy (HTTP 429) is asked again after the rest that it wants. The token is the
client's own (HF_TOKEN, or that of `hf auth login`) and is in no message and no file. HF_ENDPOINT holds.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from loopguard import __version__
from loopguard.errors import HubError, InputError, LoopguardError
from loopguard.handover.card import UNKNOWN, Licence
from loopguard.handover.parquet_files import is_ours
from loopguard.handover.tokenizers_at_hand import NO_TOKEN, is_sendable

T = TypeVar("T")

CARD = "README.md"
NOT_DATA = (CARD, ".gitattributes")

TRIES = 6
"""Times a request that the Hub is too busy for (429) is made, in all."""

LONGEST_WAIT = 330.0
"""Seconds: the Hub counts requests in windows of five minutes."""

_LOG_IN = "set HF_TOKEN, or log in once with `hf auth login`, to a token that may write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did."""

    url: str
    """Of the dataset, or of the pull request."""
    commit: str | None
    """The new commit; None where nothing was pushed."""
    changed: list[str] = field(default_factory=list)
    """Files that were added or changed; of a dry run, all."""
    deleted: list[str] = field(default_factory=list)
    """Files of an earlier push that are no more."""

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a push goes, as it is there now."""

    exists: bool
    commit: str = ""
    files: frozenset[str] = frozenset()


def check_name(repo: str) -> None:
    """Raises InputError unless it is user/name in the letters that the Hub allows."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
        good = repo.count("/") == 1
    except HFValidationError:
        good = False
    if not good:
        raise InputError(
            f"{repo!r} is no name of a dataset: user/name, of letters, digits, '-', '_' and '.', at most 96 characters"
        )


class Hub:
    """One dataset on the Hub, as the owner of the token sees it. Raises HubError where there is no token."""

    def __init__(self, repo: str, note: Callable[[str], None]) -> None:
        from huggingface_hub import HfApi, get_token

        self.repo, self._note = repo, note
        self._token = get_token()
        if not self._token:
            raise HubError(f"no token for the Hub: {_LOG_IN}")
        if not is_sendable(self._token):
            raise HubError(NO_TOKEN)
        self._api = HfApi(token=self._token)

    def check_token(self) -> None:
        """The token is known to the Hub, may write, and its owner may in this namespace. Raises HubError."""
        try:
            who = self._ask(self._api.whoami)
        except HubError as error:
            if "(HTTP 429)" in str(error):
                return  # asked too often who this is: no reason not to begin
            raise
        role = who.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise HubError(f"the Hub's token may only read: {_LOG_IN}")
        names = [who["name"], *(one["name"] for one in who.get("orgs", []))]
        owner = self.repo.partition("/")[0]
        if owner.casefold() not in {name.casefold() for name in names}:
            raise HubError(f"{self.repo}: the token is one of {', '.join(names)}, which cannot write to {owner}")

    def look(self, revision: str | None, *, private: bool, create_pr: bool) -> Target:
        """What is there. Raises InputError where it is not to be written to, HubError."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            info = self._ask(lambda: self._info(None), RepositoryNotFoundError)
        except RepositoryNotFoundError as error:
            if _status(error) == 401:
                raise self._told(error, self.repo) from None
            if create_pr or (revision or "").startswith("refs/"):
                raise InputError(f"{self.repo}: there is no such dataset to open a pull request in") from None
            return Target(exists=False)
        if private and info.private is False:
            raise InputError(f"{self.repo} is public: make it private in its settings first, or leave out --private")
        self._is_ours(info, create_pr=create_pr)
        if revision not in (None, "main"):
            try:
                info = self._ask(lambda: self._info(revision), RevisionNotFoundError)
            except RevisionNotFoundError:
                if str(revision).startswith("refs/"):
                    raise InputError(f"{self.repo} has no {revision}") from None
                return Target(exists=False)
        return _target(info)

    def _is_ours(self, info: Any, *, create_pr: bool) -> None:
        """Raises InputError for somebody else's data: only a pull request may be made of it."""
        data: Mapping[str, Any] = info.card_data or {}
        names = [one.rfilename for one in info.siblings or []]
        if "loopguard" in (data.get("tags") or []) or create_pr:
            return
        foreign = [name for name in names if name not in NOT_DATA and not is_ours(name)]
        if foreign:
            raise InputError(
                f"{self.repo} holds files that loopguard did not push ({', '.join(foreign[:3])}"
                f"{', ...' if len(foreign) > 3 else ''}); pass another name, or --create-pr to propose the change"
            )
        if CARD in names:
            self._note(f"{self.repo}: its {CARD} is replaced; the old one stays in its history")

    def create(self, revision: str | None, *, private: bool) -> Target:
        """The dataset, or the branch, which was not there. Raises HubError."""
        visibility: dict[str, Any] = {"private": True} if private else {}
        self._ask(lambda: self._api.create_repo(self.repo, repo_type="dataset", exist_ok=True, **visibility))
        if revision not in (None, "main"):
            self._ask(
                lambda: self._api.create_branch(self.repo, branch=str(revision), repo_type="dataset", exist_ok=True)
            )
        return _target(self._ask(lambda: self._info(revision)))

    def licence_of(self, dataset: str) -> Licence:
        """The licence in the card of the prompts' dataset; unknown, with a note, where the Hub tells none."""
        try:
            data: Any = self._ask(lambda: self._api.dataset_info(dataset), about=dataset).card_data or {}
        except HubError as error:
            self._note(f"the licence of the prompts is not known: {error}")
            return UNKNOWN
        found = data.get("license")
        names = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        if not names or not all(isinstance(name, str) for name in names) or names == ["unknown"]:
            self._note(f"the Hub tells no licence of {dataset}: the card says unknown; --license gives one")
            return UNKNOWN
        return Licence(name=names[0] if len(names) == 1 else names, said_by="prompts")

    def bring(self, files: dict[str, Path], target: Target, *, revision: str | None, create_pr: bool) -> Pushed:
        """The one commit, or none where nothing differs. Raises HubError, after which nothing has changed there."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        changed = self._changed(files, target)
        stale = sorted(name for name in target.files if is_ours(name) and name not in files)
        url = f"{self._api.endpoint}/datasets/{self.repo}"
        if not changed and not stale:
            return Pushed(url=url, commit=None)
        operations: list[Any] = [CommitOperationAdd(name, str(files[name])) for name in changed]
        operations += [CommitOperationDelete(name) for name in stale]

        def commit() -> Any:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                done = self._api.create_commit(
                    self.repo,
                    operations,
                    commit_message=f"Push a run (loopguard {__version__})",
                    repo_type="dataset",
                    revision=revision,
                    create_pr=create_pr,
                    parent_commit=target.commit,
                )
            for text in (str(warning.message) for warning in said):
                if "validating metadata" in text:  # the rest is the client's talk with its own libraries
                    self._note(f"the Hub on the card: {text}")
            return done

        done = self._ask(commit)
        return Pushed(url=done.pr_url or url, commit=done.oid, changed=changed, deleted=stale)

    def _changed(self, files: dict[str, Path], target: Target) -> list[str]:
        """The files that are not there, or there with another content: by SHA-256 in LFS and Xet, by git's SHA-1 else."""
        names = [name for name in files if name in target.files]
        there: dict[str, Any] = {}
        for start in range(0, len(names), 500):  # the Hub takes 1,000 at a time
            there |= self._seen(names[start : start + 500], target.commit)
        return [name for name, path in files.items() if name not in there or not _same(path, there[name])]

    def _seen(self, names: list[str], commit: str) -> dict[str, Any]:
        found = self._ask(lambda: self._api.get_paths_info(self.repo, names, revision=commit, repo_type="dataset"))
        return {one.path: one for one in found}

    def _info(self, revision: str | None) -> Any:
        return self._api.repo_info(self.repo, repo_type="dataset", revision=revision)

    def _ask(self, action: Callable[[], T], *let_through: type[Exception], about: str = "") -> T:
        """What the Hub answers, after a rest where it is too busy. Raises HubError, or one of `let_through`."""
        from huggingface_hub.errors import HfHubHTTPError

        # the first base is the root of the errors of the HTTP client in use: requests, httpx, ...
        trouble: Any = (*HfHubHTTPError.__bases__, OSError, ValueError, RuntimeError)
        for attempt in range(1, TRIES + 1):
            try:
                return action()
            except let_through:
                raise
            except LoopguardError:
                raise
            except trouble as error:
                rest = _rest(error, attempt)
                if attempt == TRIES or rest is None:
                    raise self._told(error, about or self.repo) from None
                self._note(f"the Hub has had too many requests (HTTP 429): waiting {rest:.0f} s")
                time.sleep(rest)
        raise AssertionError("unreachable")

    def _told(self, error: BaseException, about: str) -> HubError:
        """One line: what the Hub said, without addresses that carry signatures, and what to do."""
        if _status(error) is None and "Invalid metadata" in str(error):
            return HubError(f"{about}: the Hub refuses the card: {self._clean(str(error))}")
        for cause in _causes(error):
            if _status(cause) is not None:
                error = cause
                break
        status, said = _status(error), self._said(error)
        again = "run the same command again: what was uploaded is not uploaded again"
        named = type(error).__name__
        if status == 401:
            return HubError(f"the Hub does not take the token (HTTP 401): {_LOG_IN}")
        if status == 403:
            return HubError(f"{about}: the token has no right to do that (HTTP 403){said}; {_LOG_IN} there")
        if status == 429:
            return HubError(f"{about}: too many requests (HTTP 429){said}; later {again}")
        if status in (409, 412):
            return HubError(f"{about} was changed by another commit meanwhile (HTTP {status}); {again}")
        if status is not None and status >= 500:
            return HubError(f"{about}: the Hub has a fault (HTTP {status}){said}; later {again}")
        if status is not None:
            return HubError(f"{about}: the Hub refuses (HTTP {status}){said}")
        if named == "OfflineModeIsEnabled":
            return HubError("HF_HUB_OFFLINE is set: the Hub cannot be asked; unset it")
        lowest = [*_causes(error)][-1]
        reason = f"{type(lowest).__name__}: {self._clean(str(lowest))}"
        if isinstance(error, ValueError | RuntimeError):
            return HubError(f"{about}: the push failed ({reason}); {again}")
        return HubError(
            f"the Hub cannot be reached at {self._api.endpoint} ({reason}); look at the network and HF_ENDPOINT, then {again}"
        )

    def _said(self, error: BaseException) -> str:
        text = self._clean(getattr(error, "server_message", None) or "")
        return f": {text}" if text else ""

    def _clean(self, text: str) -> str:
        """One line without the token and without what stands behind the ? of an address."""
        line = re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1?...", " ".join(text.split()))
        return line.replace(self._token or "\0", "***")[:300]


def _target(info: Any) -> Target:
    return Target(exists=True, commit=info.sha, files=frozenset(one.rfilename for one in info.siblings or []))


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _rest(error: BaseException, attempt: int) -> float | None:
    """Seconds to wait before the same request is made again; None where that is no use."""
    busy = next((cause for cause in _causes(error) if _status(cause) == 429), None)
    if busy is None:
        return None
    headers = busy.response.headers  # type: ignore[attr-defined]
    told = re.search(r"\bt=(\d+)", headers.get("ratelimit") or "") or re.fullmatch(
        r"\s*(\d+)\s*", headers.get("retry-after") or ""
    )
    rest = float(told[1]) + 1 if told else min(2.0**attempt, 60)
    return rest if rest <= LONGEST_WAIT else None


def _same(path: Path, there: Any) -> bool:
    if path.stat().st_size != there.size:
        return False
    with path.open("rb") as file:
        if there.lfs is not None:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == there.lfs.sha256)
        start = hashlib.sha1(b"blob %d\0" % there.size, usedforsecurity=False)
        return bool(hashlib.file_digest(file, lambda: start).hexdigest() == there.blob_id)


def tidy_client(note: Callable[[str], None], *, bars: bool) -> None:
    """For the command: of the client's own output its bars, if wanted, and as notes how long it rests before it tries again."""
    from huggingface_hub import utils
    from huggingface_hub.utils.logging import get_logger  # sets up its handlers when it is imported

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HF_HUB_DISABLE_PROGRESS_BARS has the last word
        (utils.enable_progress_bars if bars else utils.disable_progress_bars)()  # type: ignore[attr-defined]
    get_logger("huggingface_hub").handlers[:] = [_Rests(note)]


class _Rests(logging.Handler):
    """What the client logs when it rests; the rest of its log holds addresses that carry signatures."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """One line of its log."""
        text = record.getMessage()
        if text.startswith(("Rate limited", "Retrying")):
            self._note(f"the Hub's client: {text}")
