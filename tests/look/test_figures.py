"""Every figure of three prompts whose figures can be counted by hand, and of real runs against their summary."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import loopguard
from loopguard.errors import InputError
from loopguard.look import figures, panels
from loopguard.look.subject import Subject, Texts, open_subject
from loopguard.loops.statistics import wilson
from tests.look.many import make_many
from tests.look.subjects import small, write_run

_TEXTS = Texts(path=Path("x"), output=None, prompt=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """`small`: of 9 outputs 2 loop. Lengths in tokens: 53, 2, 21 / 1, 6, 1 / 1, 1, 0."""
    return open_subject(write_run(tmp_path_factory.mktemp("look") / "run", small()))


def rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return [tuple(row) for row in frame.iter_rows()]


def test_what_a_subject_holds(run: Subject) -> None:
    assert run.unit == "tokens"
    assert run.outputs["length"].to_list() == [53, 2, 21, 1, 6, 1, 1, 1, 0]
    loop, counter = run.looping.to_dicts()
    assert loop["onset"] == pytest.approx(4 * 53 / 214)
    assert loop["wasted"] == pytest.approx((214 - 4 - 7) / 214 * 53)
    assert counter["onset"] == 0
    assert counter["wasted"] == pytest.approx(72 / 85 * 21)
    assert run.notes == ()


def test_loop_rate(run: Subject) -> None:
    found = figures.loop_rate(run, "decoding")
    assert rows(found.select("group", "looping", "total", "prompts")) == [("greedy", 1, 3, 3), ("sampled", 1, 6, 3)]
    assert found["rate"].to_list() == pytest.approx([1 / 3, 1 / 6])
    assert (found["low"][0], found["high"][0]) == pytest.approx(wilson(1, 3))
    assert rows(figures.loop_rate(run).select("group", "looping", "total")) == [("all", 2, 9)]


def test_loop_rate_by_a_number_keeps_its_order(run: Subject) -> None:
    assert figures.loop_rate(run, "temperature")["group"].to_list() == ["0.8", "0"]
    sorted_ = run.outputs.sort("temperature")
    again = Subject(name="x", path=run.path, source="run", outputs=sorted_, texts=run.texts, unit="tokens")
    assert figures.loop_rate(again, "temperature")["group"].to_list() == ["0", "0.8"]


def test_loop_rate_by_no_such_column(run: Subject) -> None:
    with pytest.raises(InputError, match="no column modle to group by; it has row, index, decoding"):
        figures.loop_rate(run, "modle")


def test_loops(run: Subject) -> None:
    assert rows(figures.kinds(run)) == [("counter", "recovered", 1), ("verbatim", "terminal", 1)]
    assert rows(figures.onsets(run)) == [(1.0, 2.0, 2)]
    assert rows(figures.periods(run)) == [(4.0, 8.0, 1), (8.0, 16.0, 1)]
    assert rows(figures.copies(run)) == [(8.0, 16.0, 1), (16.0, 32.0, 1)]
    assert figures.waste(run)["outputs"].sum() == 2
    lengths = figures.lengths(run)
    assert dict(lengths.group_by("what").agg(pl.col("outputs").sum()).iter_rows()) == {"clean": 6, "looping": 2}


def test_scores_and_pairs(run: Subject) -> None:
    scores = figures.scores(run)
    assert dict(scores.group_by("used").agg(pl.col("outputs").sum()).iter_rows()) == {
        "chosen": 2,
        "rejected": 1,
        "neither": 2,
    }
    assert rows(figures.margins(run).filter(pl.col("outputs") > 0)) == [(pytest.approx(2.85), 3.0, 1)]
    assert rows(figures.pairs(run)) == [("loop", "verbatim", 1), ("score", None, 1)]
    assert rows(figures.skips(run)) == [("skipped", "tie", 1)]
    assert {reason: one.value for reason, one in figures.shorter_chosen(run).items()} == {"loop": 1.0, "score": 1.0}
    bias = figures.length_bias(run)
    assert rows(bias.select("reason", "pairs")) == [("loop", 1), ("score", 1)]
    assert rows(bias.select("low", "high")) == [(-4.5, -4.0), (-3.0, -2.5)]  # 10 / 214 and 4 / 27 characters


def test_cost(run: Subject) -> None:
    spent = dict(figures.spending(run).iter_rows())
    wasted = (203 / 214 * 53) + (72 / 85 * 21)
    assert spent == pytest.approx({"clean": 12, "looping, said once": 74 - wasted, "repetition": wasted})
    calls = dict(figures.judge_calls(run).iter_rows())
    assert calls == {"scored": 5, "saved: it loops": 2, "saved: equal to another": 1, "not asked": 1}


def test_the_longest_fifth_against_the_shortest() -> None:
    """Scores that rise by 1 from the shortest fifth to the longest."""
    outputs = pl.DataFrame(
        {
            "prompt_id": [f"p{k % 20}" for k in range(100)],
            "length": list(range(1, 101)),
            "score": [1.0 + (k // 20) * 0.25 for k in range(100)],
            "used_as": pl.Series([None] * 100, dtype=pl.String),
        }
    )
    made = Subject(name="x", path=Path("x"), source="run", outputs=outputs, texts=_TEXTS, unit="tokens")
    assert figures.longest_against_shortest(made).value == pytest.approx(1.0)
    frame = figures.score_by_length(made)
    assert frame["group"].to_list() == ["1 to 20", "21 to 40", "41 to 60", "61 to 80", "81 to 100"]
    assert frame["mean"].to_list() == pytest.approx([1.0, 1.25, 1.5, 1.75, 2.0])


def test_fifths_of_few_values() -> None:
    assert figures.fifths(pl.Series([5, 5, 5, None])).to_list() == ["5", "5", "5", "(none)"]
    assert figures.fifths(pl.Series([0.5, 1.5, 2.5])).to_list() == ["0.5", "1.5", "2.5"]


@pytest.mark.parametrize(
    ("values", "fine", "edges"),
    [
        ([1, 2, 9], False, [1, 2, 4, 8, 16]),
        ([16, 40], False, [16, 23, 32, 45]),
        ([3, 20], True, [16, 19, 23]),
        ([], False, [1, 2]),
        ([1024], False, [1024, 1448]),
    ],
)
def test_bin_edges(values: list[float], fine: bool, edges: list[float]) -> None:
    assert figures.bin_edges(pl.Series(values, dtype=pl.Float64), fine=fine).tolist() == edges


def test_every_value_is_in_a_bin() -> None:
    values = pl.Series([1.0, 2.0, 3.9, 16.0, 1000.0, 4096.0])
    assert figures.binned(values)["outputs"].sum() == 6


def test_a_real_run_agrees_with_its_summary(tmp_path: Path) -> None:
    """Counted by the pipeline while it wrote, and by the figures from the tables."""
    run = make_many(tmp_path, 60)
    subject = open_subject(run)
    summary = run.summary
    found = {row["group"]: row for row in figures.loop_rate(subject, "decoding").to_dicts()}
    for decoding in ("greedy", "sampled"):
        told = summary["loop_rate"][decoding]
        assert (found[decoding]["looping"], found[decoding]["total"]) == (told["looping"], told["total"])
    greedy = summary["loop_rate"]["greedy"]
    assert (found["greedy"]["low"], found["greedy"]["high"]) == pytest.approx((greedy["low"], greedy["high"]))
    kinds = {f"{kind}, {ending}": count for kind, ending, count in figures.kinds(subject).iter_rows()}
    assert kinds == summary["loops_by_kind"]
    reasons = dict(figures.pairs(subject).group_by("reason").agg(pl.col("pairs").sum()).iter_rows())
    assert reasons == {name: summary["pairs"][name] for name in ("loop", "score") if summary["pairs"][name]}
    assert subject.looping["wasted"].sum() == pytest.approx(summary["tokens"]["wasted_in_loops"], abs=1)
    assert dict(figures.judge_calls(subject).iter_rows())["saved: it loops"] == summary["judge"]["calls_saved_by_loops"]


def test_a_scan_agrees_with_its_table(tmp_path: Path) -> None:
    """The verdict file of the command and the frame of the library, by model."""
    texts = ["fine and well", "again and " * 60, "also fine", None]
    frame = pl.DataFrame({"model": ["a", "a", "b", "b"], "question": ["p", "q", "p", "q"], "output": texts})
    frame.write_parquet(tmp_path / "in.parquet")
    from loopguard.loops.scan import scan_files

    scan_files([str(tmp_path / "in.parquet")], out=tmp_path / "verdicts.parquet")
    subject = open_subject(tmp_path / "verdicts.parquet")
    assert subject.texts.output == "output"
    assert subject.texts.prompt == "question"
    assert subject.outputs["prompt_id"].n_unique() == 2
    assert subject.outputs["length"].to_list() == [13, 600, 9, None]
    found = figures.loop_rate(subject, "model")
    assert rows(found.select("group", "looping", "total")) == [("a", 1, 2), ("b", 0, 1)]
    assert panels.automatic(subject) == ["model"]
    assert loopguard.scan(frame)["looping"].sum() == subject.looping.height
