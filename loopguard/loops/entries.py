"""The ways into the kernels for a caller that is no kernel: plain numbers and addresses, as C would pass them."""

from __future__ import annotations

from typing import Any

import numpy as np

from loopguard.loops.batch import FIGURES, scan_texts, scan_tokens
from loopguard.loops.few_words import COLUMNS as OF_WORD
from loopguard.loops.glance import COLUMNS as OF_BEGINNING
from loopguard.loops.kernels import late
from loopguard.loops.lists import COLUMNS as OF_ITEM
from loopguard.loops.ordinals import COLUMNS as OF_ORDINAL
from loopguard.loops.repetition import RUN
from loopguard.loops.rules import LOOP, LOOPS
from loopguard.loops.sentences import COLUMNS as OF_SENTENCE
from loopguard.loops.settings import LIMITS, RULE

array: Any = late(lambda: __import__("numba").carray)
"""An array that lies at an address: numba's `carray`."""


def texts(
    low: int, high: int, offsets: Any, values: Any, enough: int, rule: Any, limits: Any, figures: Any, loops: Any, room: Any,
    sizes: Any,
) -> None:  # fmt: skip
    """`scan_texts`; `room` holds the addresses of a workspace's arrays in the order of `Workspace`'s own, `sizes` their sizes."""
    scan_texts(
        low, high, array(offsets, high + 1), array(values, offsets[high]), enough, array(rule, RULE),
        array(limits, LIMITS), array(figures, (high, FIGURES)), array(loops, ((high - low) * LOOPS, LOOP)),
        array(room[0], sizes[0], np.uint64), array(room[1], sizes[1], np.int64), array(room[2], sizes[2], np.uint8),
        array(room[3], sizes[3], np.uint8), array(room[4], sizes[4], np.int64), array(room[5], sizes[5], np.uint64),
        array(room[6], sizes[6], np.int32), array(room[7], sizes[7], np.int32), array(room[8], sizes[8], np.uint8),
        array(room[9], (2, sizes[9]), np.int32), array(room[10], sizes[10], np.int64),
        array(room[11], (sizes[11], RUN), np.int64), array(room[12], sizes[12], np.int64),
        array(room[13], sizes[13], np.int64), array(room[14], (sizes[14], OF_ITEM), np.int64),
        array(room[15], (sizes[15], OF_BEGINNING), np.uint64), array(room[16], sizes[16], np.int64),
        array(room[17], (sizes[17], OF_SENTENCE), np.int64), array(room[18], (sizes[18], OF_WORD), np.int64),
        array(room[19], (sizes[19], OF_ORDINAL), np.int64),
    )  # fmt: skip


def tokens(
    low: int, high: int, offsets: Any, values: Any, enough: int, rule: Any, limits: Any, figures: Any, loops: Any, room: Any,
    sizes: Any,
) -> None:  # fmt: skip
    """`scan_tokens`, in the same way; `enough` is not used."""
    scan_tokens(
        low, high, array(offsets, high + 1), array(values, offsets[high]), array(room[2], 0, np.uint8), array(rule, RULE),
        array(limits, LIMITS), array(figures, (high, FIGURES)), array(loops, ((high - low) * LOOPS, LOOP)),
        array(room[0], sizes[0], np.uint64), array(room[1], sizes[1], np.int64), array(room[2], sizes[2], np.uint8),
        array(room[3], sizes[3], np.uint8), array(room[4], sizes[4], np.int64), array(room[5], sizes[5], np.uint64),
        array(room[6], sizes[6], np.int32), array(room[7], sizes[7], np.int32), array(room[8], sizes[8], np.uint8),
        array(room[9], (2, sizes[9]), np.int32), array(room[10], sizes[10], np.int64),
        array(room[11], (sizes[11], RUN), np.int64), array(room[12], sizes[12], np.int64),
    )  # fmt: skip
