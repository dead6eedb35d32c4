"""What `loopguard check` says a trainer sees is what TRL's DPOTrainer prepares and collates. Needs trl and torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs trl and torch: make test-consumers")

from loopguard.handover.pairs import pair_of
from loopguard.handover.tokenizers_at_hand import open_tokenizer
from loopguard.handover.trainer_views import TRAINERS, PairTokens, trl
from tests.handover.small_tokenizer import CHATML, ENDLESS, FORGETFUL, STRICT, write_tokenizer

pytestmark = pytest.mark.filterwarnings("default")

ASKED = "How far is it to the town? "
LOOP = "Wait, let me check that again. "


def messages(prompt: str, chosen: str, rejected: str, *, system: str = "") -> dict[str, Any]:
    head = [{"role": "system", "content": system}] if system else []
    return {
        "prompt": [*head, {"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


CONVERSATIONS = [
    messages(ASKED, "It is far.", "It is. " + LOOP * 40),
    messages(ASKED * 9, "It is 42 miles.\n", "  " + LOOP * 3),
    messages(ASKED * 60, "Far.", "Near."),
    messages("é 東京 \U0001f600?", "\U0001f600 is a face.", "東京" * 50),
    messages(ASKED, "It is far, I say. " * 30 + "Yes.", "It is far, I say. " * 30 + "No."),
    messages(ASKED, "<think>\n" + LOOP * 4 + "</think>\n\nFar.", "<think>\n" + LOOP * 30),
    messages(ASKED, "a <|im_end|> b", ""),
]
STRINGS = [
    {"prompt": ASKED, "chosen": " It is far.", "rejected": " " + LOOP * 40},
    {"prompt": ASKED * 60, "chosen": "x", "rejected": "y"},
    {"prompt": "The proof", "chosen": "s are short.<|im_end|>", "rejected": " is sh"},
]
IMPLICIT = [{side: row["prompt"] + row[side] for side in ("chosen", "rejected")} for row in CONVERSATIONS[:5]]
CASES = {
    "chatml": (CHATML, CONVERSATIONS, {}),
    "system": (CHATML, [messages(ASKED, "Far.", "Near.", system="Be short."), *CONVERSATIONS], {}),
    "strict": (STRICT, CONVERSATIONS, {}),
    "forgetful": (FORGETFUL, CONVERSATIONS, {}),
    "endless": (ENDLESS, CONVERSATIONS, {}),
    "implicit prompt": (CHATML, IMPLICIT, {}),
    "implicit strings": (CHATML, [{"chosen": ASKED + "Far. " * 50, "rejected": ASKED + "Four. " + LOOP * 30}], {}),
    "strings": (CHATML, STRINGS, {}),
    "strings with BOS": (None, STRINGS, {"bos_on_text": True}),
}


def trainer_on(rows: list[dict[str, Any]], folder: Path, max_length: int) -> Any:
    """A DPOTrainer over the rows with a model of a few thousand weights."""
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **small))
    model.save_pretrained(folder)
    args = DPOConfig(output_dir=str(folder / "out"), max_length=max_length, report_to=[], use_cpu=True, bf16=False)
    return DPOTrainer(str(folder), args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)


def collated(trainer: Any) -> list[tuple[list[int], int, list[int], int]]:
    """(chosen ids, trained tokens of it, rejected ids, trained tokens of it) of each pair, padding taken off."""
    found = []
    for example in trainer.train_dataset:
        batch = trainer.data_collator([example])
        sides = []
        for k in range(2):
            kept = batch["attention_mask"][k].bool()
            sides += [batch["input_ids"][k][kept].tolist(), int(batch["completion_mask"][k][kept].sum())]
        found.append(tuple(sides))
    return found


@pytest.mark.parametrize("max_length", [64, 200, 4096])
@pytest.mark.parametrize("case", CASES)
def test_the_tokens_are_those_of_the_trainer(case: str, max_length: int, tmp_path: Path) -> None:
    template, rows, options = CASES[case]
    folder = write_tokenizer(tmp_path / "model", template, **options)
    pairs = [pair_of(number, row) for number, row in enumerate(rows, start=1)]
    seen = trl(open_tokenizer(str(folder)), pairs)
    expected = []
    for tokens in seen:
        assert isinstance(tokens, PairTokens)
        cut = TRAINERS["trl"].trained(tokens, max_length, None)
        if cut is not None:
            expected.append((cut[0], len(cut[0]) - tokens.prompt, cut[1], len(cut[1]) - tokens.prompt))
    assert expected
    assert collated(trainer_on(rows, folder, max_length)) == expected


@pytest.mark.parametrize("room", [0, 1])
def test_a_prompt_is_dropped_that_leaves_no_room(room: int, tmp_path: Path) -> None:
    rows = [messages("Who?", "He.", "She."), messages(ASKED * 9, "Far.", "Near.")]
    folder = write_tokenizer(tmp_path / "model", CHATML)
    _, tokens = trl(open_tokenizer(str(folder)), [pair_of(1, rows[0]), pair_of(2, rows[1])])
    assert isinstance(tokens, PairTokens)
    kept = len(trainer_on(rows, folder, tokens.prompt + room).train_dataset) == 2
    assert kept == (tokens.needs <= tokens.prompt + room) == (room == 1)


def test_what_the_template_refuses_stops_the_trainer_too(tmp_path: Path) -> None:
    from jinja2 import TemplateError

    folder = write_tokenizer(tmp_path / "model", STRICT)
    rows = [messages(ASKED, "Far.", "Near.", system="Be short.")]
    (error,) = trl(open_tokenizer(str(folder)), [pair_of(1, rows[0])])
    assert str(error) == "System role not supported"
    with pytest.raises(TemplateError, match="System role not supported"):
        trainer_on(rows, folder, 64)
