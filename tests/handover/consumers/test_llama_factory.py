"""LLaMA-Factory 0.9.5: its own reading of dataset_info.json, loader, converter and pairwise encoding over the export.

Installed without its dependencies: it asks for torchaudio (sound alone uses it), an older TRL and transformers <= 5.6, none of
which its data code needs. So torchaudio is an empty module here and DISABLE_VERSION_CHECK is set.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llamafactory", reason="the consumers are not here: make test-consumers")

from loopguard.handover.export import Exported
from tests.handover.a_run import ENDLESS, ONCE, SUM, TURNS

Export = Callable[..., Exported]


@pytest.fixture(scope="module", autouse=True)
def without_sound() -> None:
    import transformers.image_utils
    import transformers.models.mllama.processing_mllama
    import transformers.video_utils  # noqa: F401 (they look for torchaudio by its spec)

    os.environ["DISABLE_VERSION_CHECK"] = "1"
    sound = types.ModuleType("torchaudio")
    sound.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules.setdefault("torchaudio", sound)


def aligned(folder: Path, cache: Path) -> Any:
    """The rows as the trainer's processor gets them."""
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    (attributes,) = get_dataset_list(["loopguard"], str(folder))
    assert (attributes.ranking, attributes.formatting) == (True, "sharegpt")
    data = DataArguments(dataset="loopguard", dataset_dir=str(folder), overwrite_cache=True)
    model = ModelArguments(model_name_or_path="none", cache_dir=str(cache))
    training = Seq2SeqTrainingArguments(output_dir=str(cache), use_cpu=True, report_to=[])
    return _load_single_dataset(attributes, model, data, training)


def test_pairs_stay_pairs(exported: Export, tmp_path: Path) -> None:
    made = exported("llama-factory")
    rows = list(aligned(made.folder, tmp_path))
    assert len(rows) == 6
    assert all(len(row["_response"]) == 2 for row in rows), "one answer would be plain SFT"
    assert rows[0]["_prompt"] == [{"role": "user", "content": SUM}]
    assert [answer["content"] for answer in rows[0]["_response"]] == [ONCE, ENDLESS]
    assert rows[2]["_system"] == "Be brief."
    assert [turn["content"] for turn in rows[2]["_prompt"]] == [turn["content"] for turn in TURNS[1:]]
    assert made.left_out == {"prompts in which user and assistant do not take turns, which LLaMA-Factory drops": 1}


def test_the_row_that_is_left_out_would_have_been_dropped(exported: Export, tmp_path: Path) -> None:
    made = exported("llama-factory")
    twice = [{"role": "user", "content": "First."}, {"role": "user", "content": "Second."}]
    answer = {"role": "assistant", "content": "Yes."}
    file = made.folder / "twice.json"
    file.write_text(json.dumps([{"messages": twice, "chosen": answer, "rejected": answer}]), encoding="utf-8")
    info = json.loads((made.folder / "dataset_info.json").read_text(encoding="utf-8"))
    info["loopguard"]["file_name"] = file.name
    (made.folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    (row,) = aligned(made.folder, tmp_path)
    assert row["_prompt"] == []


def test_the_trainer_encodes_every_pair(exported: Export, tokenizer: Any, tmp_path: Path) -> None:
    from llamafactory.data.processor.pairwise import PairwiseDatasetProcessor
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    rows = aligned(exported("llama-factory").folder, tmp_path)
    data = DataArguments(template="qwen", cutoff_len=4096)
    template = get_template_and_fix_tokenizer(tokenizer, data)
    encode = PairwiseDatasetProcessor(template=template, tokenizer=tokenizer, processor=None, data_args=data)
    found = encode.preprocess_dataset(rows[:])
    assert len(found["chosen_input_ids"]) == len(found["rejected_input_ids"]) == 6
    ended = tokenizer.decode([i for i in found["rejected_labels"][0] if i >= 0])
    assert ended == f"{ENDLESS}<|im_end|>\n", "LLaMA-Factory ends a cut text too: the trap"


def test_the_configuration_is_one_that_it_takes(exported: Export, tmp_path: Path) -> None:
    import yaml
    from llamafactory.hparams import parser
    from transformers import HfArgumentParser

    made = exported("llama-factory")
    written = yaml.safe_load((made.folder / "llama-factory.yaml").read_text(encoding="utf-8"))
    written |= {"output_dir": str(tmp_path), "use_cpu": True, "report_to": "none"}
    known = HfArgumentParser(parser._TRAIN_ARGS).parse_dict(written)  # refuses what it does not know
    assert known[1].dataset_dir == made.folder.as_posix()
    assert known[1].cutoff_len == made.max_length
