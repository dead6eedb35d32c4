"""The data trains: TRL's DPOTrainer on a run just built, on SmolLM2 itself; and the cure's own training. `make test-trl`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from loopguard import Run

pytestmark = pytest.mark.filterwarnings("default")

FIRST_LOSS = math.log(2)
"""Of DPO before the first step, whatever the pairs: the model is its own reference."""
COLUMNS = ("prompt", "chosen", "rejected", "rejected_truncated")


def pairs_of(run: Run, count: int) -> list[dict[str, Any]]:
    return run.preferences.select(COLUMNS).head(count).to_dicts()


def test_the_run_has_pairs_of_loops(run: Run) -> None:
    assert run.summary["pairs"]["total"] == len(run.preferences) == 12
    assert set(run.preferences["reason"]) == {"loop"}


def test_dpo_trains_smollm2_on_the_table_as_it_is(run: Run, smollm2: Path, tmp_path: Path) -> None:
    """Plain TRL, the Parquet file unchanged, all defaults but for size: loss from ln 2 down, margins from 0 up."""
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer

    data = load_dataset("parquet", data_files=str(run.path / "preferences.parquet"), split="train").select(range(4))
    args = DPOConfig(
        output_dir=str(tmp_path),
        max_length=192,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=4,
        logging_steps=1,
        save_strategy="no",
        precompute_ref_log_probs=True,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to=[],
    )
    trainer = DPOTrainer(model=str(smollm2), args=args, train_dataset=data)
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    losses = [entry["loss"] for entry in log]
    margins = [entry["rewards/margins"] for entry in log]
    assert len(losses) == 4
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[0] == pytest.approx(FIRST_LOSS, abs=1e-3)
    assert losses[-1] < losses[0] - 0.05
    assert margins[0] == pytest.approx(0, abs=1e-3)
    assert margins[-1] > 0.1
    assert log[-1]["rewards/accuracies"] == 1.0


def margin(checkpoint: Path, pairs: list[dict[str, Any]]) -> float:
    """Mean log-likelihood of the chosen answers less that of the rejected ones, under a checkpoint."""
    import torch
    from train import tokenised
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    rows = tokenised(pairs, AutoTokenizer.from_pretrained(checkpoint), eos_on_truncated=False)
    likelihood: dict[str, float] = {"chosen_ids": 0.0, "rejected_ids": 0.0}
    for row in rows:
        for side in likelihood:
            ids = torch.tensor([row["prompt_ids"] + row[side]])
            with torch.no_grad():
                told = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            likelihood[side] += told[len(row["prompt_ids"]) - 1 :].sum().item()
    return (likelihood["chosen_ids"] - likelihood["rejected_ids"]) / len(rows)


def small_training() -> Any:
    from train import Training

    return Training(learning_rate=3e-3, batch=2, epochs=2, max_length=256, sft_weight=0.0)


def test_the_cures_training_moves_towards_the_chosen(run: Run, tiny: Path, tmp_path: Path) -> None:
    from train import train

    pairs = pairs_of(run, 6)
    log = train(pairs, tiny, tmp_path / "out", small_training())
    kept = json.loads((tmp_path / "out" / "training.json").read_text())
    assert kept["pairs"] == 6
    assert kept["log"] == log
    assert len(log) == 6
    assert log[0]["loss"] == pytest.approx(FIRST_LOSS, abs=1e-3)
    assert log[-1]["rewards/margins"] > 1
    assert margin(tmp_path / "out", pairs) > margin(tiny, pairs) + 10


def test_swapped_pairs_move_it_away(run: Run, tiny: Path, tmp_path: Path) -> None:
    """The test above can fail: with chosen and rejected swapped the same figures go the other way."""
    from train import train

    pairs = pairs_of(run, 6)
    swapped = [
        row | {"chosen": row["rejected"], "rejected": row["chosen"], "rejected_truncated": False} for row in pairs
    ]
    train(swapped, tiny, tmp_path / "out", small_training())
    assert margin(tmp_path / "out", pairs) < margin(tiny, pairs) - 10


@pytest.mark.parametrize("eos_on_truncated", [False, True])
def test_a_cut_text_is_trained_without_an_end(run: Run, smollm2: Path, *, eos_on_truncated: bool) -> None:
    """Down to the collated batch: what is trained of a rejected text that the limit cut ends in its last word."""
    from train import tokenised
    from transformers import AutoTokenizer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    pairs = pairs_of(run, 12)
    assert {row["rejected_truncated"] for row in pairs} == {True}
    rows = tokenised(pairs, tokenizer, eos_on_truncated=eos_on_truncated)
    batch = DataCollatorForPreference(pad_token_id=0)(rows)
    trained = [
        [token for token, kept in zip(*both, strict=True) if kept]
        for both in zip(batch["input_ids"].tolist(), batch["completion_mask"].tolist(), strict=True)
    ]
    for pair, chosen, rejected in zip(pairs, trained[:12], trained[12:], strict=True):
        assert tokenizer.decode(chosen) == pair["chosen"][0]["content"] + "<|im_end|>\n"
        end = "<|im_end|>\n" if eos_on_truncated else ""
        assert tokenizer.decode(rejected) == pair["rejected"][0]["content"] + end
