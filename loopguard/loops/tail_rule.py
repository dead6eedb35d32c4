"""vLLM's repetition stop, exactly: after which token it would have stopped an output, for many settings at one reading.

The rule (vllm/v1/core/sched/utils.py, check_sequence_repetition): after every token, for each pattern size from
min_pattern_size to max_pattern_size, the request stops if the last min_count stretches of that size are equal.

Equal stretches of size p, c of them, end at token i exactly if the p * (c - 1) tokens up to i all equal the one p before. So
for each p the runs of such equalities say it for every c. A run of at least p covers a multiple of p: looking there, and
only where it fits extending to both sides, finds all runs in about n * log(max_pattern_size) steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.kernels import kernel, kernel_with_arrays

NEVER = np.iinfo(np.int64).max
"""Where the rule would not have stopped an output."""


@kernel
def first_stops(
    ids: NDArray[np.uint64], edges: NDArray[np.int64], counts: NDArray[np.int64], stops: NDArray[np.int64]
) -> None:
    """Fill stops[b, k]: tokens generated when counts[k] copies of some pattern of size edges[b] .. edges[b + 1] - 1 end.

    NEVER where that does not come. `edges` and `counts` rise; counts are at least 2.
    """
    stops[:] = NEVER
    n = ids.size
    for b in range(edges.size - 1):
        for p in range(edges[b], edges[b + 1]):
            if p * counts[0] > n:
                return
            known = p  # equalities before this position have been looked at
            at = p
            while at < n:
                if ids[at] != ids[at - p] or at < known:
                    at += p
                    continue
                begin = at
                while begin > known and ids[begin - 1] == ids[begin - 1 - p]:
                    begin -= 1
                end = at + 1
                while end < n and ids[end] == ids[end - p]:
                    end += 1
                for k in range(counts.size):
                    need = p * (counts[k] - 1)
                    if end - begin < need:
                        break
                    stops[b, k] = min(stops[b, k], begin + need)
                known = end
                at += p


@kernel_with_arrays
def gather(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    classes: NDArray[np.int64],
    edges: NDArray[np.int64],
    counts: NDArray[np.int64],
    tally: NDArray[np.int64],
) -> None:
    """Add to `tally` what every setting would have done to these outputs; row i is values[offsets[i]:offsets[i + 1]].

    tally[low, high, k, class, 0] counts the outputs of a class that are stopped by patterns from edges[low] to
    edges[high + 1] - 1 and counts[k] copies, tally[..., 1] their tokens after the stop.
    """
    bins = edges.size - 1
    stops = np.empty((bins, counts.size), np.int64)
    for row in range(offsets.size - 1):
        ids = values[offsets[row] : offsets[row + 1]]
        first_stops(ids, edges, counts, stops)
        for k in range(counts.size):
            for low in range(bins):
                stop = NEVER
                for high in range(low, bins):
                    stop = min(stop, stops[high, k])
                    if stop != NEVER:
                        tally[low, high, k, classes[row], 0] += 1
                        tally[low, high, k, classes[row], 1] += ids.size - stop
