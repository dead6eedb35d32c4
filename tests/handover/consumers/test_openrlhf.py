"""OpenRLHF 0.11.2: its reader of data sets and its RewardDataset, as `openrlhf.cli.train_dpo` sets them up for DPO.

Installed without its dependencies: deepspeed and flash-attn want a GPU, the data classes do not.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf", reason="the consumers are not here: make test-consumers")

from loopguard.handover.export import Exported
from tests.handover.a_run import ENDLESS, ONCE, SUM

Export = Callable[..., Exported]


def options(made: Exported) -> dict[str, str]:
    """The options of the written command."""
    words = shlex.split((made.folder / "train.sh").read_text(encoding="utf-8").replace("\\\n", " "))
    names = [i for i, word in enumerate(words) if word.startswith("--") and "." in word]
    follow = {words[i]: words[i + 1] if i + 1 < len(words) and i + 1 not in names else "" for i in names}
    return {name.removeprefix("--"): value for name, value in follow.items()}


def test_every_option_is_one_of_train_dpo(exported: Export) -> None:
    """openrlhf/cli/train_dpo.py builds its parser under `__main__`, so its source is read."""
    folder = Path(str(find_spec("openrlhf").origin)).parent  # type: ignore[union-attr]
    known = set(re.findall(r'add_argument\(\s*"--([\w.]+)"', (folder / "cli/train_dpo.py").read_text(encoding="utf-8")))
    given = options(exported("openrlhf"))
    assert given.keys() <= known
    assert given["data.prompt_key"] == "prompt"
    assert given["data.apply_chat_template"] == ""


def test_the_dataset_holds_every_pair(exported: Export, tokenizer: Any) -> None:
    from openrlhf.datasets import RewardDataset
    from openrlhf.datasets.utils import blending_datasets

    made = exported("openrlhf")
    given = options(made)
    data = SimpleNamespace(
        prompt_key=given["data.prompt_key"],
        chosen_key=given["data.chosen_key"],
        rejected_key=given["data.rejected_key"],
        apply_chat_template=True,
        tokenizer_chat_template=None,
    )
    strategy = SimpleNamespace(
        args=SimpleNamespace(data=data, use_ms=False), print=lambda *_: None, is_rank_0=lambda: False
    )
    rows = blending_datasets(given["data.dataset"], None, strategy, dataset_split="train")
    dataset = RewardDataset(rows, tokenizer, 4096, strategy, is_dpo=True, num_processors=1)
    assert len(dataset) == 7
    assert dataset.prompts[0].endswith(f"<|im_start|>user\n{SUM}<|im_end|>\n<|im_start|>assistant\n")
    assert dataset.chosens[0] == f"{ONCE}<|im_end|>\n"
    chosen, _, rejected, _, prompt_length = dataset[0]
    assert tokenizer.decode(chosen[0][prompt_length:]) == f"{ONCE}<|im_end|>"
    assert tokenizer.decode(rejected[0][prompt_length:]) == f"{ENDLESS}<|im_end|>", "it ends a cut text too: the trap"


def test_margins_of_pairs_by_score_are_there(exported: Export) -> None:
    import polars as pl
    from openrlhf.datasets.reward_dataset import preprocess_data

    rows = pl.read_parquet(exported("openrlhf").folder / "train.parquet").to_dicts()
    assert [preprocess_data(row)[3] > 0 for row in rows] == [False] * 5 + [True] * 2
