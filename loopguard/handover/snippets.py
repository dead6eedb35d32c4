"""The configuration to paste beside an export: one text per format, with the file, the columns and the length filled in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["DATASET", "Facts", "snippet"]

DATASET = "loopguard"
"""The name of the data in LLaMA-Factory's dataset_info.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a configuration says of one export."""

    folder: str
    """Where it is, as the user will name it."""
    data: str
    """The data file's name in it."""
    max_length: int
    """Tokens."""
    chosen: int = 0
    """kto: rows with label true."""
    rejected: int = 0
    """kto: rows with label false."""

    @property
    def path(self) -> str:
        """The data file."""
        return f"{self.folder}/{self.data}"


def snippet(name: str, facts: Facts) -> Mapping[str, str]:
    """File name -> text: what stands beside the data of the format `name`."""
    return _SNIPPETS[name](facts)


def _trl(facts: Facts) -> dict[str, str]:
    text = f"""\
from datasets import load_dataset
from trl import DPOConfig, DPOTrainer

dataset = load_dataset("parquet", data_files={_literal(facts.path)}, split="train")
args = DPOConfig(output_dir="dpo", max_length={facts.max_length})
DPOTrainer(model="your/model", args=args, train_dataset=dataset).train()
"""
    return {"train.py": text}


def _pretokenized(facts: Facts) -> dict[str, str]:
    text = f"""\
from datasets import load_dataset
from trl import DPOConfig, DPOTrainer


class PretokenizedDPOTrainer(DPOTrainer):
    \"\"\"Takes prompt_ids, chosen_ids and rejected_ids as they are; TRL 1.16 would tokenise and add an end token.\"\"\"

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


dataset = load_dataset("parquet", data_files={_literal(facts.path)}, split="train")
args = DPOConfig(output_dir="dpo", max_length={facts.max_length})
PretokenizedDPOTrainer(model="your/model", args=args, train_dataset=dataset).train()
"""
    return {"train.py": text}


def _kto(facts: Facts) -> dict[str, str]:
    text = f"""\
from datasets import load_dataset
from trl import KTOConfig, KTOTrainer

dataset = load_dataset("parquet", data_files={_literal(facts.path)}, split="train")
args = KTOConfig(output_dir="kto", max_length={facts.max_length}, per_device_train_batch_size=8{_weights(facts)})
KTOTrainer(model="your/model", args=args, train_dataset=dataset).train()
"""
    return {"train.py": text}


def _weights(facts: Facts) -> str:
    """The smaller side counts for more: equation 8 of the KTO paper (arXiv 2402.01306), at its lower bound."""
    if not facts.chosen or not facts.rejected or facts.chosen == facts.rejected:
        return ""
    name, ratio = "desirable", facts.rejected / facts.chosen
    if ratio < 1:
        name, ratio = "undesirable", 1 / ratio
    return f", {name}_weight={round(ratio, 2)}"


def _openrlhf(facts: Facts) -> dict[str, str]:
    text = f"""\
deepspeed --module openrlhf.cli.train_dpo \\
   --model.model_name_or_path your/model \\
   --data.dataset {shlex.quote(facts.path)} \\
   --data.prompt_key prompt \\
   --data.chosen_key chosen \\
   --data.rejected_key rejected \\
   --data.apply_chat_template \\
   --data.max_len {facts.max_length} \\
   --ckpt.output_dir dpo
"""
    return {"train.sh": text}


def _axolotl(facts: Facts) -> dict[str, str]:
    text = f"""\
base_model: your/model
rl: dpo
chat_template: tokenizer_default
datasets:
  - path: {_quoted(facts.path)}
    split: train
    type: chat_template.default
    field_messages: prompt
    field_chosen: chosen
    field_rejected: rejected
sequence_len: {facts.max_length}
output_dir: dpo
"""
    return {"axolotl.yaml": text}


def _oumi(facts: Facts) -> dict[str, str]:
    text = f"""\
model:
  model_name: your/model
  model_max_length: {facts.max_length}
data:
  train:
    datasets:
      - dataset_name: mlabonne/orpo-dpo-mix-40k  # the class that reads prompt, chosen, rejected; the rows are those of:
        dataset_path: {_quoted(facts.path)}
training:
  trainer_type: TRL_DPO
  output_dir: dpo
"""
    return {"oumi.yaml": text}


def _llama_factory(facts: Facts) -> dict[str, str]:
    columns = {"messages": "messages", "chosen": "chosen", "rejected": "rejected"}
    tags = {"role_tag": "role", "content_tag": "content"}
    tags |= {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
    entry = {"file_name": facts.data, "formatting": "sharegpt", "ranking": True, "columns": columns, "tags": tags}
    text = f"""\
model_name_or_path: your/model
template: qwen3  # the name of your model's template
stage: dpo
do_train: true
dataset_dir: {_quoted(facts.folder)}
dataset: {DATASET}
cutoff_len: {facts.max_length}
output_dir: dpo
"""
    return {"dataset_info.json": json.dumps({DATASET: entry}, indent=2) + "\n", "llama-factory.yaml": text}


def _nemo_rl(facts: Facts) -> dict[str, str]:
    text = f"""\
policy:
  max_total_sequence_length: {facts.max_length}
data:
  max_input_seq_length: ${{policy.max_total_sequence_length}}
  train:
    dataset_name: PreferenceDataset
    data_path: {_quoted(facts.path)}
    split: train
  validation: null
"""
    return {"nemo-rl.yaml": text}


def _argilla(facts: Facts) -> dict[str, str]:
    text = f"""\
import argilla as rg
from datasets import load_dataset

client = rg.Argilla(api_url="https://your.server", api_key="...")
settings = rg.Settings(
    fields=[rg.ChatField(name="chosen"), rg.ChatField(name="rejected")],
    questions=[rg.LabelQuestion(name="preference", labels=["chosen", "rejected"])],
    metadata=[
        *(rg.TermsMetadataProperty(name=name) for name in ("prompt_id", "chosen_model", "rejected_model")),
        *(rg.FloatMetadataProperty(name=name) for name in ("chosen_rating", "rejected_rating")),
    ],
)
dataset = rg.Dataset(name="{DATASET}", settings=settings, client=client)
dataset.create()
rows = load_dataset("parquet", data_files={_literal(facts.path)}, split="train")
dataset.records.log([{{key: value for key, value in row.items() if value is not None}} for row in rows])
"""
    return {"load.py": text}


def _ftpo(facts: Facts) -> dict[str, str]:
    text = f"""\
finetune_enabled: true
finetune_mode: ftpo
finetune_ftpo_dataset: {_quoted(facts.path)}
finetune_base_model_id: your/model  # the one whose tokenizer made these rows
finetune_max_seq_length: {facts.max_length}
"""
    return {"ftpo.yaml": text}


def _quoted(text: str) -> str:
    """A path for YAML: in double quotes where it has more than plain characters."""
    plain = all(c.isalnum() or c in "/._-" for c in text)
    return text if plain else _literal(text)


def _literal(text: str) -> str:
    """A string for Python and YAML."""
    return json.dumps(text, ensure_ascii=False)


_SNIPPETS: dict[str, Callable[[Facts], Mapping[str, str]]] = {
    "trl": _trl,
    "trl-pretokenized": _pretokenized,
    "openrlhf": _openrlhf,
    "axolotl": _axolotl,
    "oumi": _oumi,
    "llama-factory": _llama_factory,
    "nemo-rl": _nemo_rl,
    "kto": _kto,
    "argilla": _argilla,
    "ftpo": _ftpo,
}
