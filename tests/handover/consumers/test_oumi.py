"""oumi 0.9: the written YAML through its TrainingConfig, the rows through the data class that it names.

Installed without its dependencies (it wants torch < 2.13 and trl < 1.7); the classes used here run with those that are here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("oumi", reason="the consumers are not here: make test-consumers")

from loopguard.handover.export import Exported
from tests.handover.a_run import ENDLESS, ONCE, SUM

Export = Callable[..., Exported]


def test_the_configured_class_reads_every_row(exported: Export, tokenizer: Any) -> None:
    from oumi.core.configs import TrainingConfig
    from oumi.core.registry import REGISTRY

    made = exported("oumi")
    config = TrainingConfig.from_yaml(str(made.folder / "oumi.yaml"))
    assert config.training.trainer_type.value == "trl_dpo"
    assert config.model.model_max_length == made.max_length
    (source,) = config.data.train.datasets
    data_class = REGISTRY.get_dataset(source.dataset_name)
    assert data_class is not None
    data = data_class(dataset_name=source.dataset_name, dataset_path=source.dataset_path, tokenizer=tokenizer)
    assert len(data) == 7
    row = data[0]
    assert tokenizer.decode(row["prompt_ids"]).endswith(f"<|im_start|>user\n{SUM}<|im_end|>\n")
    assert tokenizer.decode(row["chosen_ids"]) == f"<|im_start|>assistant\n{ONCE}<|im_end|>\n<|im_end|>"
    assert tokenizer.decode(row["rejected_ids"]) == f"<|im_start|>assistant\n{ENDLESS}<|im_end|>\n<|im_end|>"
