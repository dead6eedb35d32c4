"""Rows of a dataset on the Hugging Face Hub, streamed through `datasets`; HF_ENDPOINT, HF_TOKEN and so on hold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from loopguard.errors import InputError
from loopguard.jsonrows import Row
from loopguard.sources import Source, open_dataset

__all__ = ["hub_source"]

_FORM = "hf:user/dataset, hf:user/dataset:split or hf:user/dataset/config:split"


class _HubName(NamedTuple):
    """What an `hf:` name says; None where it says nothing."""

    repo: str
    config: str | None
    split: str | None


def hub_source(name: str) -> Source:
    """The rows of `hf:user/dataset[/config][:split]`; the split is `train` or the only one, if none is named.

    Raises:
        InputError: there is no such dataset, config or split, no right to read it, or no way to the Hub.
    """
    wanted = _parse(name)
    splits = _load(name, wanted)
    split = wanted.split or ("train" if "train" in splits else next(iter(splits)))
    if split not in splits or (wanted.split is None and split != "train" and len(splits) > 1):
        problem = f"{name} has no split {split}" if wanted.split else f"{name} has no split train"
        raise InputError(f"{problem}; it has {', '.join(splits)}: give one, like hf:{wanted.repo}:{next(iter(splits))}")
    source = open_dataset(splits[split], name)

    def rows(needed: Sequence[str] | None) -> Iterator[Row]:
        stream = source.rows(needed)
        row = 0
        while True:
            try:
                row, value = next(stream)
            except StopIteration:
                return
            except Exception as error:  # the network, a damaged file, rows that do not fit together: many libraries
                raise InputError(f"{name} cannot be read after row {row}: {_said(error)}") from error
            yield row, value

    return Source(name, rows, columns=source.columns, nested=source.nested)


def _parse(name: str) -> _HubName:
    path, _, split = name.removeprefix("hf:").partition(":")
    parts = path.split("/")
    if not all(parts) or len(parts) > 3 or (":" in name.removeprefix("hf:") and not split):
        raise InputError(f"{name} is not the name of a dataset: write {_FORM}")
    if "[" in split:
        raise InputError(f"{name}: a part of a split cannot be named; take {split.partition('[')[0]} and --limit")
    repo = "/".join(parts[:2])
    if os.path.exists(repo):  # `datasets` would read it instead of asking the Hub
        raise InputError(f"{name}: here is a folder {repo}; give one of its files, or run from another folder")
    return _HubName(repo, parts[2] if len(parts) == 3 else None, split or None)


def _load(name: str, wanted: _HubName) -> Mapping[str, Any]:
    """Its splits, unread. Without the Hub (HF_HUB_OFFLINE) from the cache, which cannot be streamed."""
    import datasets
    from datasets.config import HF_HUB_OFFLINE

    try:
        splits: Mapping[str, Any] = datasets.load_dataset(wanted.repo, wanted.config, streaming=not HF_HUB_OFFLINE)
    except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        said = _said(error).rstrip(".")
        if HF_HUB_OFFLINE:
            advice = "; HF_HUB_OFFLINE is set, so only what is in the cache can be read"
        elif "gated" in said:
            advice = "; set HF_TOKEN to a token that may read it"
        elif isinstance(error, datasets.exceptions.DatasetNotFoundError):
            advice = "; look at its name, or set HF_TOKEN if it is private"
        elif isinstance(error, ConnectionError):
            advice = f" at {datasets.config.HF_ENDPOINT}; look at the network and HF_ENDPOINT"
        else:
            advice = f"; names are written {_FORM}" if "onfig" in said else ""
        raise InputError(f"{name} cannot be read: {said}{advice}") from error
    return splits


def _said(error: Exception) -> str:
    """The first lines of what a library said, as one."""
    text = " ".join((str(error).strip() or type(error).__name__).split())
    return text if len(text) <= 300 else text[:300] + "..."
