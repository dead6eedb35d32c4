"""What each trainer reads: one small function per format, from a row of preferences.parquet to the rows that it wants.

Looked up in the consumers' own code; the versions stand in tests/handover/consumers, which run their loaders over the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopguard.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from loopguard.handover.run_rows import Row

__all__ = ["FORMATS", "PRETOKENIZED", "Format", "arrow_schema", "find_format", "kto_rows_of_all"]

PRETOKENIZED = {"prompt_ids": "ids", "chosen_ids": "ids", "rejected_ids": "ids"}
"""Columns of the pre-tokenised form: the names of TRL's own tokenised rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One consumer's form of a pair."""

    name: str
    consumer: str
    """Who reads it, and the version whose code was looked at."""
    columns: Mapping[str, str]
    """Column -> its type: a key of the table in `arrow_schema`."""
    rows: Callable[[Row], Sequence[Row]]
    """A pair -> its rows; none where the consumer would drop it without a word."""
    refuses: str = ""
    """Why `rows` gave none."""
    cut: str = ""
    """What the consumer does with a rejected text that the length limit cut; "" = nothing wrong."""
    data: str = "train.parquet"
    """Name of the data file."""
    ignores_long: bool = False
    """The consumer ignores a pair longer than its limit instead of cutting it."""


def find_format(name: str) -> Format:
    """The format of that name. Raises InputError that lists them all."""
    if name not in FORMATS:
        raise InputError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of a format's columns."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    messages = pa.list_(message)
    kinds = {
        "text": pa.string(),
        "real": pa.float64(),
        "truth": pa.bool_(),
        "texts": pa.list_(pa.string()),
        "ids": pa.list_(pa.int64()),
        "message": message,
        "messages": messages,
        "ranked": pa.list_(pa.struct([("rank", pa.int64()), ("completion", messages)])),
    }
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def _as_it_is(pair: Row) -> list[Row]:
    return [{name: pair[name] for name in ("prompt", "chosen", "rejected")}]


def _openrlhf(pair: Row) -> list[Row]:
    """With `margin` where there is one; its reward trainer takes null for 0."""
    return [_as_it_is(pair)[0] | {"margin": pair["margin"]}]


def _llama_factory(pair: Row) -> list[Row]:
    """Answers as single messages: with lists of them the same file would train as plain SFT, without a word."""
    turns = [message["role"] for message in pair["prompt"]]
    if turns[:1] == ["system"]:
        turns = turns[1:]
    if turns != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        return []
    return [{"messages": pair["prompt"], "chosen": pair["chosen"][0], "rejected": pair["rejected"][0]}]


def _nemo_rl(pair: Row) -> list[Row]:
    """Two ranks: the class reads more, but preference_preprocessor refuses all but two."""
    ranked = [{"rank": rank, "completion": pair[side]} for rank, side in enumerate(("chosen", "rejected"))]
    return [{"context": pair["prompt"], "completions": ranked}]


def _kto(pair: Row) -> list[Row]:
    """The chosen of a prompt once, however many pairs it is in."""
    sides = ("chosen", "rejected") if pair["pair_index"] == 0 else ("rejected",)
    return [{"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"} for side in sides]


def kto_rows_of_all(prompt: Sequence[Mapping[str, str]], candidates: Sequence[Row]) -> list[Row]:
    """KTO rows of one prompt: what is in its pairs, and every other looping candidate as a false row, whole."""
    rows = []
    for one in candidates:
        if one["used_as"] or (one["looping"] and one["merged_into"] is None and one["text"].strip()):
            answer = [{"role": "assistant", "content": one["text"]}]
            rows.append({"prompt": list(prompt), "completion": answer, "label": one["used_as"] == "chosen"})
    return rows


def _argilla(pair: Row) -> list[Row]:
    """distilabel's columns: whole conversations; prompt is the first user message, as FormatChatGenerationDPO takes it."""
    prompt = next((message["content"] for message in pair["prompt"] if message["role"] == "user"), "")
    row: Row = {"prompt": prompt, "prompt_id": hashlib.sha256(prompt.encode("utf-8")).hexdigest()}
    for side in ("chosen", "rejected"):
        row[side] = [*pair["prompt"], *pair[side]]
        row[f"{side}_model"] = pair["model"]
        row[f"{side}_rating"] = pair[f"score_{side}"]
    return [row]


def _none(pair: Row) -> list[Row]:
    """The rows of ftpo are made of candidates, not of pairs: onsets.py."""
    return []


_PAIR = {"prompt": "messages", "chosen": "messages", "rejected": "messages"}
_ENDS = "puts the end-of-sequence token after every rejected text, also after one that the length limit cut"
_SIDE = {"": "messages", "_model": "text", "_rating": "real"}

_ALL = (
    Format(name="trl", consumer="TRL 1.16, DPOTrainer", columns=_PAIR, rows=_as_it_is, cut=f"TRL {_ENDS}"),
    Format(
        name="openrlhf",
        consumer="OpenRLHF 0.11.2, RewardDataset",
        columns=_PAIR | {"margin": "real"},
        rows=_openrlhf,
        cut=f"OpenRLHF {_ENDS}, its own cut at max_len included",
    ),
    Format(
        name="axolotl",
        consumer="axolotl 0.19.0, chat_template.default",
        columns=_PAIR,
        rows=_as_it_is,
        cut=f"axolotl {_ENDS}",
    ),
    Format(name="oumi", consumer="oumi 0.9, BaseDpoDataset", columns=_PAIR, rows=_as_it_is, cut=f"oumi {_ENDS}"),
    Format(
        name="llama-factory",
        consumer="LLaMA-Factory 0.9.5, sharegpt with ranking",
        columns={"messages": "messages", "chosen": "message", "rejected": "message"},
        rows=_llama_factory,
        refuses="prompts in which user and assistant do not take turns, which LLaMA-Factory drops",
        cut=f"LLaMA-Factory {_ENDS}",
    ),
    Format(
        name="nemo-rl",
        consumer="NeMo-RL of 2026-08-22, PreferenceDataset",
        columns={"context": "messages", "completions": "ranked"},
        rows=_nemo_rl,
        cut=f"NeMo-RL {_ENDS}",
        ignores_long=True,
    ),
    Format(
        name="kto",
        consumer="TRL 1.16, KTOTrainer",
        columns={"prompt": "messages", "completion": "messages", "label": "truth"},
        rows=_kto,
        cut=f"TRL {_ENDS}",
    ),
    Format(
        name="argilla",
        consumer="argilla 2.8.0, distilabel 1.5.3",
        columns={
            "prompt": "text",
            "prompt_id": "text",
            **{f"{side}{end}": kind for side in ("chosen", "rejected") for end, kind in _SIDE.items()},
        },
        rows=_argilla,
    ),
    Format(
        name="ftpo",
        consumer="auto-antislop's load_ftpo_multi_dataset, whose rows Antidoom's trainer reads",
        columns={"context_with_chat_template": "text", "rejected_decoded": "text", "multi_chosen_decoded": "texts"},
        rows=_none,
        data="train.jsonl",
    ),
)

FORMATS: dict[str, Format] = {one.name: one for one in _ALL}
"""The formats by name, in the order of the command's help."""
