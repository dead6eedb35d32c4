"""Speed: ours on real outputs against the rules that claim to be cheap, on hostile inputs, and from 10 KB to 10 MB.

    python -m benchmarks.detector.speed outputs.parquet --json benchmarks/results/detector-speed.json

Ratios are what counts: both sides come from the same run over the same texts, one core, the best of `--repeat` rounds
that alternate between them. A Parquet file needs a column `output`; without one: outputs.parquet of the folder
$LOOPGUARD_SHARED (default: `shared` beside the repository). datatrove's own filter is timed where it is installed,
else our adapter of it, and the result says which. Slow rules get the first `--sample` megabytes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.detector import rivals
from benchmarks.detector.agreement import datatrove_filter
from benchmarks.detector.tokens import tokenizer
from benchmarks.environment import environment
from benchmarks.shared import shared_data

Run = Callable[[], object]


def read_outputs(path: Path) -> list[str]:
    """The column `output`, in an order that mixes the models: the file is sorted by them."""
    import pyarrow.parquet

    texts = [text for text in pyarrow.parquet.read_table(path, columns=["output"])["output"].to_pylist() if text]
    random.Random(0).shuffle(texts)
    return texts


def size_of(texts: Sequence[str]) -> int:
    """Bytes of UTF-8."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def first(texts: Sequence[str], megabytes: float) -> list[str]:
    """The first texts, until they are this long."""
    kept, total = [], 0
    for text in texts:
        if total >= megabytes * 1e6:
            break
        kept.append(text)
        total += len(text.encode("utf-8", "surrogatepass"))
    return kept


def best(runs: dict[str, Run], repeat: int) -> dict[str, float]:
    """Seconds of the fastest round of each; the rounds alternate, so that a busy machine hits all alike."""
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(repeat):
        for name, work in runs.items():
            begin = time.perf_counter()
            work()
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    return seconds


def throughput(detector: Any, texts: Sequence[str], repeat: int) -> dict[str, float]:
    """The full verdict on everything, one core."""
    size = size_of(texts)
    seconds = best({"ours": lambda: detector.detect_batch(texts), "columns": columns(detector, texts)}, repeat)
    return {
        "texts": len(texts),
        "megabytes": size / 1e6,
        "mb_per_s": size / seconds["ours"] / 1e6,
        "columns_mb_per_s": size / seconds["columns"] / 1e6,
    }


def columns(detector: Any, texts: Sequence[str]) -> Run:
    """The full verdict from a column of Arrow to columns of Arrow, which is how `loopguard scan` has it: one core."""
    import pyarrow

    from loopguard.loops.verdicts import verdict_columns

    column = pyarrow.array(texts, pyarrow.large_string())
    return lambda: verdict_columns(detector, column)


def token_throughput(detector: Any, texts: Sequence[str], repeat: int) -> dict[str, Any]:
    """The full verdict on token ids, as int32 arrays."""
    import numpy as np

    name, encode = tokenizer()
    ids = [np.array(encode(text), dtype=np.int32) for text in texts]
    count = sum(len(tokens) for tokens in ids)
    seconds = best({"ours": lambda: detector.detect_batch(ids)}, repeat)["ours"]
    return {"tokenizer": name, "tokens": count, "million_tokens_per_s": count / seconds / 1e6}


def against(detector: Any, texts: Sequence[str], repeat: int) -> list[dict[str, Any]]:
    """Ours, with a Verdict each and in columns, and each rival on the same texts."""
    own = datatrove_filter()
    rules: dict[str, Callable[[str], bool]] = {
        "antidoom": rivals.antidoom,
        "zlib>2.4": lambda text: rivals.zlib_ratio(text, limit=2.4),
        "gopher (datatrove's own)" if own else "gopher (our adapter)": own or rivals.gopher,
        "gemini-cli": rivals.gemini_cli,
        "open-r1(3)": lambda text: rivals.open_r1(text, limit=0.3),
    }

    def over(rule: Callable[[str], bool]) -> Run:
        return lambda: [rule(text) for text in texts]

    ours: dict[str, Run] = {"ours": lambda: detector.detect_batch(texts), "ours, in columns": columns(detector, texts)}
    seconds = best(ours | {name: over(rule) for name, rule in rules.items()}, repeat)
    size = size_of(texts) / 1e6
    return [
        {
            "rule": name,
            "mb_per_s": size / spent,
            "ours_is_faster_by": spent / seconds["ours"],
            "in_columns_by": spent / seconds["ours, in columns"],
        }
        for name, spent in seconds.items()
    ]


def hostile(size: int) -> dict[str, str]:
    """Inputs that cost rules of this kind most: each about `size` bytes."""
    rng = random.Random(0)
    words = ["a", "ab"]
    while len(words[-1]) < size:
        words.append(words[-1] + words[-2])
    half = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=size // 2))
    block = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=1500))
    flipped = list(block * (size // len(block)))
    for at in range(0, len(flipped), 90):
        flipped[at] = rng.choice("XYZ")
    blocks = ["".join(rng.choices("abcdef", k=rng.randint(5, 60))) * 4 for _ in range(size // 120)]
    return {
        "one character": "a" * size,
        "newlines": "\n" * size,
        "two characters": "ab" * (size // 2),
        "period 1,500": block * (size // len(block)),
        "period 1,500, a change every 90": "".join(flipped),
        "said twice": half * 2,
        "Fibonacci word": words[-1][:size],
        "Thue-Morse word": "".join("ab"[i.bit_count() & 1] for i in range(size)),
        "ruler word": "".join(chr(97 + (i & -i).bit_length()) for i in range(1, size + 1)),
        "random bits": "".join(rng.choices("01", k=size)),
        "random letters": "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=size)),
        "many short runs": "".join(blocks)[:size],
        "counting": " ".join(str(i) for i in range(size // 7)),
        "counting lines": "".join(f"{i}. Item {i}\n" for i in range(size // 16)),
        "digits": "".join(rng.choices("0123456789", k=size)),
        "punctuation": "".join(rng.choices("|-+=*#_.:;,<>(){}[]", k=size)),
        "one word in changing order": " ".join(rng.choices(["wait", "let", "me", "check", "again"], k=size // 6)),
        "Chinese, random": "".join(chr(rng.randint(0x4E00, 0x9FA5)) for _ in range(size // 3)),
        "emoji, one": "😀" * (size // 4),
        "every plane": "".join(
            chr(rng.choice([rng.randint(32, 0xD7FF), rng.randint(0x10000, 0x10FFFF)])) for _ in range(size // 3)
        ),
        "nested brackets": "(" * (size // 2) + ")" * (size // 2),
        "letters and digits": " ".join(rng.choices("ab78", k=size // 2)),
        "rows of bits": "\n".join(",".join(rng.choices("01", k=8)) for _ in range(size // 16)),
        "rows of numbers": "".join(
            f'{{"a": {rng.randint(0, 9)}, "b": {rng.randint(0, 9)}}}\n' for _ in range(size // 17)
        ),
        "hex": "".join(rng.choices("0123456789abcdef", k=size)),
        "items": "- a\n" * (size // 4),
        "growing lines": "\n".join("a " * (7 * i % 150) for i in range(size // 150)),
    }


def _each(detector: Any, texts: Sequence[str]) -> Run:
    return lambda: [detector.detect(text) for text in texts]


def per_byte(detector: Any, inputs: dict[str, str], repeat: int) -> dict[str, float]:
    """Nanoseconds per byte of each input."""
    runs = {name: _each(detector, [text]) for name, text in inputs.items()}
    return {name: spent / size_of([inputs[name]]) * 1e9 for name, spent in best(runs, repeat).items()}


def adversarial(detector: Any, texts: Sequence[str], repeat: int, size: int = 1_000_000) -> dict[str, Any]:
    """Cost per byte of hostile inputs relative to real outputs joined to one text of the same size."""
    normal = "\n\n".join(first(texts, size / 1e6))[:size]
    cost = per_byte(detector, {"normal": normal, **hostile(size)}, repeat)
    relative = {name: spent / cost["normal"] for name, spent in cost.items()}
    worst = max(relative, key=lambda name: relative[name])
    return {"bytes": size, "normal_ns_per_byte": cost["normal"], "worst": worst, "relative": relative}


def scaling(detector: Any, texts: Sequence[str], repeat: int) -> dict[str, float]:
    """Cost per byte of real outputs joined to texts of 10 KB to 10 MB, relative to 10 KB."""
    joined = "\n\n".join(first(texts, 10.5))
    runs: dict[str, Run] = {}
    sizes = [10_000, 100_000, 1_000_000, 10_000_000]
    for size in sizes:
        pieces = [joined[at : at + size] for at in range(0, 10_000_000, size)]
        runs[str(size)] = _each(detector, pieces)
    seconds = best(runs, repeat)
    return {name: spent / seconds[str(sizes[0])] for name, spent in seconds.items()}


def one_by_one(detector: Any, texts: Sequence[str], repeat: int) -> dict[str, float]:
    """Microseconds of a call: `detect` on a short text and on each output, `feed` of a stream with four characters or one id."""
    from loopguard.loops.stream import StreamDetector

    some = texts[:60]
    pieces = [[text[at : at + 4] for at in range(0, len(text), 4)] for text in some]
    ids = [[len(piece) for piece in text.split(" ")] for text in some]

    def fed(outputs: Sequence[Sequence[Any]]) -> Run:
        return lambda: [stream.feed(piece) for output in outputs for stream in [StreamDetector()] for piece in output]

    runs: dict[str, Run] = {
        "detect, a short text": lambda: [detector.detect("A short text, as it is.") for _ in range(2000)],
        "detect, an output": lambda: [detector.detect(text) for text in texts[:2000]],
        "feed, four characters": fed(pieces),
        "feed, an id": fed(ids),
    }
    calls = [2000, len(texts[:2000]), sum(map(len, pieces)), sum(map(len, ids))]
    return {name: spent / n * 1e6 for (name, spent), n in zip(best(runs, repeat).items(), calls, strict=True)}


def report(result: dict[str, Any]) -> str:
    """What is printed."""
    whole, tokens = result["throughput"], result["tokens"]
    lines = [
        f"full verdict: {whole['mb_per_s']:.1f} MB/s on one core ({whole['texts']} texts, {whole['megabytes']:.1f} MB);"
        f" in columns: {whole['columns_mb_per_s']:.1f} MB/s",
        f"token ids: {tokens['million_tokens_per_s']:.1f} M/s ({tokens['tokens']} of {tokens['tokenizer']})",
        "",
        "| rule | MB/s | ours is faster by | in columns by |",
        "|---|---|---|---|",
        *(
            f"| {r['rule']} | {r['mb_per_s']:.2f} | {r['ours_is_faster_by']:.1f}x | {r['in_columns_by']:.1f}x |"
            for r in result["against"]
        ),
        "",
        "| hostile input | cost per byte, normal = 1 |",
        "|---|---|",
        *(f"| {name} | {value:.2f} |" for name, value in result["adversarial"]["relative"].items()),
        "",
        "cost per byte by size, 10 KB = 1: " + ", ".join(f"{n}: {v:.2f}" for n, v in result["scaling"].items()),
        "microseconds a call: " + ", ".join(f"{n}: {v:.1f}" for n, v in result["one_by_one"].items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, keep the raw figures."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    from loopguard.loops.detector import Detector

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", nargs="?", type=Path)
    parser.add_argument("--sample", type=float, default=4.0, help="megabytes for the comparison with slow rules")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    texts = read_outputs(asked.outputs or shared_data() / "outputs.parquet")
    detector = Detector()
    detector.detect_batch(texts[:50])
    sample = first(texts, asked.sample)
    result = {
        **environment(),
        "detector": detector.signature,
        "repeat": asked.repeat,
        "throughput": throughput(detector, texts, asked.repeat),
        "tokens": token_throughput(detector, sample, asked.repeat),
        "against": against(detector, sample, asked.repeat),
        "adversarial": adversarial(detector, texts, asked.repeat),
        "scaling": scaling(detector, texts, asked.repeat),
        "one_by_one": one_by_one(detector, texts, asked.repeat),
    }
    print(report(result))
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
