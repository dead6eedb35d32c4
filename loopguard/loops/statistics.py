"""Rates and their intervals: what a count of loops says of the model that made them. No verdicts, no files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution: two-sided 95 % intervals."""


def wilson(hits: float, total: float) -> tuple[float, float]:
    """The 95 % Wilson score interval of a rate (Wilson 1927); (0.0, 1.0) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    rate, z2 = hits / total, Z95**2
    centre = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2))
    return (0.0 if hits == 0 else max(0.0, centre - half)), (1.0 if hits == total else min(1.0, centre + half))


@dataclass(slots=True)
class Rate:
    """Looping outputs among all that were counted."""

    looping: int = 0
    total: int = 0

    def add(self, looping: bool) -> None:
        """Count one output."""
        self.looping += looping
        self.total += 1

    @property
    def rate(self) -> float | None:
        """Looping outputs over all; None when nothing was counted."""
        return self.looping / self.total if self.total else None

    def as_dict(self) -> dict[str, Any]:
        """looping, total, rate, and the interval's low and high; rate is None when nothing was counted."""
        low, high = wilson(self.looping, self.total)
        return {"looping": self.looping, "total": self.total, "rate": self.rate, "low": low, "high": high}

    def __str__(self) -> str:
        """For a person: 12.5% (1 of 8; 95 % interval 2.2% to 47.1%)."""
        if not self.total:
            return "none"
        low, high = wilson(self.looping, self.total)
        rate = f"{self.looping / self.total:.1%} ({self.looping:,} of {self.total:,}"
        return f"{rate}; 95 % interval {low:.1%} to {high:.1%})"
