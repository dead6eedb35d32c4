"""axolotl 0.19.0: the prompt strategy and the schema that the written YAML names, over the rows of the export.

Installed without its dependencies (bitsandbytes, triton, xformers want a GPU): the strategy's module needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="the consumers are not here: make test-consumers")

from loopguard.handover.export import Exported
from tests.handover.a_run import ENDLESS, ONCE, SUM, TURNS

Export = Callable[..., Exported]


def configured(made: Exported) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load((made.folder / "axolotl.yaml").read_text(encoding="utf-8")))


def test_the_strategy_reads_every_row(exported: Export, tokenizer: Any) -> None:
    from axolotl.prompt_strategies.dpo import load
    from axolotl.utils.dict import DictDefault
    from datasets import load_dataset

    made = exported("axolotl")
    config = DictDefault(configured(made))
    (source,) = config["datasets"]
    transform, extra = load(source["type"], config, dataset_idx=0)
    assert extra == {"remove_columns": ["prompt"]}
    data = load_dataset("parquet", data_files=source["path"], split=source["split"])
    rows = [transform(row, tokenizer=tokenizer) for row in data]
    assert len(rows) == 7
    assert rows[0]["prompt"].endswith(f"<|im_start|>user\n{SUM}<|im_end|>\n<|im_start|>assistant\n")
    assert rows[0]["chosen"] == f"{ONCE}<|im_end|>"
    assert rows[0]["rejected"] == f"{ENDLESS}<|im_end|>", "axolotl ends a cut text too: the trap"
    assert all(turn["content"] in rows[2]["prompt"] for turn in TURNS)


def test_the_configuration_fits_the_schema(exported: Export) -> None:
    """`datasets` is a union of SFT, DPO and KTO sources: ours must be taken for DPO, with nothing left over."""
    from axolotl.utils.schemas.datasets import DPODataset, KTODataset, SFTDataset
    from pydantic import TypeAdapter

    given = configured(exported("axolotl"))["datasets"]
    (known,) = TypeAdapter(list[SFTDataset | DPODataset | KTODataset]).validate_python(given)
    assert type(known) is DPODataset
    assert known.model_dump(exclude_none=True) == given[0]
