"""What `loopguard check --trainer openrlhf` says is what OpenRLHF's dataset of train_dpo gives. Needs openrlhf and torch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf", reason="needs openrlhf and torch: make test-consumers")

from loopguard.handover.pairs import pair_of
from loopguard.handover.tokenizers_at_hand import open_tokenizer
from loopguard.handover.trainer_views import TRAINERS, PairTokens
from tests.handover.consumers.test_check_against_trl import CONVERSATIONS, STRINGS
from tests.handover.small_tokenizer import CHATML, ENDLESS, FORGETFUL, STRICT, write_tokenizer

pytestmark = pytest.mark.filterwarnings("default")

CASES = {
    "chatml": (CHATML, CONVERSATIONS),
    "strict": (STRICT, CONVERSATIONS),
    "forgetful": (FORGETFUL, CONVERSATIONS),
    "endless": (ENDLESS, CONVERSATIONS),
    "strings": (None, STRINGS),
}


def given_by_openrlhf(
    rows: list[dict[str, Any]], folder: Path, max_length: int
) -> list[tuple[list[int], list[int], int]]:
    """(chosen ids, rejected ids, tokens of the prompt) of each pair that is left."""
    from datasets import Dataset
    from openrlhf.datasets.reward_dataset import RewardDataset
    from transformers import AutoTokenizer

    templated = not isinstance(rows[0]["prompt"], str)
    data = SimpleNamespace(
        prompt_key="prompt", chosen_key="chosen", rejected_key="rejected", apply_chat_template=templated
    )
    strategy = SimpleNamespace(args=SimpleNamespace(data=data))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = RewardDataset(Dataset.from_list(rows), tokenizer, max_length, strategy, is_dpo=True, num_processors=1)
    items = [found[i] for i in range(len(found))]
    return [(chosen[0].tolist(), rejected[0].tolist(), int(prompt)) for chosen, _, rejected, _, prompt in items]


@pytest.mark.parametrize("max_length", [64, 200, 4096])
@pytest.mark.parametrize("case", CASES)
def test_the_tokens_are_those_of_the_trainer(case: str, max_length: int, tmp_path: Path) -> None:
    template, rows = CASES[case]
    folder, trainer = write_tokenizer(tmp_path / "model", template), TRAINERS["openrlhf"]
    tokenizer = open_tokenizer(str(folder))
    expected = []
    for tokens in trainer.prepare(tokenizer, [pair_of(number, row) for number, row in enumerate(rows, start=1)]):
        assert isinstance(tokens, PairTokens)
        cut = trainer.trained(tokens, max_length, tokenizer.eos_id)
        if cut is not None:
            expected.append((*cut, tokens.prompt))
    assert expected
    assert given_by_openrlhf(rows, folder, max_length) == expected


@pytest.mark.parametrize("room", [2, 3])
def test_a_prompt_is_dropped_that_leaves_no_room(room: int, tmp_path: Path) -> None:
    rows, trainer = [CONVERSATIONS[0], CONVERSATIONS[1]], TRAINERS["openrlhf"]
    folder = write_tokenizer(tmp_path / "model", CHATML)
    pairs = [pair_of(number, row) for number, row in enumerate(rows, start=1)]
    _, tokens = trainer.prepare(open_tokenizer(str(folder)), pairs)
    assert isinstance(tokens, PairTokens)
    kept = len(given_by_openrlhf(rows, folder, tokens.prompt + room)) == 2
    assert kept == (tokens.needs <= tokens.prompt + room) == (room == 3)
