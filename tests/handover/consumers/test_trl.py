"""TRL 1.16: DPOTrainer and KTOTrainer over the exports, run by the very scripts that are written beside the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the consumers are not here: make test-consumers")

from loopguard.handover.export import Exported
from loopguard.prefs.run import Run
from tests.handover.a_run import ENDLESS, ONCE, SUM

Export = Callable[..., Exported]
END = "<|im_end|>\n"


def trainer_of(exported: Exported, model: Path, out: Path) -> Any:
    """The trainer of the script, made ready for one step."""
    script = (exported.folder / "train.py").read_text(encoding="utf-8")
    script = script.replace("your/model", str(model)).replace(".train()", "")
    for name in ("dpo", "kto"):
        small = f'output_dir="{out}", use_cpu=True, max_steps=1, report_to=[], bf16=False, save_strategy="no"'
        script = script.replace(f'output_dir="{name}"', small)
    *lines, last = script.rstrip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join([*lines, f"trainer = {last}"]), names)
    return names["trainer"]


@pytest.fixture(scope="module")
def dpo(exported: Export, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trainer_of(exported("trl"), model_folder, tmp_path_factory.mktemp("dpo"))


@pytest.fixture(scope="module")
def pretokenized(
    exported: Export, model_folder: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    made = exported("trl", pretokenized=True, tokenizer=str(tokenizer_folder))
    trainer = trainer_of(made, model_folder, tmp_path_factory.mktemp("ids"))
    trainer.train()
    return trainer


def test_dpo_reads_the_messages(dpo: Any, tokenizer: Any) -> None:
    assert dpo.train_dataset.num_rows == 7
    first = dpo.train_dataset[0]
    prompt = tokenizer.decode(first["prompt_ids"])
    assert prompt.endswith(f"<|im_start|>user\n{SUM}<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.decode(first["chosen_ids"]) == ONCE + END
    assert tokenizer.decode(first["rejected_ids"]) == ENDLESS + END, "TRL ends a cut text too: the trap"


def test_turns_and_a_system_message_reach_the_trainer(dpo: Any, tokenizer: Any) -> None:
    prompt = tokenizer.decode(dpo.train_dataset[2]["prompt_ids"])
    assert prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWie heißt die Hauptstadt von Österreich? 🏔️<|im_end|>\n"
        "<|im_start|>assistant\nWien.<|im_end|>\n<|im_start|>user\nUnd die von 日本?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_pretokenized_pairs_are_what_trl_makes_but_for_the_end_of_cut_texts(
    dpo: Any, pretokenized: Any, tokenizer: Any, run: Run
) -> None:
    cut = run.preferences["rejected_truncated"].to_list()
    end = tokenizer(END, add_special_tokens=False)["input_ids"]
    assert sum(cut) == 4
    assert pretokenized.state.global_step == 1
    for theirs, ours, is_cut in zip(dpo.train_dataset, pretokenized.train_dataset, cut, strict=True):
        assert ours["prompt_ids"] == theirs["prompt_ids"]
        assert ours["chosen_ids"] == theirs["chosen_ids"]
        assert ours["rejected_ids"] + (end if is_cut else []) == theirs["rejected_ids"]


def test_what_the_model_is_given_has_no_end_after_a_cut_text(pretokenized: Any, tokenizer: Any, run: Run) -> None:
    cut = run.preferences["rejected_truncated"].to_list()
    pretokenized.data_collator.max_length = None
    rows = list(pretokenized.train_dataset)
    batch = pretokenized.data_collator(
        [{k: row[k] for k in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in rows]
    )
    ids, mask = batch["input_ids"].tolist(), batch["completion_mask"].tolist()
    trained_on = [[i for i, kept in zip(*both, strict=True) if kept] for both in zip(ids, mask, strict=True)]
    for chosen, rejected, is_cut in zip(trained_on[:7], trained_on[7:], cut, strict=True):
        assert tokenizer.eos_token_id in chosen
        assert (tokenizer.eos_token_id in rejected) == (not is_cut)


def test_trl_itself_does_not_take_token_ids(
    pretokenized: Any, model_folder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """Why the script has a class of its own; when this fails, it may go."""
    from trl import DPOConfig, DPOTrainer

    args = DPOConfig(output_dir=str(tmp_path / "plain"), use_cpu=True, report_to=[], bf16=False)
    with pytest.raises(KeyError):
        DPOTrainer(model=str(model_folder), args=args, train_dataset=pretokenized.train_dataset)


@pytest.mark.parametrize("all_loops", [False, True])
def test_kto_reads_true_and_false_rows(
    exported: Export, model_folder: Path, tokenizer: Any, tmp_path: Path, all_loops: bool
) -> None:
    trainer = trainer_of(exported("kto", all_loops=all_loops), model_folder, tmp_path / "kto")
    labels = trainer.train_dataset["label"]
    assert (labels.count(True), labels.count(False)) == (5, 7)
    said = [
        tokenizer.decode(row["completion_ids"])
        for row, label in zip(trainer.train_dataset, labels, strict=True)
        if label
    ]
    assert said.count(ONCE + END) == 1, "the chosen of two pairs is one row"
