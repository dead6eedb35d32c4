"""The rows of `--format ftpo`: the onsets of a run's loops, with alternatives from its outputs or asked of an engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from loopguard.handover.onsets import first_onset, known_onset, likely_tokens, onset_row, second_copies
from loopguard.handover.run_rows import outcomes
from loopguard.handover.tokenized import end_token
from loopguard.prefs.continuing import saved_recipe
from loopguard.prefs.recipe import Recipe

if TYPE_CHECKING:
    from loopguard.handover.alternatives import Alternatives
    from loopguard.handover.export import Exported, Options
    from loopguard.handover.onsets import Onset
    from loopguard.handover.run_rows import Row
    from loopguard.handover.tokenizers_at_hand import Tokenizer
    from loopguard.prefs.run import Run
    from loopguard.records import Prompt

__all__ = ["onset_rows"]

NONE_KNOWN = "no output of the prompt goes on otherwise at that place (--engine asks the model)"
NO_ANSWER = "the engine gave no log-probabilities there"
NOT_CONTINUED = (
    "the looping token is not among the engine's likeliest there: another model, or it does not go on with an answer"
)
NOTHING_ELSE = "the model has no likely alternative of one token there"


def onset_rows(run: Run, options: Options, tokenizer: Tokenizer, exported: Exported) -> Iterator[Row]:
    """The rows, in the order of the candidates; what gives none is counted in `exported.left_out`."""
    if not options.engine:
        yield from _known(run, tokenizer, exported)
        return
    from loopguard.handover.alternatives import Alternatives

    given = (saved_recipe(run.path) or Recipe()).engine.options()
    folder = exported.folder.with_name(f"{exported.folder.name}-answers")
    alternatives = Alternatives(folder, options.engine, replace(given, model=options.model, engine_args={}))
    try:
        alternatives.ask(_places(run, tokenizer, Counter()))
        exported.notes.append(f"The engine's answers are kept in {folder}: another export asks only what is missing.")
        for prompt, onset in _places(run, tokenizer, exported.left_out):
            yield from _asked(prompt, onset, alternatives, tokenizer, exported)
    finally:
        alternatives.close()


def _known(run: Run, tokenizer: Tokenizer, exported: Exported) -> Iterator[Row]:
    end = end_token(tokenizer)
    for prompt, candidates in outcomes(run):
        for copy in second_copies(prompt, candidates, tokenizer):
            if isinstance(copy, str):
                exported.left_out[copy] += 1
            elif found := known_onset(copy, candidates, tokenizer, end):
                yield _row(*found, tokenizer, exported)
            else:
                exported.left_out[NONE_KNOWN] += 1


def _asked(
    prompt: Prompt, onset: Onset, alternatives: Alternatives, tokenizer: Tokenizer, exported: Exported
) -> Iterator[Row]:
    logprobs = alternatives.at(prompt, onset)
    if not logprobs:
        exported.left_out[NO_ANSWER] += 1
        return
    found = likely_tokens(onset, logprobs, tokenizer)
    if found:
        yield _row(onset, found, tokenizer, exported)
    else:
        exported.left_out[NOT_CONTINUED if found is None else NOTHING_ELSE] += 1


def _places(run: Run, tokenizer: Tokenizer, left_out: Counter[str]) -> Iterator[tuple[Prompt, Onset]]:
    """The place to ask at in every second copy."""
    for prompt, candidates in outcomes(run):
        for copy in second_copies(prompt, candidates, tokenizer):
            found = copy if isinstance(copy, str) else first_onset(copy, tokenizer)
            if isinstance(found, str):
                left_out[found] += 1
            else:
                yield prompt, found


def _row(onset: Onset, found: list[str], tokenizer: Tokenizer, exported: Exported) -> Row:
    exported.longest = max(exported.longest, len(tokenizer.encode(onset.context).ids) + 1)
    return onset_row(onset, found)
