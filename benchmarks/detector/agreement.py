"""Each adapter against the code it stands for, on the same texts: how often the two say the same.

    python -m benchmarks.detector.agreement --vllm vllm/v1/core/sched/utils.py --antidoom repetition.py \
        --slime slime/observability/metric_utils.py --whisper whisper/utils.py --open-r1 src/open_r1/rewards.py \
        --trl trl/rewards/other_rewards.py --gemini 2026="node gemini.js" \
        --json benchmarks/results/detector-agreement.json

The files are the projects' own, wherever you have them; what is not given is left out. datatrove's filter is asked when
`pip install datatrove spacy` is there. `--gemini` names a variant and a command that gets a JSONL path (`text`) and the
size of a piece and prints 1 or 0 per text, as its `LoopDetectionService` says of the text streamed in such pieces.
The texts: planted loops and look-alikes in equal parts, so that both answers are well represented, and `--labelled`.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from benchmarks.detector import rivals
from benchmarks.detector.lookalikes import lookalikes
from benchmarks.detector.planted import planted
from benchmarks.detector.run import read_labelled
from benchmarks.detector.tokens import tokenizer
from benchmarks.environment import environment

Answers = Sequence[bool]
Pair = tuple[str, Answers, Answers]
GEMINI: dict[str, dict[str, Any]] = {
    "2026": {"resets": True, "forms": 5},
    "2025": {"resets": True, "forms": None},
    "quoted": {"resets": False, "forms": None},
}
"""The service as it is, as it was before February 2026, and the rule as it is quoted (the service less both)."""


def definitions(path: Path) -> dict[str, Any]:
    """What a source file defines, each statement run for itself: imports that are not to be had are left out."""
    module = sys.modules[f"_reference_{path.stem}"] = ModuleType(f"_reference_{path.stem}")
    names = vars(module)
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        code = compile(
            ast.Module([statement], []),
            str(path),
            "exec",
            flags=__future__.annotations.compiler_flag,
            dont_inherit=True,
        )
        try:
            exec(code, names)
        except (ImportError, NameError):
            continue
    return names


def _vllm(path: Path, ids: Sequence[list[int]], keys: Mapping[str, int]) -> Answers:
    """vLLM's own check after every token."""
    names = definitions(path)
    names.setdefault("_MAX_ABSOLUTE_PATTERN_SIZE", 1 << 30)  # a cap against abuse, imported from elsewhere
    check = names["check_sequence_repetition"]
    settings = SimpleNamespace(**keys)
    return [any(check(tokens[:end], settings) for end in range(1, len(tokens) + 1)) for tokens in ids]


def _antidoom(path: Path, texts: Sequence[str]) -> Answers:
    found = definitions(path)["find_inner_repetition"]
    answers = [found(text) for text in texts]
    return [bool(answer[0]) if isinstance(answer, tuple) else answer is not None for answer in answers]


def _open_r1(path: Path, texts: Sequence[str], limit: float) -> Answers:
    reward = definitions(path)["get_repetition_penalty_reward"](3, -1.0)
    return [-score > limit for score in reward([[{"content": text}] for text in texts])]


def _trl(path: Path, ids: Sequence[list[int]], limit: float) -> Answers:
    reward = definitions(path)["get_repetition_penalty_reward"](3, -1.0)
    return [-score > limit for score in reward(completion_ids=list(ids))]


def _gemini(command: str, texts: Sequence[str], piece: int) -> Answers:
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
        file.flush()
        run = subprocess.run([*shlex.split(command), file.name, str(piece)], capture_output=True, text=True, check=True)
    return [line == "1" for line in run.stdout.split()]


def datatrove_filter() -> Callable[[str], bool] | None:
    """datatrove's own filter as text -> dropped, or None where it is not installed."""
    try:
        from datatrove.data import Document
        from datatrove.pipeline.filters import GopherRepetitionFilter
        from datatrove.utils.text import split_into_words

        split_into_words("a word")
    except ImportError:
        return None
    own = GopherRepetitionFilter()
    return lambda text: own.filter(Document(text=text, id="0")) is not True


def pairs(asked: argparse.Namespace, texts: Sequence[str], ids: Sequence[list[int]]) -> Iterator[Pair]:
    """For each reference that was given: its name, its answers, the adapter's."""
    for largest, smallest, count in ((64, 4, 4), (128, 1, 8)) if asked.vllm else ():
        keys = {"max_pattern_size": largest, "min_pattern_size": smallest, "min_count": count}
        yield f"vllm{largest, smallest, count}", _vllm(asked.vllm, ids, keys), [rivals.vllm(i, **keys) for i in ids]
    if asked.antidoom:
        yield "antidoom", _antidoom(asked.antidoom, texts), [rivals.antidoom(text) for text in texts]
    if asked.slime:
        own = definitions(asked.slime)["has_repetition"]
        yield "slime", [own(text) for text in texts], [rivals.slime(text) for text in texts]
    if asked.whisper:
        ratio = definitions(asked.whisper)["compression_ratio"]
        yield "zlib>2.4", [ratio(t) > 2.4 for t in texts], [rivals.zlib_ratio(t, limit=2.4) for t in texts]
    for limit in (0.3, 0.5):
        if asked.open_r1:
            theirs = _open_r1(asked.open_r1, texts, limit)
            yield f"open-r1(3)>{limit}", theirs, [rivals.open_r1(text, limit=limit) for text in texts]
        if asked.trl:
            theirs = _trl(asked.trl, ids, limit)
            yield f"trl(3)>{limit}", theirs, [rivals.ngram_fraction(i, n=3, limit=limit) for i in ids]
    for variant, command in (entry.split("=", 1) for entry in asked.gemini):
        for piece in (20, 100, 500) if GEMINI[variant]["resets"] else (100,):
            ours = [rivals.gemini_cli(text, piece=piece, **GEMINI[variant]) for text in texts]
            yield f"gemini-cli {variant}, pieces of {piece}", _gemini(command, texts, piece), ours
    yield from _datatrove(texts)


def _datatrove(texts: Sequence[str]) -> Iterator[Pair]:
    """datatrove's filter against ours, with its words and with ours."""
    own = datatrove_filter()
    if own is None:
        return
    from datatrove.utils.text import split_into_words

    theirs = [own(text) for text in texts]
    yield "gopher, datatrove's words", theirs, [rivals.gopher(text, words=split_into_words) for text in texts]
    yield "gopher, our words", theirs, [rivals.gopher(text) for text in texts]


def compare(asked: argparse.Namespace, texts: Sequence[str]) -> list[dict[str, Any]]:
    """One row per adapter and reference: texts, agreements, how many the reference flags."""
    name, encode = tokenizer()
    rows = []
    for title, theirs, ours in pairs(asked, texts, [encode(text) for text in texts]):
        same = sum(a == b for a, b in zip(theirs, ours, strict=True))
        rows.append({"rule": title, "texts": len(texts), "agree": same, "flagged_by_reference": sum(theirs)})
        print(f"{title:36} {same}/{len(texts)} agree, the reference flags {sum(theirs)}", flush=True)
    return [{**row, "tokenizer": name} for row in rows]


def main() -> None:
    """Compare what was given and keep the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--vllm", "--antidoom", "--slime", "--whisper", "--open-r1", "--trl", "--json"):
        parser.add_argument(option, type=Path)
    parser.add_argument("--gemini", action="append", default=[], metavar="VARIANT=COMMAND", help=", ".join(GEMINI))
    parser.add_argument("--revisions", default="", help="of the references, kept with the result")
    parser.add_argument("--labelled", type=Path, action="append", default=[], help="JSONL with more texts")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    half = asked.texts // 2
    rows = [*planted(asked.seed, half), *lookalikes(asked.seed, asked.texts - half)]
    rows += [row for path in asked.labelled for row in read_labelled(path)]
    result = compare(asked, [row["text"] for row in rows])
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(
            json.dumps(
                {**environment(), "seed": asked.seed, "revisions": asked.revisions, "agreement": result}, indent=1
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
