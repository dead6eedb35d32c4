"""What vLLM's early stop does to real outputs, for several settings: loops stopped and still seen, good outputs stopped.

    python -m benchmarks.early_stop --tokenizer .venv-vllm/smollm2/tokenizer.json [--json benchmarks/results/early_stop.json]

A loop that was stopped is decoded as far as it came and shown to the detector again. Needs the package tokenizers and the
folder of real outputs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.environment import environment
from benchmarks.shared import shared_data
from loopguard import Detector
from loopguard.loops.tail_rule import NEVER, first_stops
from loopguard.prefs.recipe import EarlyStop

SETTINGS = [(64, 32, 4), (128, 64, 4), (128, 64, 6), (256, 128, 4)]
"""(max_pattern_size, min_pattern_size, min_count)"""


def stop_of(ids: list[int], setting: EarlyStop) -> int | None:
    """After how many tokens the rule ends an output; None: never."""
    edges = np.array([setting.min_pattern_size, setting.max_pattern_size + 1], np.int64)
    stops = np.empty((1, 1), np.int64)
    first_stops(np.array(ids, np.uint64), edges, np.array([setting.min_count], np.int64), stops)
    return None if stops[0, 0] == NEVER else int(stops[0, 0])


def measure(setting: EarlyStop, looping: list[list[int]], clean: list[list[int]], tokenizer: Any) -> dict[str, Any]:
    """The figures of one setting."""
    stopped = [(ids, stop) for ids in looping if (stop := stop_of(ids, setting)) is not None]
    kept = [tokenizer.decode(ids[:stop], skip_special_tokens=False) for ids, stop in stopped]
    return setting.model_dump() | {
        "loops_stopped": len(stopped),
        "still_seen": sum(verdict.looping for verdict in Detector().detect_batch(kept)),
        "clean_stopped": sum(stop_of(ids, setting) is not None for ids in clean),
        "tokens_saved": sum(len(ids) - stop for ids, stop in stopped),
    }


def main() -> None:
    from tokenizers import Tokenizer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(given.tokenizer))
    texts = [text for text in pl.read_parquet(shared_data() / "outputs.parquet")["output"] if text]
    verdicts = Detector().detect_batch(texts)
    ids = [one.ids for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    looping = [one for one, verdict in zip(ids, verdicts, strict=True) if verdict.looping]
    clean = [one for one, verdict in zip(ids, verdicts, strict=True) if not verdict.looping]
    settings = [EarlyStop(max_pattern_size=a, min_pattern_size=b, min_count=c) for a, b, c in SETTINGS]
    result = {"benchmark": "early_stop", **environment(), "looping": len(looping), "clean": len(clean)}
    result |= {"tokens_of_loops": sum(map(len, looping)), "default": EarlyStop().model_dump()}
    result["settings"] = [measure(setting, looping, clean, tokenizer) for setting in settings]
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
