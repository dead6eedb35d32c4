"""The detector's thresholds: what each means, its unit, where it comes from; and the signature that names them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from loopguard.errors import InputError

RULES_VERSION = 1
"""Goes up whenever a text can get another verdict under unchanged settings; part of every signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """Thresholds of the detector. Lengths are bytes of UTF-8 for text; a token id counts as four bytes."""

    min_copies: float = 4.0
    """Copies a verbatim or counter loop needs. Said twice or three times is a refrain, a second version, a recap."""
    min_wasted: float = 200.0
    """Bytes that come after the first copy."""
    short_period: float = 8.0
    """Bytes up to which a period counts as short: rules, separators, padding, dots are human text."""
    short_min_wasted: float = 300.0
    """Bytes that come after the first copy where the period is short."""

    @staticmethod
    def make(values: Mapping[str, float]) -> DetectorSettings:
        """Settings from a table such as a recipe's; InputError on an unknown name or a value that is no positive number."""
        names = [field.name for field in dataclasses.fields(DetectorSettings)]
        for name, value in values.items():
            if name not in names:
                near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
                raise InputError(f"unknown detector setting {name!r}; did you mean {', '.join(near)}?")
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise InputError(f"detector setting {name} must be a number above 0, not {value!r}")
        return DetectorSettings(**{name: float(value) for name, value in values.items()})

    @property
    def signature(self) -> str:
        """Every setting that changes a verdict, and the version of the rules: put it beside published figures."""
        import loopguard

        parts = [f"{f.name}:{getattr(self, f.name):g}" for f in dataclasses.fields(self)]
        return "|".join([f"loopguard:{loopguard.__version__}", f"rules:{RULES_VERSION}", *parts])
