"""Token ids with the bytes of their tokenizer: real tokenizers, and the verdict of the text."""

from __future__ import annotations

import json

import pytest

import loopguard
from benchmarks.shared import shared_data
from loopguard.errors import InputError
from tests.loops.outputs import CLEAN, LOOP

tiktoken = pytest.importorskip("tiktoken")
tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    CLEAN,
    LOOP,
    "".join(f"{i}. Item {i}\n" for i in range(300)),
    "Grüße, 世界! \U0001f600 \u200b\t\x07 naïve " * 20,
    "<0x41> and ▁ and Ġ stand for themselves",
]


def byte_level() -> tuple[object, object]:
    """A byte-level BPE trained on the texts; a special token among them."""
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, special_tokens=["<|im_end|>"])
    core.train_from_iterator(TEXTS, trainer)
    return core, lambda text: core.encode(text).ids


def sentence_piece() -> tuple[object, object]:
    """As Llama 2's: spaces written as U+2581, unknown characters as bytes."""
    core = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.normalizer = tokenizers.normalizers.Replace(" ", "\u2581")
    core.decoder = tokenizers.decoders.Sequence(
        [tokenizers.decoders.Replace("\u2581", " "), tokenizers.decoders.ByteFallback(), tokenizers.decoders.Fuse()]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", *bytes_], limit_alphabet=60)
    core.train_from_iterator([CLEAN, LOOP], trainer)
    # the byte pieces are ordinary ones, not special tokens that text could spell
    described = json.loads(core.to_str())
    described["added_tokens"] = [token for token in described["added_tokens"] if token["content"] == "<unk>"]
    core = tokenizers.Tokenizer.from_str(json.dumps(described))
    return core, lambda text: core.encode(text).ids


def tik_token() -> tuple[object, object]:
    """An encoding with a gap in its ids, as cl100k_base has."""
    ranks = {bytes([byte]): byte for byte in range(256)} | {b" the": 256, b"the": 258, b"Pa": 259}
    coding = tiktoken.Encoding("made", pat_str=r"\s?\S+|\s+", mergeable_ranks=ranks, special_tokens={"<|end|>": 261})
    return coding, coding.encode_ordinary


@pytest.mark.parametrize("make", [byte_level, sentence_piece, tik_token])
def test_the_bytes_of_the_ids_are_the_text(make: object) -> None:
    tokenizer, encode = make()  # type: ignore[operator]
    pieces = loopguard.vocabulary(tokenizer)
    for text in TEXTS[:4] if make is sentence_piece else TEXTS:
        ids = encode(text)
        assert b"".join(pieces[token] for token in ids).decode() == text
        by_ids, by_text = loopguard.detect(ids, vocabulary=pieces), loopguard.detect(text)
        assert (by_ids.looping, by_ids.reason) == (by_text.looping, by_text.reason)
        assert (by_ids.unit, by_ids.length) == ("tokens", len(ids))


def test_gaps_special_tokens_and_strangers() -> None:
    coding, _ = tik_token()
    pieces = loopguard.vocabulary(coding)
    assert pieces[256:] == [b" the", b"", b"the", b"Pa", b"", b"<|end|>"]
    core, encode = byte_level()
    assert loopguard.vocabulary(core)[encode("<|im_end|>")[0]] == b"<|im_end|>"  # type: ignore[operator]
    strangers = loopguard.detect([10**9, -1] * 60, vocabulary=pieces)
    assert strangers.looping
    assert strangers.loop is not None
    assert strangers.loop.period == 2


def test_a_tokenizer_that_loses_text_is_refused() -> None:
    core = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    core.decoder = tokenizers.decoders.WordPiece()
    with pytest.raises(InputError, match="'WordPiece' does not keep the bytes"):
        loopguard.vocabulary(core)
    with pytest.raises(InputError, match="object: no tokenizer"):
        loopguard.vocabulary(object())


@pytest.mark.embedded
def test_real_outputs_have_the_same_verdict_as_text_and_as_ids_of_the_embedded_model() -> None:
    labelled = shared_data() / "loops_dev.jsonl"
    if not labelled.exists():
        pytest.skip(f"{labelled} is not there")
    from loopguard.engines.weights import find_weights
    from loopguard.handover.gguf_tokenizer import read_gguf

    core, *_ = read_gguf(find_weights("").fetch())
    pieces = loopguard.vocabulary(core)
    texts = [json.loads(line)["text"] for line in labelled.read_text("utf-8").splitlines()]
    same = 0
    for text in texts:
        ids = core.encode(text, add_special_tokens=False).ids
        same += loopguard.detect(ids, vocabulary=pieces).looping == loopguard.detect(text).looping
    assert same / len(texts) >= 0.99
