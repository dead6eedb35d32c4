"""Stop while it still generates: a StoppingCriteria for transformers, a check for streamed OpenAI answers.

    stopping = LoopStopping(eos_token_id=tokenizer.eos_token_id)
    model.generate(**inputs, stopping_criteria=StoppingCriteriaList([stopping]))
    stopping.verdicts                               # for each row of the batch, a Verdict or None

    watch = LoopWatch()
    for chunk in client.chat.completions.create(..., stream=True):
        if watch(chunk):                            # the same in `async for`
            break                                   # leaving the loop closes the connection, which ends the generation
    watch.verdict

Both run a StreamDetector for each output: the verdict is the one that `detect` gives on what has come so far. Neither torch nor
transformers nor openai is imported here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from loopguard.errors import InputError
from loopguard.loops.detector import Detector
from loopguard.loops.stream import StreamDetector
from loopguard.records import Verdict

__all__ = ["LoopStopping", "LoopWatch"]


class LoopStopping:
    """A StoppingCriteria: each row of the batch stops by itself once it loops. One may serve many calls of `generate`."""

    def __init__(
        self,
        *,
        eos_token_id: int | Collection[int] | None = None,
        prompt_length: int | None = None,
        vocabulary: Sequence[bytes] | None = None,
        detector: Detector | None = None,
        remember: int | None = None,
    ) -> None:
        """How rows are watched.

        Args:
            eos_token_id: what ends an answer; the padding after it is then not taken for a loop.
            prompt_length: tokens of the (padded) prompt; by default all but the last one at the first call.
            vocabulary: the bytes of every token id (decoded, no "Ġ"): the text is examined then, which knows words from
                marks and numbers; spans are in characters.
            detector: thresholds other than the default ones.
            remember: bound on memory, as for StreamDetector.
        """
        self._vocabulary = vocabulary
        self._eos = frozenset([eos_token_id] if isinstance(eos_token_id, int) else eos_token_id or ())
        self._prompt_length = prompt_length
        self._detector = detector or Detector()
        self._remember = remember
        self._streams: list[StreamDetector | None] = []
        self._seen = 0
        self.verdicts: list[Verdict | None] = []
        """For each row of the latest batch: why it was stopped; None where it was not."""

    def __call__(self, input_ids: Any, scores: Any = None, **_: Any) -> Any:
        """For transformers: a tensor (rows, tokens so far) with the prompt in, a tensor (rows,) out; True stops a row."""
        rows, length = input_ids.shape
        first = self._begin(rows, length)
        looping = self.feed(input_ids[:, first:].tolist())
        self._seen = length
        return input_ids.new_tensor(looping).bool()

    def feed(self, tokens: Sequence[Sequence[int]]) -> list[bool]:
        """Take the new tokens of every row; says which rows loop. Without transformers: for any loop that samples."""
        if len(tokens) != len(self._streams):
            self._start(len(tokens))
        for row, new in enumerate(tokens):
            stream = self._streams[row]
            if stream is None:
                continue
            end = next((i for i, token in enumerate(new) if token in self._eos), None)
            self.verdicts[row] = stream.feed(self._symbols(new[:end]))
            if end is not None or self.verdicts[row] is not None:
                self._streams[row] = None
        return [verdict is not None for verdict in self.verdicts]

    def _symbols(self, tokens: Sequence[int]) -> bytes | list[int]:
        return list(tokens) if self._vocabulary is None else b"".join(self._vocabulary[token] for token in tokens)

    def _begin(self, rows: int, length: int) -> int:
        """The first token that has not been fed. A batch that does not go on with the one before is a new one."""
        if rows != len(self._streams) or length <= self._seen:
            self._start(rows)
            self._seen = self._prompt_length if self._prompt_length is not None else length - 1
        return self._seen

    def _start(self, rows: int) -> None:
        self._streams = [StreamDetector(self._detector, remember=self._remember) for _ in range(rows)]
        self.verdicts = [None] * rows


class LoopWatch:
    """Says of every chunk of a streamed answer whether it is time to stop. One for each answer.

    Takes chunks of chat completions (text, reasoning, arguments of tool calls), of completions, and events of the
    Responses API: objects of the openai package or plain mappings. Each of these parts is watched by itself.
    """

    def __init__(self, *, n: int = 1, detector: Detector | None = None, remember: int | None = None) -> None:
        """`n` as in the request: with several choices it is time to stop when all of them loop or have ended."""
        if n < 1:
            raise InputError(f"n is {n}; it must be at least 1")
        self._n = n
        self._detector = detector or Detector()
        self._remember = remember
        self._streams: dict[tuple[int, str], StreamDetector] = {}
        self._ended: set[int] = set()
        self.verdicts: dict[int, Verdict] = {}
        """Choices that loop, by index."""

    @property
    def verdict(self) -> Verdict | None:
        """Why it was stopped: the verdict of the first choice that loops; None if none does."""
        return next(iter(self.verdicts.values()), None)

    def __call__(self, chunk: Any) -> bool:
        """Take a chunk; True when it is time to stop."""
        for index, part, text in _parts(chunk):
            if index in self.verdicts:
                continue
            stream = self._streams.setdefault((index, part), StreamDetector(self._detector, remember=self._remember))
            verdict = stream.feed(text)
            if verdict is not None:
                self.verdicts[index] = verdict
        self._ended |= {_index(choice) for choice in _get(chunk, "choices") or () if _get(choice, "finish_reason")}
        return bool(self.verdicts) and len(self._ended | self.verdicts.keys()) >= self._n


def _parts(chunk: Any) -> Iterator[tuple[int, str, str]]:
    """(index of the choice, which part of it, new text) of a chunk."""
    kind = _get(chunk, "type")
    if isinstance(kind, str) and kind.endswith(".delta") and isinstance(_get(chunk, "delta"), str):
        yield 0, f"{kind} {_get(chunk, 'output_index')}", _get(chunk, "delta")
    for choice in _get(chunk, "choices") or ():
        delta = _get(choice, "delta")
        found = {name: _get(delta, name) for name in ("reasoning", "reasoning_content", "content", "refusal")}
        found["text"] = _get(choice, "text")
        for call in _get(delta, "tool_calls") or ():
            found[f"tool call {_get(call, 'index')}"] = _get(_get(call, "function"), "arguments")
        for part, text in found.items():
            if isinstance(text, str) and text:
                yield _index(choice), part, text


def _index(choice: Any) -> int:
    return int(_get(choice, "index") or 0)


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
