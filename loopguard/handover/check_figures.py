"""The figures of a checked preference set: loops seen, the fate of the end-of-sequence tokens, lengths and their bias.

Pure functions over the places of all pairs, so that any max_length can be asked without another look at the texts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from loopguard.handover.check import Checked, Columns
from loopguard.handover.measured import FAULTS, SERIOUS, equal_inside
from loopguard.handover.trainer_views import Trainer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

__all__ = ["SHARES", "Setting", "ends", "least_max_length", "lengths", "serious", "setting", "shorter_wins", "told"]

SHARES = (0.95, 0.99)
"""Shares for which the least max_length is told."""

UNSEEN = "loop_beyond_cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a trainer would see under one setting: a line of the table before and after."""

    name: str
    pairs: int
    loops: int
    """Pairs whose rejected side loops."""
    seen: int
    """Of these, those whose second copy is inside the cut."""
    equal: int
    dropped: int
    eos_in_cut_text: int
    """Pairs whose rejected text did not end, yet is followed by an EOS inside the cut."""
    shorter_wins: float | None
    """Share of pairs that "the shorter one is the chosen one" gets right, in tokens inside the cut; ties count half."""
    tokens: float | None
    """Tokens of a pair inside the cut, on average: what an epoch costs."""


def setting(name: str, columns: Columns, max_length: int, trainer: Trainer, *, keep: Mask | None = None) -> Setting:
    """The line of one setting; `keep` leaves pairs out."""
    import numpy as np

    every = np.ones(len(columns), bool) if keep is None else keep
    chosen, rejected, loop, eos = (columns[one] for one in ("chosen", "rejected", "loop_seen", "rejected_eos"))
    dropped, sides = columns["needs"] > max_length, (columns["prompt"], chosen, rejected)
    there, inside = every & ~dropped, trainer.inside(*sides, max_length)[1]
    equal = equal_inside(*sides, columns["common"], max_length, trainer)
    ends_inside = (columns["truncated"] > 0) & (eos > 0) & (eos <= inside)
    left, one, other = trainer.kept(*sides, max_length)
    ends_at_cut = (other < left + rejected - columns["prompt"]) & bool(trainer.overwrites)
    tokens = one + other
    return Setting(
        name=name,
        pairs=int(every.sum()),
        loops=int((every & (loop != 0)).sum()),
        seen=int((there & (loop > 0) & (loop <= inside)).sum()),
        equal=int((there & equal).sum()),
        dropped=int((every & dropped).sum()),
        eos_in_cut_text=int((there & (ends_inside | ends_at_cut)).sum()),
        shorter_wins=shorter_wins(columns, max_length, trainer, keep=there),
        tokens=round(float(tokens[there].mean()), 1) if there.any() else None,
    )


def shorter_wins(
    columns: Columns, max_length: int | None, trainer: Trainer, *, keep: Mask | None = None
) -> float | None:
    """Share of pairs that a rule "the shorter one is the chosen one" gets right; ties count half; None: no pair."""
    chosen, rejected = columns["chosen"], columns["rejected"]
    if max_length is not None:
        _, chosen, rejected = trainer.kept(columns["prompt"], chosen, rejected, max_length)
    right = (chosen < rejected) + 0.5 * (chosen == rejected)
    right = right if keep is None else right[keep]
    return round(float(right.mean()), 4) if right.size else None


def least_max_length(columns: Columns, trainer: Trainer) -> dict[str, int | None]:
    """The least max_length for each aim; None where nothing asks for one."""
    import numpy as np

    prompt, needs = columns["prompt"], columns["needs"]
    longest = np.maximum(columns["chosen"], columns["rejected"]) - prompt

    def from_on(place: npt.NDArray[np.int64], of: Mask) -> npt.NDArray[np.int64]:
        """The least max_length of each pair from which on the place is inside and the pair not dropped."""
        at = trainer.cut.least(prompt, longest, np.maximum(place - prompt, 0))
        found: npt.NDArray[np.int64] = np.maximum(at, needs)[of]
        return found

    def needed(places: str, side: str) -> npt.NDArray[np.int64]:
        return from_on(np.minimum(columns[places] + trainer.overwrites, columns[side]), columns[places] > 0)

    loops, chosen_ends, common = needed("loop_seen", "rejected"), needed("chosen_eos", "chosen"), columns["common"]
    differ = (common < columns["chosen"]) | (common < columns["rejected"])
    unequal, whole = from_on(common + 1 + trainer.overwrites, differ), trainer.cut.whole_prompt(prompt, longest)
    found: dict[str, int | None] = {}
    for share in SHARES:
        found[f"loops_seen_{share:.0%}"] = _quantile(loops, share)
    for share in SHARES:
        found[f"chosen_ends_seen_{share:.0%}"] = _quantile(chosen_ends, share)
    found["no_pair_equal_after_cut"] = _most(unequal)
    found["no_pair_dropped"] = _most(needs)
    found["no_prompt_cut"] = _most(whole)
    return found


def _most(values: npt.NDArray[np.int64]) -> int | None:
    return int(values.max()) if values.size else None


def _quantile(places: npt.NDArray[np.int64], share: float) -> int | None:
    """The least observed place that at least this share of places do not exceed."""
    import numpy as np

    return int(np.quantile(places, share, method="inverted_cdf")) if places.size else None


def ends(columns: Columns, side: str, max_length: int, trainer: Trainer) -> dict[str, int]:
    """Pairs by what becomes of the EOS after a side: seen, beyond the cut, not there. Dropped pairs are not counted."""
    there = columns["needs"] <= max_length
    both = trainer.inside(columns["prompt"], columns["chosen"], columns["rejected"], max_length)
    places, inside = columns[f"{side}_eos"][there], both[side == "rejected"][there]
    seen, none = int(((places > 0) & (places <= inside)).sum()), int((places == 0).sum())
    return {"seen": seen, "cut": len(places) - seen - none, "none": none}


def lengths(columns: Columns, side: str) -> dict[str, float] | None:
    """Tokens of a side, prompt left out: median, mean, 95 % quantile, longest. None without pairs."""
    import numpy as np

    tokens = columns[side] - columns["prompt"]
    if not tokens.size:
        return None
    median, high = (int(value) for value in np.quantile(tokens, [0.5, 0.95], method="inverted_cdf"))
    return {"median": median, "mean": round(float(tokens.mean()), 1), "p95": high, "max": int(tokens.max())}


def serious(found: Checked, *, max_unseen: float, names: tuple[str, ...] = SERIOUS) -> list[str]:
    """The faults that make a check fail: any of `names`, and loops unseen above their share."""
    failed = [name for name in FAULTS if name in names and found.counts[name]]
    loops, unseen = int((found.columns["loop_seen"] != 0).sum()), found.counts[UNSEEN]
    if UNSEEN not in failed and loops and unseen / loops > max_unseen:
        failed.append(UNSEEN)
    return [name for name in FAULTS if name in failed]


def told(found: Checked) -> dict[str, Any]:
    """All figures but the advice, for --json."""
    columns, at, trainer = found.columns, found.max_length, found.trainer
    now = setting("now", columns, at, trainer)
    benchmark = found.benchmark
    return {
        "source": found.name,
        "trainer": {"name": trainer.name, "source_read": trainer.version, "option": trainer.option},
        "max_length": at,
        "rows": found.rows,
        "pairs": len(columns),
        "prompts": {"distinct": found.prompts, "pairs_with_an_earlier_prompt": found.prompts_again},
        "faults": {
            name: {"rows": found.counts[name], "share": found.counts[name] / found.rows, "first": found.first[name]}
            for name in FAULTS
            if found.counts[name]
        },
        "errors": [{"text": text, "rows": rows, "first": row} for text, (rows, row) in found.errors.items()],
        "now": asdict(now),
        "eos": {side: ends(columns, side, at, trainer) for side in ("chosen", "rejected")},
        "tokens": {"prompt": _prompt(columns), **{side: lengths(columns, side) for side in ("chosen", "rejected")}},
        "shorter_wins": {"whole": shorter_wins(columns, None, trainer), "inside_the_cut": now.shorter_wins},
        "least_max_length": least_max_length(columns, trainer),
        "benchmark": None
        if benchmark is None
        else {
            "name": benchmark.name,
            "prompts": benchmark.prompts,
            "found": len(benchmark.hit),
            "pairs": found.counts["contaminated"],
        },
    }


def _prompt(columns: Columns) -> dict[str, float] | None:
    import numpy as np

    tokens = columns["prompt"]
    if not tokens.size:
        return None
    return {"median": int(np.quantile(tokens, 0.5, method="inverted_cdf")), "max": int(tokens.max())}
