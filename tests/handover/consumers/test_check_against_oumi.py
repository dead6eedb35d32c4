"""What `loopguard check --trainer oumi` says is what oumi 0.9's dataset gives and TRL's collator cuts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("oumi", reason="the consumers are not here: make test-consumers")

from loopguard.errors import InputError
from tests.handover.consumers.test_check_against_trl import CONVERSATIONS, STRINGS
from tests.handover.consumers.varied import BOSSED, LENGTHS, POLITE, THINKING, View, collated, varied
from tests.handover.small_tokenizer import CHATML, ENDLESS, FORGETFUL, STRICT, write_tokenizer

pytestmark = pytest.mark.filterwarnings("default")

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "chatml": (CHATML, {}),
    "a BOS of template and tokenizer": (BOSSED, {"bos_on_text": True}),
    "a system message of its own": (POLITE, {}),
    "thoughts": (THINKING, {}),
    "no EOS": (ENDLESS, {}),
    "strict": (STRICT, {}),
    "forgetful": (FORGETFUL, {}),
}


def given_by_oumi(rows: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Its rows of ids, and that its trainer hands them to the collator as they are."""
    from datasets import Dataset
    from oumi.core.trainers.trl_dpo_trainer import TrlDpoTrainer
    from oumi.datasets.preference_tuning.orpo_dpo_mix import OrpoDpoMix40kDataset
    from transformers import AutoTokenizer

    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = OrpoDpoMix40kDataset(
        dataset_name=OrpoDpoMix40kDataset.default_dataset, dataset_path=str(file), tokenizer=tokenizer
    )
    data = Dataset.from_list([found[i] for i in range(len(found))])
    assert TrlDpoTrainer._prepare_dataset(None, data, tokenizer, None, "train") is data  # type: ignore[arg-type]
    return list(data)


@pytest.mark.parametrize("case", CASES)
def test_the_tokens_are_those_of_the_trainer(case: str, tmp_path: Path) -> None:
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    template, options = CASES[case]
    folder = write_tokenizer(tmp_path / "model", template, **options)
    rows = [*CONVERSATIONS, *varied(40, seed=3, system=template is not STRICT)]
    given, view = given_by_oumi(rows, folder), View("oumi", folder, rows)
    assert len(view.pairs) == len(rows)
    for length in LENGTHS:
        seen = collated(DataCollatorForPreference(pad_token_id=0, max_length=length), given)
        assert view.at(length) == seen, length


def test_strings_are_messages_and_nothing_is_dropped(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "model", CHATML)
    mixed = [{**CONVERSATIONS[0], "prompt": "Who?"}, {**CONVERSATIONS[1], "prompt": "Where?"}]
    for rows in (STRINGS, mixed):
        given, view = given_by_oumi(rows, folder), View("oumi", folder, rows)
        whole = [(row["prompt_ids"] + row["chosen_ids"], row["prompt_ids"] + row["rejected_ids"]) for row in given]
        assert [(one, other) for one, _, other, _ in view.at(10**6)] == whole
        assert len(view.at(1)) == len(rows)


def test_a_tokenizer_without_eos_stops_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no EOS token"):
        View("oumi", write_tokenizer(tmp_path / "model", CHATML, eos_token=None), CONVERSATIONS)
