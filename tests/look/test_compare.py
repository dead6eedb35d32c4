"""Two runs of the same prompts: every figure of three prompts, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

import loopguard
from loopguard.errors import InputError
from loopguard.look.compare import CHANGES, PROMPTS, compare
from loopguard.look.compare_page import pack, tiles
from loopguard.look.compare_panels import panels
from loopguard.look.rates import mcnemar
from loopguard.prefs.outputs import Outcome
from loopguard.records import Prompt, Skip
from tests.look.subjects import answer, looped, write_run
from tests.look.test_rates import newcombe

NONE = Skip(status="skipped", reason="tie")


def outcomes(looping: dict[str, tuple[bool, bool]], **given: object) -> list[Outcome]:
    """Question -> whether its greedy and its one sampled answer loop."""
    found = []
    for row, (question, (greedy, sampled)) in enumerate(looping.items(), 1):
        prompt = Prompt.make(question, row=row)
        both = [
            looped(prompt, k, decoding=name, **given) if loops else answer(prompt, k, decoding=name, **given)
            for k, (name, loops) in enumerate((("sampled", sampled), ("greedy", greedy)))
        ]
        found.append(Outcome(prompt=prompt, candidates=both, result=NONE))
    return found


BEFORE = {"a": (True, True), "b": (True, False), "c": (False, False), "d": (True, False), "only before": (True, True)}
AFTER = {"a": (False, False), "b": (False, False), "c": (False, True), "d": (True, False), "only after": (True, True)}


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "before", outcomes(BEFORE)), write_run(tmp_path / "after", outcomes(AFTER))


def test_the_figures(runs: tuple[Path, Path]) -> None:
    found = loopguard.compare(*runs)
    assert found.groups == ["greedy", "sampled", PROMPTS]
    counted = [tuple(row) for row in found.rates.select("group", "run", "looping", "total").iter_rows()]
    assert counted == [
        ("greedy", "before", 3, 4),
        ("greedy", "after", 1, 4),
        ("sampled", "before", 1, 4),
        ("sampled", "after", 1, 4),
        (PROMPTS, "before", 3, 4),
        (PROMPTS, "after", 2, 4),
    ]
    moved = {
        row["group"]: (row["difference"], row["lost"], row["gained"], row["p"]) for row in found.differences.to_dicts()
    }
    assert moved == {"greedy": (-0.5, 2, 0, 0.5), "sampled": (0.0, 1, 1, 1.0), PROMPTS: (-0.25, 2, 1, mcnemar(2, 1))}
    changes = dict(zip(found.changed["prompt_id"], found.changed["change"], strict=True))
    ids = {name: Prompt.make(name).prompt_id for name in "abcd"}
    assert changes == {ids["a"]: CHANGES[0], ids["b"]: CHANGES[0], ids["c"]: CHANGES[1], ids["d"]: CHANGES[2]}


def test_the_difference_of_greedy_is_newcombes(runs: tuple[Path, Path]) -> None:
    """One output a prompt, 1 loops in both, 2 before only, 0 after only, 1 never: the paired interval of that table."""
    found = loopguard.compare(*runs).difference("greedy")
    low, high = newcombe(1, 2, 0, 1)
    assert (found.low, found.high) == pytest.approx((-high, -low))
    assert not found.shown


def test_what_is_left_out_is_said(runs: tuple[Path, Path]) -> None:
    before, after = runs
    assert loopguard.compare(*runs).notes == (
        f"1 prompt of {before} is not in the other run, and left out.",
        f"1 prompt of {after} is not in the other run, and left out.",
    )


def test_settings_that_differ_are_said(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", outcomes(BEFORE))
    second = write_run(tmp_path / "b", outcomes(BEFORE, top_p=0.5))
    assert compare(first, second).notes == ("top_p differs: 0.95 before, 0.5 after.",)


def test_the_same_run_twice_shows_no_change(runs: tuple[Path, Path]) -> None:
    found = loopguard.compare(runs[0], runs[0])
    assert found.differences["difference"].to_list() == [0.0, 0.0, 0.0]
    assert not any(found.differences["shown"])
    assert set(found.changed["change"]) == {CHANGES[2], CHANGES[3]}
    assert found.length_difference.value == 0.0


def test_nothing_in_common(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", outcomes({"one": (True, False)}))
    second = write_run(tmp_path / "b", outcomes({"two": (True, False)}))
    with pytest.raises(InputError, match="have no prompt in common: there is nothing to compare"):
        loopguard.compare(first, second)


def test_what_the_page_says(runs: tuple[Path, Path]) -> None:
    found = loopguard.compare(*runs)
    said = {panel.key: panel.sentence for panel in panels(found)}
    assert said["changes"] == "2 prompts that looped are clean, 1 that was clean loops (McNemar's exact test: p = 1)."
    assert said["change"].startswith("Greedy: 75.0 % before, 25.0 % after; sampled: 25.0 % before, 25.0 % after;")
    low, high = newcombe(1, 2, 0, 1)
    assert said["differences"].startswith(
        f"Greedy: no change shows, -50.0 points ({-100 * high:+.1f} to {-100 * low:+.1f})."
    )
    assert [tile.value for tile in tiles(found)] == ["75.0 % → 25.0 %", "25.0 % → 25.0 %", "75.0 % → 50.0 %", "4"]
    assert all(panel.draw().to_dict() for panel in panels(found))
    assert pack(found).shown == 4
