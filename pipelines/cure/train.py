"""DPO on a run's pairs with TRL: what is trained is what the run says, down to the end-of-sequence token.

A rejected text that was cut by the length limit gets no end-of-sequence token here (TRL's own chat rendering would give it
one, and teach "never stop inside a loop"): the pairs are tokenised before and TRL's tokenisation is passed over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What decides a training; kept with its results."""

    beta: float = 0.1
    """How strongly the model is held to what it was."""
    sft_weight: float = 0.2
    """Weight of the likelihood of the chosen answer beside the preference loss: without it both sides lose likelihood."""
    learning_rate: float = 2e-6
    max_length: int = 512
    """Tokens of prompt and answer that the trainer sees."""
    batch: int = 8
    """Pairs per step, one at a time."""
    epochs: float = 1.0
    max_steps: int = -1
    """Stop after so many steps; -1: after the epochs."""
    eos_on_truncated: bool = False
    """True: a length-cut rejected ends in the end-of-sequence token, as trainers do by themselves."""
    bf16: bool = False
    """Multiply in 16 bits on a processor too (several times faster where it has AMX); a GPU always does. Weights stay in 32."""
    seed: int = 0


def tokenised(pairs: list[dict[str, Any]], tokenizer: Any, *, eos_on_truncated: bool) -> list[dict[str, list[int]]]:
    """prompt_ids, chosen_ids, rejected_ids of each pair, as TRL's collator takes them."""
    rows = []
    end = _closing(tokenizer)
    for pair in pairs:
        prompt = _ids(tokenizer, _rendered(tokenizer, pair["prompt"], add_generation_prompt=True))
        sides = {}
        for side in ("chosen", "rejected"):
            text = _rendered(tokenizer, [*pair["prompt"], *pair[side]])
            if side == "rejected" and pair["rejected_truncated"] and not eos_on_truncated:
                text = text.removesuffix(end)
            whole = _ids(tokenizer, text)
            if whole[: len(prompt)] != prompt:
                raise SystemExit("cure: this chat template does not begin an answer where it asks for one")
            sides[f"{side}_ids"] = whole[len(prompt) :]
        rows.append({"prompt_ids": prompt, **sides})
    return rows


def _rendered(tokenizer: Any, messages: list[dict[str, str]], *, add_generation_prompt: bool = False) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _closing(tokenizer: Any) -> str:
    """What the chat template writes after an answer: the end-of-turn token, perhaps a newline."""
    probe = "loopguard0probe"
    text = _rendered(tokenizer, [{"role": "user", "content": "?"}, {"role": "assistant", "content": probe}])
    before, _, after = text.rpartition(probe)
    if not before:
        raise SystemExit("cure: this chat template does not write an answer as it is")
    return after


def train(pairs: list[dict[str, Any]], checkpoint: Path, out: Path, how: Training) -> list[dict[str, float]]:
    """Train `checkpoint` on the pairs, write it to `out`; the log, one row a step."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    class PreTokenised(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    rows = tokenised(pairs, tokenizer, eos_on_truncated=how.eos_on_truncated)
    rows = [row for row in rows if len(row["prompt_ids"]) < how.max_length - 16]
    cuda = torch.cuda.is_available()
    config = DPOConfig(
        output_dir=str(out),
        beta=how.beta,
        loss_type=["sigmoid", "sft"] if how.sft_weight else ["sigmoid"],
        loss_weights=[1.0, how.sft_weight] if how.sft_weight else None,
        learning_rate=how.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=2,
        max_length=how.max_length,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=how.batch,
        num_train_epochs=how.epochs,
        max_steps=how.max_steps,
        logging_steps=1,
        save_strategy="no",
        bf16=cuda or how.bf16,
        use_cpu=not cuda,
        gradient_checkpointing=cuda,
        precompute_ref_log_probs=how.max_steps < 0,  # for all pairs, also those that are never trained on
        report_to=[],
        seed=how.seed,
    )
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    trainer = PreTokenised(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.train()
    trainer.save_model(str(out))
    tokenizer.save_pretrained(out)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    (out / "training.json").write_text(json.dumps({"training": asdict(how), "pairs": len(rows), "log": log}, indent=1))
    return log
