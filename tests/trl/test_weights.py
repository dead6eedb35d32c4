"""SmolLM2 there and back: GGUF to checkpoint to GGUF keeps every weight and the head, and the embedded engine says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def again(smollm2: Path, gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from weights import gguf_from_checkpoint

    return gguf_from_checkpoint(smollm2, gguf, tmp_path_factory.mktemp("gguf") / "again.gguf")


def test_every_weight_comes_back_in_16_bits(smollm2: Path, again: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    before = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).state_dict()
    after = AutoModelForCausalLM.from_pretrained(again.parent, gguf_file=again.name, dtype=torch.float32).state_dict()
    assert before.keys() == after.keys()
    for name, values in before.items():
        expected = values if values.ndim == 1 else values.to(torch.float16).float()
        assert torch.equal(after[name].float(), expected), name


def test_the_head_is_that_of_the_first_file(gguf: Path, again: Path) -> None:
    import gguf as library

    first, second = (library.GGUFReader(str(path)).fields for path in (gguf, again))
    own = {"general.file_type", "general.quantization_version"}
    names = {name for name in first if not name.startswith("GGUF.")} - own
    assert "tokenizer.chat_template" in names
    assert {name: second[name].contents() for name in names} == {name: first[name].contents() for name in names}


def test_the_embedded_engine_reads_it(again: Path) -> None:
    """Its answer to an easy question is the model's own, so query and key heads stand where llama.cpp wants them."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: make test-trl")
    import asyncio

    from loopguard.engines import EngineOptions, Request, open_engine

    async def asked() -> str:
        engine = open_engine(f"embedded:{again}", EngineOptions(concurrency=1, context=256))
        try:
            question = ({"role": "user", "content": "What is the capital of France?"},)
            (answer,) = await engine.ask(Request(messages=question, temperature=0.0, max_tokens=12))
            return answer.content
        finally:
            await engine.close()

    assert "Paris" in asyncio.run(asked())
