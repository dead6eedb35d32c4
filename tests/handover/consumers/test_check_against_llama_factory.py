"""What `loopguard check --trainer llama-factory` says is what LLaMA-Factory 0.9.5 encodes for stage dpo without `template:`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llamafactory", reason="the consumers are not here: make test-consumers")

from loopguard.errors import InputError
from loopguard.handover.pairs import pair_of
from loopguard.handover.tokenizers_at_hand import open_tokenizer
from loopguard.handover.trainer_views import TRAINERS
from tests.handover.consumers.test_check_against_trl import CONVERSATIONS, messages
from tests.handover.consumers.test_llama_factory import without_sound  # noqa: F401 (a fixture)
from tests.handover.consumers.varied import BOSSED, LENGTHS, POLITE, THINKING, View, varied
from tests.handover.small_tokenizer import CHATML, ENDLESS, FORGETFUL, STRICT, write_tokenizer

pytestmark = pytest.mark.filterwarnings("default")

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "chatml": (CHATML, {}),
    "a BOS of template and tokenizer": (BOSSED, {"bos_on_text": True}),
    "a BOS of the template": (BOSSED, {}),
    "a BOS of the tokenizer": (CHATML, {"bos_on_text": True}),
    "a system message of its own": (POLITE, {}),
    "thoughts": (THINKING, {}),
    "no EOS": (ENDLESS, {}),
}


class Given:
    """LLaMA-Factory's own converter, template and pairwise processor over rows."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]], template: str | None = None) -> None:
        from llamafactory.data.converter import get_dataset_converter
        from llamafactory.data.parser import DatasetAttr
        from llamafactory.data.template import get_template_and_fix_tokenizer
        from llamafactory.hparams import DataArguments
        from transformers import AutoTokenizer

        attributes = DatasetAttr("file", "pairs", formatting="sharegpt", ranking=True)
        attributes.messages, attributes.chosen, attributes.rejected = "prompt", "chosen", "rejected"
        attributes.role_tag, attributes.content_tag = "role", "content"
        attributes.user_tag, attributes.assistant_tag, attributes.system_tag = "user", "assistant", "system"
        self.arguments = DataArguments(template=template)
        convert = get_dataset_converter("sharegpt", attributes, self.arguments)
        aligned = [
            convert({"prompt": one["prompt"], "chosen": one["chosen"][0], "rejected": one["rejected"][0]})
            for one in rows
        ]
        self.batch = {name: [one[name] for one in aligned] for name in aligned[0]}
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
        self.template = get_template_and_fix_tokenizer(self.tokenizer, self.arguments)

    def at(self, cutoff_len: int) -> list[tuple[list[int], int, list[int], int]]:
        from llamafactory.data.processor.pairwise import PairwiseDatasetProcessor

        self.arguments.cutoff_len = cutoff_len
        encode = PairwiseDatasetProcessor(self.template, self.tokenizer, None, self.arguments)
        found = encode.preprocess_dataset(self.batch)
        names = [f"{side}_{what}" for side in ("chosen", "rejected") for what in ("input_ids", "labels")]
        rows = zip(*(found[name] for name in names), strict=True)
        return [
            (one, sum(i >= 0 for i in marked), other, sum(i >= 0 for i in labels))
            for one, marked, other, labels in rows
        ]


@pytest.mark.parametrize("case", CASES)
def test_the_tokens_are_those_of_the_trainer(case: str, tmp_path: Path) -> None:
    template, options = CASES[case]
    folder = write_tokenizer(tmp_path / "model", template, **options)
    rows = [*CONVERSATIONS, messages("Who?", "He.", "She.", system="Be short."), *varied(60, seed=1)]
    given, view = Given(folder, rows), View("llama-factory", folder, rows)
    assert len(view.pairs) == len(rows)
    for length in LENGTHS:
        assert view.at(length) == given.at(length), length


def test_a_named_template_of_the_same_text_gives_the_same(tmp_path: Path) -> None:
    folder, rows = write_tokenizer(tmp_path / "model", CHATML), varied(40, seed=2)
    given, view = Given(folder, rows, "chatml"), View("llama-factory", folder, rows)
    assert view.at(100) == given.at(100)


@pytest.mark.parametrize(("template", "why"), [(STRICT, "System role not supported"), (FORGETFUL, "for assistant")])
def test_a_template_that_it_cannot_take_apart_stops_both(template: str, why: str, tmp_path: Path) -> None:
    folder, rows = write_tokenizer(tmp_path / "model", template), CONVERSATIONS[:1]
    with pytest.raises(InputError, match=why):
        View("llama-factory", folder, rows)
    with pytest.raises(Exception, match=r"System role not supported|placeholder is required"):
        Given(folder, rows)


def test_turns_that_are_none_are_dropped_by_both(tmp_path: Path) -> None:
    folder, row = write_tokenizer(tmp_path / "model", CHATML), messages("Who?", "He.", "She.")
    rows = [{**row, "prompt": row["prompt"] * 2}, row, {**row, "prompt": [{"role": "tool", "content": "3"}]}]
    view = View("llama-factory", folder, rows)
    assert [isinstance(one, InputError) for one in view.found] == [True, False, True]
    assert view.at(64) == Given(folder, rows).at(64)
    assert len(view.at(64)) == 1


def test_strings_are_rows_of_its_alpaca_form(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "model", CHATML)
    one, other = {"prompt": "Who?", "chosen": "He.", "rejected": "She."}, messages("Who?", "He.", "She.")
    assert View("llama-factory", folder, [one]).at(64) == Given(folder, [other]).at(64)
    mixed = pair_of(1, {**other, "prompt": "Who?"})
    (error,) = TRAINERS["llama-factory"].prepare(open_tokenizer(str(folder)), [mixed])
    assert isinstance(error, InputError)
