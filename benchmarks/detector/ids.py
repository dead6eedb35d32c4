"""Token ids against text on all real outputs: how often the verdict is the same, without and with the bytes of the ids.

    python -m benchmarks.detector.ids outputs.parquet --json benchmarks/results/detector-ids.json

The labelled and the generated sets are rich in loops and look-alikes; this is what a user's own outputs are like. A
Parquet file needs a column `output`; without one: outputs.parquet of the folder $LOOPGUARD_SHARED (default: `shared` beside the
repository).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from benchmarks.detector.speed import read_outputs
from benchmarks.detector.tokens import token_bytes, tokenizer
from benchmarks.environment import environment
from benchmarks.shared import shared_data
from loopguard.loops.detector import Detector


def main() -> None:
    """Count, print, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", nargs="?", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    texts = read_outputs(asked.outputs or shared_data() / "outputs.parquet")
    name, encode = tokenizer()
    detector, pieces = Detector(), token_bytes()
    ids = [encode(text) for text in texts]
    on_text, bare = detector.detect_batch(texts), detector.detect_batch(ids)
    result = {
        **environment(),
        "detector": detector.signature,
        "tokenizer": name,
        "outputs": len(texts),
        "flagged": sum(verdict.looping for verdict in on_text),
        "same": sum(a.looping == b.looping for a, b in zip(on_text, bare, strict=True)),
        "flagged_as_text_alone": Counter(
            a.reason for a, b in zip(on_text, bare, strict=True) if a.looping and not b.looping
        ),
        "flagged_as_ids_alone": Counter(
            b.reason for a, b in zip(on_text, bare, strict=True) if b.looping and not a.looping
        ),
    }
    if pieces:
        known = [detector.detect(tokens, vocabulary=pieces).looping for tokens in ids]
        result["same_with_vocabulary"] = sum(a.looping == b for a, b in zip(on_text, known, strict=True))
    print(json.dumps(result, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
