"""The YAML at the head of a dataset card: what the Hub reads of it. Tags, licence, configs, splits, features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loopguard.handover.parquet_files import CONFIGS, DataFile

TAGS = ("dpo", "preference", "synthetic", "loopguard")

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def metadata(files: Sequence[DataFile], *, licence: str | Sequence[str], source: str | None) -> str:
    """The YAML between the two lines of dashes; `source` is the dataset on the Hub that the prompts come from."""
    from huggingface_hub import DatasetCardData

    pairs = sum(file.rows for file in files if file.config == "preferences")
    known: dict[str, Any] = {
        "license": licence if isinstance(licence, str) else list(licence),
        "task_categories": ["text-generation"],
        "tags": list(TAGS),
        "size_categories": [next((name for size, name in _SIZES if pairs < size), "1M<n<10M")],
    }
    if source:
        known["source_datasets"] = [source]
    known["configs"] = [_config(name, files) for name in configs(files)]
    known["dataset_info"] = [_info(name, files) for name in configs(files)]
    return str(DatasetCardData(**known).to_yaml()) + "\n"


def configs(files: Sequence[DataFile]) -> list[str]:
    """The configs that have rows, the default one first."""
    return [name for name in CONFIGS if any(file.config == name for file in files)]


def splits(config: str, files: Sequence[DataFile]) -> dict[str, list[DataFile]]:
    """The files of each split of a config."""
    found: dict[str, list[DataFile]] = {}
    for file in files:
        if file.config == config:
            found.setdefault(file.split, []).append(file)
    return found


def _config(name: str, files: Sequence[DataFile]) -> dict[str, Any]:
    data = [{"split": split, "path": f"{name}/{split}-*"} for split in splits(name, files)]
    return {"config_name": name, "data_files": data} | ({"default": True} if name == next(iter(CONFIGS)) else {})


def _info(name: str, files: Sequence[DataFile]) -> dict[str, Any]:
    found = [
        {"name": split, "num_bytes": sum(f.arrow_bytes for f in parts), "num_examples": sum(f.rows for f in parts)}
        for split, parts in splits(name, files).items()
    ]
    return {
        "config_name": name,
        "features": next(file.features for file in files if file.config == name),
        "splits": found,
        "download_size": sum(file.size for file in files if file.config == name),
        "dataset_size": sum(split["num_bytes"] for split in found),
    }
