"""vLLM's names and ours without vLLM: what is sent, what is read, what is refused; and a machine that has no vLLM."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loopguard.engines import Completion, EngineOptions, Request, open_engine
from loopguard.engines.vllm_arguments import check_names, first_logprobs, read_output, sampling_fields
from loopguard.errors import EngineError, InputError, MissingExtra

HI = [{"role": "user", "content": "Hi"}]
NAMES = ["max_model_len", "max_num_seqs", "dtype", "model"]


@pytest.mark.parametrize(
    ("asked", "extra", "sent"),
    [
        ({"temperature": 0.8, "seed": 3, "n": 5}, {}, {"n": 5, "temperature": 0.8, "top_p": 1.0, "seed": 3}),
        ({"seed": 3}, {}, {"n": 1, "temperature": 0.0, "top_p": 1.0}),  # greedy draws nothing
        ({"top_logprobs": 20}, {}, {"n": 1, "temperature": 0.0, "top_p": 1.0, "logprobs": 20}),
        (
            {"json_schema": {"type": "integer"}},
            {},
            {"n": 1, "temperature": 0.0, "top_p": 1.0, "structured_outputs": {"json": {"type": "integer"}}},
        ),
        (
            {"early_stop": {"min_count": 4}},
            {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}},
            {"n": 1, "temperature": 0.0, "top_p": 1.0, "top_k": 20, "repetition_detection": {"min_count": 4}},
        ),
    ],
)
def test_a_request_as_sampling_parameters(asked: dict[str, Any], extra: dict[str, Any], sent: dict[str, Any]) -> None:
    request = Request(messages=HI, max_tokens=7, **asked)
    assert sampling_fields(request, extra) == {"max_tokens": 7} | sent


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"max_model_length": 1}, "args: vLLM knows no 'max_model_length'; did you mean max_model_len?"),
        ({"num_seqs": 1}, "args: vLLM knows no 'num_seqs'; did you mean max_num_seqs?"),
        ({"zzz": 1}, "args: vLLM knows no 'zzz'; it knows 3 others"),
        ({"model": "x"}, "args: 'model' is set by loopguard itself"),
    ],
)
def test_a_name_that_is_not_known(given: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        check_names(given, NAMES, what="args", taken=("model",))
    assert str(caught.value) == line
    check_names({"dtype": "half"}, NAMES, what="args", taken=("model",))


def choice(index: int, finish: str | None, **more: Any) -> SimpleNamespace:
    known = {"text": f"text {index}", "token_ids": (1, 2, index), "stop_reason": None, "logprobs": None}
    return SimpleNamespace(index=index, finish_reason=finish, **(known | more))


def test_an_output_as_completions_in_choice_order() -> None:
    output = SimpleNamespace(
        prompt_token_ids=[9] * 4,
        outputs=[choice(1, "repetition", stop_reason="repetition_detected"), choice(0, "stop", stop_reason=2)],
    )
    assert read_output(output) == [
        Completion(content="text 0", stop_reason="2", prompt_tokens=4, completion_tokens=3, token_ids=[1, 2, 0]),
        Completion(
            content="text 1",
            finish_reason="repetition",
            stop_reason="repetition_detected",
            prompt_tokens=4,
            completion_tokens=3,
            token_ids=[1, 2, 1],
        ),
    ]


def test_choices_before_one_that_was_given_up_are_kept() -> None:
    outputs = [choice(0, "stop"), choice(1, "abort"), choice(2, "stop")]
    assert len(read_output(SimpleNamespace(prompt_token_ids=None, outputs=outputs))) == 1
    with pytest.raises(EngineError, match="gave the request up: finish_reason 'abort'"):
        read_output(SimpleNamespace(prompt_token_ids=None, outputs=outputs[1:]))


def test_of_two_tokens_with_one_text_the_likelier_counts() -> None:
    def token(text: str | None, logprob: float) -> SimpleNamespace:
        return SimpleNamespace(decoded_token=text, logprob=logprob)

    first = {1: token("4", -1.0), 2: token("4", -0.5), 3: token("5", float("-inf")), 4: token(None, -0.1)}
    assert first_logprobs([first, {9: token("x", 0.0)}]) == {"4": -0.5}
    assert first_logprobs([]) is None
    assert first_logprobs(None) is None


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_error_is_the_line_that_installs_it() -> None:
    with pytest.raises(MissingExtra, match=r"^the vllm engine needs vLLM: pip install 'loopguard-prefs\[vllm\]'$"):
        open_engine("vllm:some/model")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_what_cannot_be_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    for rest, words in [
        ("", "vllm needs a model"),
        ("./nothing", "no such folder"),
        (str(tmp_path), "a folder without config.json"),
        (str(tmp_path / "model.gguf"), "is a file"),
    ]:
        with pytest.raises(InputError, match=words):
            open_engine(f"vllm:{rest}")
    with pytest.raises(InputError, match="is the model a/b; for c/d pass vllm:c/d"):
        open_engine("vllm:a/b", EngineOptions(model="c/d"))
