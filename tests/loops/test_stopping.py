"""Stopping while it generates: rows of a transformers batch, streamed answers; at the place where `detect` says so."""

from __future__ import annotations

from typing import Any

import openai.types.chat.chat_completion_chunk as chat
import pytest

import loopguard
from loopguard.errors import InputError
from loopguard.loops.stopping import LoopStopping, LoopWatch
from tests.loops.outputs import CLEAN, PERIOD, TOKEN_LOOP, TOKENS_CLEAN


def first_looping_prefix(output: Any) -> int:
    """Symbols after which `detect` first says that it loops."""
    return next(n for n in range(1, len(output) + 1) if loopguard.detect(output[:n]).looping)


# -- transformers


def test_a_row_stops_where_detect_says() -> None:
    stopping = LoopStopping()
    fed = 0
    while not stopping.feed([[TOKEN_LOOP[fed]], [TOKENS_CLEAN[fed]]])[0]:
        fed += 1
    assert fed + 1 == first_looping_prefix(TOKEN_LOOP)
    assert stopping.verdicts == [loopguard.detect(TOKEN_LOOP[: fed + 1]), None]
    assert stopping.feed([[1], [1]]) == [True, False]  # what comes later changes nothing


def test_the_text_of_tokens_may_be_examined() -> None:
    vocabulary = [bytes([i]) for i in range(256)]
    stopping = LoopStopping(vocabulary=vocabulary)
    text = CLEAN + " " + PERIOD * 40
    fed = next(n for n, byte in enumerate(text.encode(), start=1) if stopping.feed([[byte]])[0])
    assert fed == first_looping_prefix(text)
    assert stopping.verdicts == [loopguard.detect(text[:fed])]


def test_padding_is_no_loop() -> None:
    stopping = LoopStopping(eos_token_id=[2, 3])
    assert stopping.feed([[5, 6, 2], [7, 8, 9]]) == [False, False]
    assert stopping.feed([[0] * 500, [9, 3, *[0] * 500]]) == [False, False]
    assert stopping.verdicts == [None, None]


def test_another_batch_starts_anew() -> None:
    stopping = LoopStopping()
    assert stopping.feed([TOKEN_LOOP]) == [True]
    assert stopping.feed([TOKENS_CLEAN, TOKENS_CLEAN]) == [False, False]


def test_in_transformers() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=32, pad_token_id=0, bos_token_id=1, eos_token_id=None, **sizes)
    model = transformers.LlamaForCausalLM(config)
    stopping = LoopStopping()
    criteria = transformers.StoppingCriteriaList([stopping])
    prompt = torch.tensor([[5, 6, 7]])
    for _ in range(2):  # one criterion serves many calls
        ids = model.generate(prompt, max_new_tokens=1000, do_sample=False, stopping_criteria=criteria)
        made = ids[0, 3:].tolist()
        assert len(made) == first_looping_prefix(made) < 1000
        assert stopping.verdicts == [loopguard.detect(made)]


# -- streamed answers


def chunk(index: int = 0, *, finish_reason: Any = None, **delta: Any) -> chat.ChatCompletionChunk:
    """A chunk as the openai package hands it out."""
    choice = chat.Choice(index=index, delta=chat.ChoiceDelta(**delta), finish_reason=finish_reason)
    return chat.ChatCompletionChunk(id="x", choices=[choice], created=0, model="m", object="chat.completion.chunk")


def pieces(text: str, size: int = 4) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


@pytest.mark.parametrize("field", ["content", "reasoning", "reasoning_content"])
def test_a_chat_stops_where_detect_says(field: str) -> None:
    text = CLEAN + " " + PERIOD * 40
    watch = LoopWatch()
    fed = next(n for n, piece in enumerate(pieces(text, 1), start=1) if watch(chunk(**{field: piece})))
    assert fed == first_looping_prefix(text)
    assert watch.verdict == loopguard.detect(text[:fed])


def test_a_clean_chat_goes_on() -> None:
    watch = LoopWatch()
    assert not any(watch(chunk(content=piece)) for piece in pieces(CLEAN))
    assert not watch(chunk(finish_reason="stop"))
    assert not watch({"choices": [], "usage": {"completion_tokens": 9}})
    assert watch.verdict is None


def raw(**choice: Any) -> dict[str, Any]:
    return {"choices": [choice]}


@pytest.mark.parametrize(
    "make",
    [
        lambda text: raw(index=0, text=text),
        lambda text: raw(index=0, delta={"content": text}),
        lambda text: raw(index=0, delta={"tool_calls": [{"index": 1, "function": {"arguments": text}}]}),
        lambda text: {"type": "response.output_text.delta", "output_index": 0, "delta": text},
        lambda text: {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": text},
    ],
)
def test_forms_of_chunks(make: Any) -> None:
    assert any(LoopWatch()(make(PERIOD * 40)) for _ in range(1))
    watch = LoopWatch()
    assert not any(watch(make(piece)) for piece in pieces(CLEAN))


def test_parts_are_watched_apart() -> None:
    watch = LoopWatch()
    assert not any(watch(raw(index=0, delta={"reasoning": PERIOD, "content": CLEAN})) for _ in range(2))


def test_several_choices_stop_when_all_loop_or_have_ended() -> None:
    watch = LoopWatch(n=3)
    assert not watch(chunk(0, content=PERIOD * 40))
    assert list(watch.verdicts) == [0]
    assert not watch(chunk(1, content=CLEAN, finish_reason="stop"))
    assert watch(chunk(2, content=PERIOD * 40))
    assert list(watch.verdicts) == [0, 2]
    with pytest.raises(InputError, match="n is 0"):
        LoopWatch(n=0)
