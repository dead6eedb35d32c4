"""What `loopguard check --trainer axolotl` says is what axolotl 0.19.0 hands on and the TRL that it asks for, 1.9.0, prepares.

That TRL is beside the environment's own: `make test-consumers` runs this file once more with it in front.
"""

from __future__ import annotations

import ast
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="the consumers are not here: make test-consumers")
pytest.importorskip("trl", reason="needs trl and torch: make test-consumers")

from loopguard.errors import InputError
from tests.handover.consumers.test_check_against_trl import CONVERSATIONS, messages
from tests.handover.consumers.varied import BOSSED, LENGTHS, POLITE, THINKING, View, collated, varied
from tests.handover.small_tokenizer import CHATML, ENDLESS, FORGETFUL, STRICT, write_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(version("trl") != "1.9.0", reason="needs trl 1.9.0 in front: make test-consumers"),
]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "chatml": (CHATML, {}),
    "a BOS of template and tokenizer": (BOSSED, {"bos_on_text": True}),
    "a BOS of the tokenizer": (CHATML, {"bos_on_text": True}),
    "a system message of its own": (POLITE, {}),
    "thoughts": (THINKING, {}),
    "no EOS": (ENDLESS, {}),
    "strict": (STRICT, {}),
    "forgetful": (FORGETFUL, {}),
}


def filter_of_axolotl() -> Any:
    """`_drop_long_sequences` out of utils/data/rl.py, whose imports are not all here (posthog)."""
    import axolotl
    from axolotl.utils.schemas.enums import RLType

    source = Path(axolotl.__path__[0]) / "utils" / "data" / "rl.py"
    (node,) = (
        one
        for one in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(one, ast.FunctionDef) and one.name == "_drop_long_sequences"
    )
    names: dict[str, Any] = {"Any": Any, "RLType": RLType}
    exec(compile(ast.Module([node], []), str(source), "exec"), names)
    return names[node.name]


class Given:
    """axolotl's own strategy and filter over rows, then TRL's preparation and collator."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        from axolotl.prompt_strategies.dpo import load
        from axolotl.utils.dict import DictDefault
        from datasets import Dataset
        from transformers import AutoTokenizer

        source = {"type": "chat_template.default", "field_messages": "prompt"}
        source |= {"field_chosen": "chosen", "field_rejected": "rejected"}
        config = DictDefault({"chat_template": "tokenizer_default", "datasets": [source]})
        transform, more = load("chat_template.default", config, dataset_idx=0)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.data = Dataset.from_list(rows).map(partial(transform, tokenizer=self.tokenizer), **more)

    def at(self, sequence_len: int) -> list[tuple[list[int], int, list[int], int]]:
        from axolotl.utils.schemas.enums import RLType
        from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

        keep = partial(filter_of_axolotl(), rl=RLType.DPO, tokenizer=self.tokenizer, sequence_len=sequence_len)
        data = self.data.filter(keep)
        if not len(data):
            return []
        arguments = SimpleNamespace(dataset_num_proc=None, max_length=sequence_len, truncation_mode="keep_start")
        trainer = SimpleNamespace(_tokenizer=self.tokenizer)  # without _tokenize: TRL 1.9 asks for none
        prepared = DPOTrainer._prepare_dataset(trainer, data, self.tokenizer, arguments, "train")
        return collated(DataCollatorForPreference(pad_token_id=0, max_length=sequence_len), prepared)


@pytest.mark.parametrize("case", CASES)
def test_the_tokens_are_those_of_the_trainer(case: str, tmp_path: Path) -> None:
    template, options = CASES[case]
    folder = write_tokenizer(tmp_path / "model", template, **options)
    rows = [*CONVERSATIONS, *varied(40, seed=4, system=template is not STRICT, blank=False)]
    view = View("axolotl", folder, rows)
    rows = [row for row, one in zip(rows, view.found, strict=True) if not isinstance(one, InputError)]
    assert len(rows) == len(view.pairs) == len(view.at(4096)) >= 40
    given = Given(folder, rows)
    for length in LENGTHS:
        assert view.at(length) == given.at(length), length


def test_an_answer_that_the_template_strips_is_cut_out_wrongly_by_both(tmp_path: Path) -> None:
    """Not found, it begins at the last character: `>` of the EOS token."""
    folder, rows = write_tokenizer(tmp_path / "model", STRICT), [messages("Who?", " He. ", "She.")]
    given, view = Given(folder, rows), View("axolotl", folder, rows)
    assert given.data[0]["chosen"] == ">"
    assert view.at(100) == given.at(100)


def test_an_answer_of_which_nothing_is_left_stops_both(tmp_path: Path) -> None:
    rows = [messages("Who?", "\n \n", "She.")]
    folder = write_tokenizer(tmp_path / "model", STRICT.replace("{{ eos_token }}", "{{ '\n' }}"))
    (error,) = View("axolotl", folder, rows).found
    assert "axolotl stops at a pair" in str(error)
    with pytest.raises(ValueError, match="Prompt, chosen and rejected keys are required"):
        Given(folder, rows).at(100)


def test_roles_and_strings(tmp_path: Path) -> None:
    folder, row = write_tokenizer(tmp_path / "model", CHATML), messages("Who?", "He.", "She.")
    view = View(
        "axolotl", folder, [row, {"prompt": "Who?", "chosen": "He.", "rejected": "She."}, {**row, "prompt": "Who?"}]
    )
    assert view.at(64) == Given(folder, [row] * 3).at(64)
    developer = {**row, "prompt": [{"role": "developer", "content": "Be short."}, *row["prompt"]]}
    (error,) = View("axolotl", folder, [developer]).found
    assert "axolotl knows no role 'developer'" in str(error)
    with pytest.raises(KeyError, match="developer"):
        Given(folder, [developer])
