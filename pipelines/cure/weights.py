"""A model's weights as a checkpoint that trainers read and as the GGUF file that the embedded engine reads.

A GGUF file written here has the head of the one that the checkpoint came from (vocabulary, chat template, sizes) and the
checkpoint's tensors in 16 bits, so that before and after training are measured alike. Llama architectures only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def checkpoint_from_gguf(gguf: Path, out: Path) -> Path:
    """Write the folder `out` that `from_pretrained` reads: dequantised 32-bit weights, tokenizer, chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    for trace in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(config, trace):
            delattr(config, trace)
    model = LlamaForCausalLM(config)  # the loaded one calls itself quantised and refuses to be saved
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    end = model.generation_config.eos_token_id
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)  # some transformers name another one
    tokenizer.save_pretrained(out)
    return out


def gguf_from_checkpoint(checkpoint: Path, like: Path, out: Path) -> Path:
    """Write the weights of `checkpoint` as a GGUF file with the head of `like`."""
    import gguf
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    state, config = model.state_dict(), model.config
    reader = gguf.GGUFReader(str(like))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    by_name = {names.get_name(name, try_suffixes=(".weight",)): name for name in state}
    writer = gguf.GGUFWriter(str(out), "llama")
    _copy_head(reader, writer, gguf)
    for tensor in reader.tensors:
        values = state[by_name[tensor.name]].float()
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            values = _interleave(values, heads[kind])
        array = values.numpy()
        writer.add_tensor(tensor.name, array.astype("float32" if array.ndim == 1 else "float16"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _interleave(values: Any, heads: int) -> Any:
    """Rows of a query or key matrix in the order of llama.cpp's rotary embedding: the halves of each head interleaved."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _copy_head(reader: Any, writer: Any, gguf: Any) -> None:
    """Every field but those that the writer sets itself."""
    own = {"general.architecture", "general.file_type", "general.quantization_version"}
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in own:
            continue
        kinds = field.types
        writer.add_key_value(name, field.contents(), kinds[0], sub_type=kinds[1] if len(kinds) > 1 else None)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
