"""What the columns of a run's tables hold. Names and types come from the schemas; a column without words here breaks the build."""

from __future__ import annotations

_SIDES = {
    f"{side}_{name}": meaning.format(side)
    for side in ("chosen", "rejected")
    for name, meaning in {
        "index": "index of the {} candidate among those of its prompt",
        "decoding": "`sampled` or `greedy`",
        "temperature": "its temperature; 0 for greedy",
        "finish_reason": "as the engine said: `stop`, `length`, `repetition`, ...",
        "tokens": "sampled tokens, as the engine counted them",
    }.items()
}
_LOOP = {
    "reason": "why it is a loop: [the reasons](detector.md#reasons)",
    "kind": "`verbatim`, `counter` or `near`",
    "terminal": "true: the text ends inside the loop; false: it went on to something else",
    "start": "first character of the first copy",
    "end": "one past the last repeated character",
    "period": "characters in one copy",
    "repeats": "copies: (end - start) / period",
}
_ORIGIN = {
    "model": "the sampler's model",
    "judge": "signature of the judge: name, scale, hash of its spec",
    "detector": "signature of the detector: version, rules, settings that are not the default",
}

COLUMNS: dict[str, dict[str, str]] = {
    "preferences": {
        "prompt": "the conversation that waits for an answer",
        "chosen": "one assistant message: clean, ended by itself, not empty",
        "rejected": "one assistant message: a loop where anything looped, else the lower score",
        "prompt_id": "first 16 hex digits of the SHA-256 over the prompt's messages",
        "row": "row of the prompts file, from 1",
        "pair_index": "0, 1, ... where a prompt gave several pairs",
        "reason": "`loop` or `score`",
        "score_chosen": "judge's score; null where no judge was asked",
        "score_rejected": "judge's score; null for loops, which no judge sees",
        "margin": "score_chosen - score_rejected; null for loops",
        **_SIDES,
        **{f"rejected_loop_{name}": meaning for name, meaning in _LOOP.items()},
        "rejected_wasted_fraction": "share of the rejected text that repeats what was said",
        "rejected_truncated": "the rejected text goes on beyond its end: no end-of-sequence token belongs there",
        "rejected_trimmed": "it was cut after `trim_loops` copies",
        **_ORIGIN,
    },
    "candidates": {
        "prompt_id": "as in preferences",
        "row": "row of the prompts file, from 1",
        "index": "0 .. samples - 1 for the samples, then the greedy one",
        "decoding": "`sampled` or `greedy`",
        "temperature": "0 for greedy",
        "top_p": "nucleus",
        "seed": "seed that was asked for",
        "text": "the whole assistant message, thinking text in its tags included",
        "reasoning": "the thinking text alone, where the engine gave it apart",
        "finish_reason": "as the engine said",
        "prompt_tokens": "as the engine counted them",
        "completion_tokens": "as the engine counted them",
        "merged_into": "index of the candidate with the same text, which stands for this one",
        "looping": "the detector, or an engine that stopped it for repetition, calls it a loop",
        **{f"loop_{name}": f"{meaning}; null where nothing loops" for name, meaning in _LOOP.items()},
        "loops": "how many loops the verdict holds; the loop_* columns are of the one that wastes most",
        "wasted_fraction": "share of the text that repeats what was said",
        "score": "judge's score; an expected value where it came from log-probabilities",
        "score_method": "`logprobs`, `json` or `integer`",
        "score_mass": "probability of the first token that lay on the judge's labels",
        "judge_error": "why there is no score although the judge was asked",
        "used_as": "`chosen`, `rejected`, or null",
        **_ORIGIN,
    },
    "skipped": {
        "status": "`skipped`: done, nothing to pair; `failed`: something was not answered, the next run asks again",
        "reason": "[the reasons](#why-a-prompt-gives-no-pair)",
        "detail": "figures or the error's text",
        "row": "row of the prompts file, from 1",
        "prompt_id": "null for a row that holds no prompt",
        "prompt": "the conversation; null for a row that holds none",
        "candidates": "how many were drawn",
        "looping": "how many of them loop",
    },
}
"""Table -> column -> its meaning, Markdown."""

VERDICT = {"looping": "it loops", "wasted_fraction": "share that repeats what was said"} | {
    f"loop_{name}": meaning for name, meaning in _LOOP.items()
}
"""The verdict columns of `scan --out`; loop_reason is given for clean outputs too."""
