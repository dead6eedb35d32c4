"""The speed and agreement commands on small inputs: what they measure, not how fast it is."""

import json
import random
import sys

import pyarrow
import pyarrow.parquet
import pytest

from benchmarks.detector import agreement, rivals, speed
from benchmarks.detector.prose import Prose

PROSE = [Prose(random.Random(i)).text(400) for i in range(40)]


def test_hostile_inputs_have_about_the_size_asked_for():
    for name, text in speed.hostile(20_000).items():
        assert 0.4 < len(text.encode()) / 20_000 < 1.7, name


def test_best_runs_every_round_of_every_rule():
    calls = []
    seconds = speed.best({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert all(spent >= 0 for spent in seconds.values())


def test_first_stops_at_the_size():
    assert speed.first(["x" * 400_000] * 9, 1.0) == ["x" * 400_000] * 3


def test_speed_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed, "scaling", lambda *_: {"10000": 1.0})
    monkeypatch.setattr(speed, "hostile", lambda size: {"one character": "a" * 5000})
    path, out = tmp_path / "outputs.parquet", tmp_path / "speed.json"
    pyarrow.parquet.write_table(pyarrow.table({"output": [*PROSE, None, ""]}), path)
    monkeypatch.setattr(sys, "argv", ["speed", str(path), "--repeat", "1", "--json", str(out)])
    speed.main()
    kept = json.loads(out.read_text())
    assert kept["throughput"]["texts"] == 40
    assert {row["rule"] for row in kept["against"]} >= {"ours", "antidoom", "zlib>2.4"}
    assert kept["adversarial"]["relative"]["normal"] == pytest.approx(1.0)
    assert "one core" in capsys.readouterr().out


REFERENCE = """
import not_to_be_had
from dataclasses import dataclass

@dataclass(frozen=True)
class Settings:
    limit: int = 4

def compression_ratio(text: not_to_be_had.Text) -> float:
    return 9.0 if text.startswith("a") else 1.0
"""


def test_definitions_survive_missing_imports(tmp_path):
    path = tmp_path / "reference.py"
    path.write_text(REFERENCE)
    names = agreement.definitions(path)
    assert names["Settings"]().limit == 4
    assert names["compression_ratio"]("abc") == 9.0


def test_agreement_command_counts(tmp_path, monkeypatch):
    path, out = tmp_path / "reference.py", tmp_path / "agreement.json"
    path.write_text("def has_repetition(text):\n    return True\n")
    monkeypatch.setattr(agreement, "datatrove_filter", lambda: None)
    monkeypatch.setattr(sys, "argv", ["agreement", "--slime", str(path), "--texts", "20", "--json", str(out)])
    agreement.main()
    (row,) = json.loads(out.read_text())["agreement"]
    assert row["texts"] == row["flagged_by_reference"] == 20
    assert row["agree"] < 20


def test_vllm_reference_is_asked_after_every_token(tmp_path):
    path = tmp_path / "reference.py"
    path.write_text("def check_sequence_repetition(ids, settings):\n    return len(ids) == settings.min_count\n")
    keys = {"max_pattern_size": 8, "min_pattern_size": 1, "min_count": 3}
    assert agreement._vllm(path, [[1, 2], [1, 2, 3, 4]], keys) == [False, True]


def test_datatrove_where_installed():
    own = agreement.datatrove_filter()
    if own is None:
        pytest.skip("datatrove and spacy are not installed")
    texts = [*PROSE, "the cat " * 60, "", "\n".join(["a line of text"] * 9)]
    assert [own(text) for text in texts] == [rivals.gopher(text) for text in texts]
