"""Several trainings on the same pairs, side by side: what each did otherwise, and whether it cured more than the first one.

    python pipelines/cure/trials.py runs/cure --first as-given --json benchmarks/results/cure-trials.json

Trainings are compared on the very same prompts: McNemar's exact test for greedy answers, a bootstrap over prompts for sampled ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import loopguard

sys.path.insert(0, str(Path(__file__).parent))
from figures import paired

KEPT = ("pairs", "trim_loops", "training", "after", "clean", "ordinary text")
"""Of a trial's results.json; before is the same for all."""


def side_by_side(out: Path, first: str) -> dict[str, Any]:
    """The finished trials in the folder `out` of cure.py, that named `first` before the others.

    Raises SystemExit where there is no such trial.
    """
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(out.glob("trials/*/results.json"))}
    if first not in found:
        there = ", ".join(found) or "none"
        raise SystemExit(f"trials: {out} has no finished trial {first!r}; there are: {there}")
    names = [first, *(name for name in found if name != first)]
    runs = {name: loopguard.open_run(out / "trials" / name / "aside") for name in names}
    one = found[first]
    return {
        "model": one["model"],
        "sampler": one["sampler"],
        "max_tokens": one["max_tokens"],
        "prompts": one["prompts"],
        "detector": runs[first].summary["detector"],
        "before": one["before"],
        "clean before": one["clean"] and one["clean"]["before"],
        "environment": one["environment"],
        "trials": {
            name: {
                "differs": differs(one, found[name]),
                **{key: found[name][key] for key in KEPT},
                "steps": len(found[name]["log"]),
                "last margin": mean([entry["rewards/margins"] for entry in found[name]["log"][-5:]]),
                "last logps of chosen": mean([entry["logps/chosen"] for entry in found[name]["log"][-5:]]),
                "against the first": None if name == first else paired(runs[first], runs[name]),
            }
            for name in names
        },
    }


def differs(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The settings of `other` that are not those of `one`."""
    settings = [{**results["training"], "trim_loops": results["trim_loops"]} for results in (one, other)]
    return {name: value for name, value in settings[1].items() if settings[0][name] != value}


def mean(values: list[float]) -> float:
    """Of the last steps of a log, whose entries TRL writes as numbers or as their text."""
    return sum(map(float, values)) / len(values)


def main() -> None:
    """Write them, and one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the --out of cure.py")
    parser.add_argument("--first", default="first", help="the trial that the others are held against (default first)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = side_by_side(given.out, given.first)
    before = found["before"]
    print(f"{'before':18} greedy {before['greedy']['rate']:6.1%}  sampled {before['sampled']['rate']:6.1%}")
    for name, trial in found["trials"].items():
        after, other = trial["after"], trial["against the first"]
        held = f"  p = {other['greedy']['p']:.2g} against {given.first}" if other else ""
        print(
            f"{name:18} greedy {after['greedy']['rate']:6.1%}  sampled {after['sampled']['rate']:6.1%}  {trial['differs']}{held}"
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
