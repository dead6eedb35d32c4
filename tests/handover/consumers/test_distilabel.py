"""distilabel 1.5.3 and argilla 2.8.0: their own step gives the rows that we write, their own classes take them."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import MagicMock

import polars as pl
import pytest

pytest.importorskip("distilabel", reason="the consumers are not here: make test-consumers")
pytest.importorskip("argilla", reason="the consumers are not here: make test-consumers")

import argilla as rg

from loopguard.handover.export import Exported
from loopguard.prefs.run import Run
from tests.handover.a_run import TURNS

Export = Callable[..., Exported]
pytestmark = pytest.mark.filterwarnings("ignore")  # of distilabel's own pydantic models


def test_the_rows_are_those_of_distilabels_own_step(exported: Export, run: Run) -> None:
    from distilabel.steps.formatting.dpo import FormatChatGenerationDPO

    rows = pl.read_parquet(exported("argilla").folder / "train.parquet").to_dicts()
    pairs = run.preferences.to_dicts()
    step = FormatChatGenerationDPO()
    assert set(step.outputs) == set(rows[0])
    for row, pair in zip(rows, pairs, strict=True):
        best, worst = pair["score_chosen"] or 1.0, pair["score_rejected"] or 0.0
        given = {
            "messages": pair["prompt"],
            "generations": [pair["chosen"][0]["content"], pair["rejected"][0]["content"]],
            "generation_models": [pair["model"]] * 2,
            "ratings": [best, worst],
        }
        ((made,),) = step.process([given])
        rated = {"chosen_rating": pair["score_chosen"], "rejected_rating": pair["score_rejected"]}
        assert row == {name: made[name] for name in row} | rated
    assert rows[2]["chosen"][:-1] == TURNS


def test_argilla_takes_the_rows(exported: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the written script, and its rows as records; a server alone is not asked."""
    made = exported("argilla")
    script = (made.folder / "load.py").read_text(encoding="utf-8")
    names: dict[str, object] = {"rg": rg}
    monkeypatch.setattr(rg.Argilla, "_default_client", MagicMock())  # its server
    begin, end = script.index("settings ="), script.index("dataset =")
    exec(script[begin:end], names)
    settings = names["settings"]
    assert isinstance(settings, rg.Settings)
    assert [field.name for field in settings.fields] == ["chosen", "rejected"]
    for row in pl.read_parquet(made.folder / "train.parquet").to_dicts():
        known = {name: value for name, value in row.items() if value is not None}
        fields = {name: known[name] for name in ("chosen", "rejected")}
        metadata = {item.name: known[item.name] for item in settings.metadata if item.name in known}
        record = rg.Record(fields=fields, metadata=metadata)
        assert record.fields["chosen"][-1]["role"] == "assistant"
        assert record.metadata["prompt_id"] == row["prompt_id"]
