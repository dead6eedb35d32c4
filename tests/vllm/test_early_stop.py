"""The default of early stop on real outputs: what vLLM's own rule leaves of a loop still shows it, good outputs go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.early_stop import stop_of
from benchmarks.shared import shared_data
from loopguard import Detector
from loopguard.prefs.recipe import EarlyStop

OUTPUTS = shared_data() / "outputs.parquet"

pytestmark = pytest.mark.skipif(not OUTPUTS.is_file(), reason="the real outputs ($LOOPGUARD_SHARED) are not here")


@pytest.fixture(scope="module")
def outputs(checkpoint: Path) -> tuple[Any, list[list[int]], list[list[int]]]:
    """A tokenizer, and the token ids of every real output that loops and of three thousand that do not."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    texts = [text for text in pl.read_parquet(OUTPUTS)["output"] if text]
    verdicts = Detector().detect_batch(texts)
    looping = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict.looping]
    clean = [text for text, verdict in zip(texts, verdicts, strict=True) if not verdict.looping][:3000]

    def ids(some: list[str]) -> list[list[int]]:
        return [one.ids for one in tokenizer.encode_batch_fast(some, add_special_tokens=False)]

    return tokenizer, ids(looping), ids(clean)


def test_what_is_left_of_a_stopped_loop_still_shows_it(outputs: tuple[Any, list[list[int]], list[list[int]]]) -> None:
    tokenizer, looping, _ = outputs
    stops = [(ids, stop) for ids in looping if (stop := stop_of(ids, EarlyStop())) is not None]
    kept = [tokenizer.decode(ids[:stop], skip_special_tokens=False) for ids, stop in stops]
    seen = sum(verdict.looping for verdict in Detector().detect_batch(kept))
    assert len(stops) >= 80
    assert seen >= 0.97 * len(stops)


def test_good_outputs_are_not_stopped(outputs: tuple[Any, list[list[int]], list[list[int]]]) -> None:
    _, _, clean = outputs
    assert not [ids for ids in clean if stop_of(ids, EarlyStop()) is not None]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while vLLM is imported
def test_the_stop_is_vllms_own(outputs: tuple[Any, list[list[int]], list[list[int]]]) -> None:
    """To the token: vLLM's function says yes there, and not one token before."""
    from vllm.sampling_params import RepetitionDetectionParams
    from vllm.v1.core.sched.utils import check_sequence_repetition

    _, looping, clean = outputs
    rule = RepetitionDetectionParams(**EarlyStop().model_dump())
    checked = 0
    for ids in looping:
        stop = stop_of(ids, EarlyStop())
        if stop is not None:
            assert check_sequence_repetition(ids[:stop], rule)
            assert not check_sequence_repetition(ids[: stop - 1], rule)
            checked += 1
    assert checked >= 80
    assert not any(check_sequence_repetition(ids, rule) for ids in clean)
