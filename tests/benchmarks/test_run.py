"""The table: statistics with known answers, and the command on a small labelled file."""

import json
import sys

import pytest

from benchmarks.detector import run
from benchmarks.detector.planted import planted
from benchmarks.detector.rows import ok
from benchmarks.detector.scores import rates, recall_by, spans
from benchmarks.environment import environment
from loopguard.records import Loop, Verdict


@pytest.mark.parametrize(
    ("truth", "said", "precision", "recall", "f1", "false_positives"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0, 1.0, 1.0, 0.0),
        ([1, 1, 0, 0], [1, 0, 1, 0], 0.5, 0.5, 0.5, 0.5),
        ([1, 1, 0, 0], [0, 0, 0, 0], 0.0, 0.0, 0.0, 0.0),
        ([0, 0], [1, 0], 0.0, 0.0, 0.0, 0.5),
        ([1, 1, 1, 0], [1, 1, 1, 1], 0.75, 1.0, 6 / 7, 1.0),
        ([], [], 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_rates(truth, said, precision, recall, f1, false_positives):
    found = rates(truth, said)
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(f1)
    assert found["false_positive_rate"] == pytest.approx(false_positives)
    assert found["f1_low"] <= found["f1"] <= found["f1_high"]


def test_bootstrap_interval_narrows_with_rows():
    truth, said = [True, True, False, False] * 10, [True, False, True, False] * 10
    few, many = rates(truth, said), rates(truth * 50, said * 50)
    assert few["f1_high"] - few["f1_low"] > 4 * (many["f1_high"] - many["f1_low"]) > 0
    assert rates(truth, said) == few


def test_recall_by():
    assert recall_by(["a", "a", None, "b"], [True, False, True, True]) == {"a": 0.5, "b": 1.0}


def _verdict(*loops):
    return Verdict(looping=bool(loops), reason="test", loops=loops)


def test_spans():
    row = next(row for row in planted() if row["kind"] == "verbatim" and row["terminal"] and row["period"] > 10)
    right = Loop(kind="verbatim", terminal=True, start=row["start"], end=row["end"], period=row["period"], repeats=5)
    late = Loop(
        kind="near", terminal=False, start=row["start"] + row["period"] + 1, end=row["end"], period=3, repeats=5
    )
    rows = [row] * 3 + [ok("text", "c")]
    found = spans(rows, [_verdict(right), _verdict(late), _verdict(), _verdict()])
    assert found == {
        "planted": 3,
        "found": pytest.approx(2 / 3),
        "onset_within_one_period": pytest.approx(1 / 3),
        "period_exact_verbatim": pytest.approx(1 / 3),
        "kind": pytest.approx(1 / 3),
        "terminal": pytest.approx(1 / 3),
    }


def test_labelled_file(tmp_path):
    rows = [
        {"text": "a", "label": "loop", "kind": "token"},
        {"text": "b", "label": "recovered", "kind": "near", "category": "c", "start": 0, "end": 1, "period": 1},
        {"text": "c", "label": "ok", "kind": ""},
        {"text": "d", "label": "unsure", "kind": ""},
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = run.read_labelled(path)
    assert [(row["text"], row["kind"], row["start"]) for row in read] == [
        ("a", "verbatim", None),
        ("b", "near", 0),
        ("c", None, None),
    ]


def test_command(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "small.jsonl", tmp_path / "deep" / "out.json"
    rows = [*planted(0, 12), *(ok(f"{i} is a plain short text about nothing.", "c") for i in range(4))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["run", str(path), "--json", str(out), "--errors"])
    run.main()
    printed = capsys.readouterr().out
    assert "## small: 16 texts, 12 loops" in printed
    assert "| vllm(64,4,4) |" in printed
    kept = json.loads(out.read_text())
    assert kept["sets"]["small"]["rules"][0]["rule"] == "loopguard"
    assert kept["detector"].startswith("loopguard:")
    assert kept["machine"]["cores"] >= 1


def test_environment_names_the_machine_and_the_day():
    found = environment()
    assert set(found) == {"date", "machine", "python", "versions"}
    assert "numba" in found["versions"]
