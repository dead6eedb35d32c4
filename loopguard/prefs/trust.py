"""`judge_trust`: whether a judge can be trusted with the answers of a run, in figures with intervals and in words.

    trust = loopguard.judge_trust("runs/mine")                        # the run's own judge
    trust = loopguard.judge_trust("runs/mine", "reasoning", "openai:http://localhost:8000/v1", judge_model="big")
    trust.verdict                                                     # in a sentence
    trust.figures, trust.scores, trust.pairs, trust.planted           # polars frames

Nothing in the run changes. Every reply is in a ledger of its own (`trust/` in the run directory, or `out`) before it is used, so
that the same call again asks only what is missing; scores that the run has already are taken from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.errors import InputError
from loopguard.prefs.asking import Usage
from loopguard.prefs.continuing import saved_recipe
from loopguard.prefs.judging import JudgeSpec, load_judge
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.run import Run
from loopguard.prefs.trust_asking import Rows
from loopguard.prefs.trust_figures import Figure, figures
from loopguard.prefs.trust_planted import QUESTIONS
from loopguard.prefs.trust_session import Examination
from loopguard.prefs.trust_told import Finding, findings, html, lines, verdict

if TYPE_CHECKING:
    import polars as pl

FOLDER = "trust"
"""In the run directory, where no other is named."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trust:
    """An examined judge. Shows itself in Jupyter, and as plain text with `print`."""

    judge: str
    """The spec's signature."""
    engine: str
    model: str
    prompts: int
    """Prompts of the run that were judged."""
    questions: int
    """Planted questions that were judged."""
    scores: pl.DataFrame
    """One row a judgement: prompt_id, candidate, variant (first, again, nonce, wording), score, mass, entropy, error, ..."""
    pairs: pl.DataFrame
    """One row a prompt: its best and worst, their margin, the probability that the best wins when shown first, and second."""
    planted: pl.DataFrame
    """One row a judgement of a planted answer: question, answer, what is written under it, score, error, ..."""
    findings: tuple[Finding, ...]
    """One for each part of the figures: part, level (good, care, bad, unknown), text."""
    usage: Usage
    """What this call asked, and what it found in ledgers."""
    all_figures: tuple[Figure, ...]

    @property
    def verdict(self) -> str:
        """What it comes to, in a sentence."""
        return verdict(self.findings)[1]

    @property
    def level(self) -> str:
        """noise | gullible | care | good | unknown."""
        return verdict(self.findings)[0]

    @property
    def complete(self) -> bool:
        """Every question was answered."""
        return all(bool(frame["answered"].all()) for frame in (self.scores, self.pairs, self.planted))

    @property
    def figures(self) -> pl.DataFrame:
        """One row a figure: judge, part, figure, value, low, high, of, chance, meaning."""
        import polars as pl

        text, real = pl.String(), pl.Float64()
        kinds: Any = dict(zip(Figure._fields, (text, text, real, real, real, pl.Int64(), real, text), strict=True))
        frame = pl.DataFrame([figure._asdict() for figure in self.all_figures], schema=kinds)
        return frame.select(pl.lit(self.judge.partition("|")[0]).alias("judge"), pl.all())

    @property
    def title(self) -> str:
        """Who was examined, and on how much."""
        about = f"{self.prompts} prompts of the run and {self.questions} planted questions"
        return f"judge {self.judge} on {self.model} ({self.engine}): {about}"

    def as_dict(self) -> dict[str, Any]:
        """All but the single judgements, as JSON values."""
        named = {name: getattr(self, name) for name in ("judge", "engine", "model", "prompts", "questions")}
        found = {"level": self.level, "verdict": self.verdict, "complete": self.complete}
        parts = [finding._asdict() for finding in self.findings]
        numbers = [figure._asdict() for figure in self.all_figures]
        return {**named, **found, "findings": parts, "figures": numbers, "usage": asdict(self.usage)}

    def __str__(self) -> str:
        return "\n".join(lines(self.title, self.verdict, self.all_figures, self.findings))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For Jupyter."""
        return html(self.title, self.verdict, self.all_figures, self.findings)


def judge_trust(
    run: Run | str | os.PathLike[str],
    judge: JudgeSpec | str | None = None,
    judge_engine: str | None = None,
    *,
    judge_model: str | None = None,
    judge_api_key_env: str | None = None,
    limit: int = 40,
    planted: int = len(QUESTIONS),
    attacked: int | None = None,
    out: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Trust:
    """Ask a judge what shows whether it can be trusted, as far as that was not asked before.

    Args:
        run: a run directory; its answers are judged, nothing in it is changed.
        judge: a shipped name, a path, or a spec; None: the run's own.
        judge_engine: as in a recipe; None: whatever judges in the run.
        judge_model: the model's name at its server.
        judge_api_key_env: NAME of the environment variable that holds its key.
        limit: at most so many prompts of the run, evenly spread; each takes up to 16 requests.
        planted: so many planted questions, 6 requests each.
        attacked: so many of these with attacks under the false answer, 7 more requests each; None: all.
        out: folder of the examination's ledger; None: `trust` in the run directory.
        offline: ask nothing: what the ledgers hold.
        progress: is told (prompts and questions that are through, all of them).

    Ctrl-C ends it once the answers in flight are on disk.

    Raises:
        InputError: no run, no judge, a limit below 0.
        LoopguardError: see errors.py. What was answered before is on disk; the same call goes on from there.
    """
    if limit < 0 or not 0 <= planted <= len(QUESTIONS):
        raise InputError(f"limit is 0 or more (seen: {limit}), planted 0 to {len(QUESTIONS)} (seen: {planted})")
    found = run if isinstance(run, Run) else Run(Path(run))
    recipe = _recipe(found.path, judge, judge_engine, judge_model, judge_api_key_env)
    spec = judge if isinstance(judge, JudgeSpec) else load_judge(recipe.judge.spec)
    folder = Path(out) if out is not None else found.path / FOLDER
    if folder.resolve() == found.path.resolve():
        raise InputError(f"{folder}: out is the run directory itself; pass another folder")
    session = Examination(found.path, folder, recipe, spec, offline=offline, progress=progress)
    told = session.run(limit, planted, planted if attacked is None else attacked)
    numbers = figures(told.rows, spec.scale, min_margin=recipe.pairing.min_margin)
    return Trust(
        judge=spec.signature,
        engine=told.engine,
        model=told.model,
        prompts=told.prompts,
        questions=planted,
        findings=tuple(findings(numbers)),
        usage=told.usage,
        all_figures=tuple(numbers),
        **_frames(told.rows),
    )


def _recipe(
    run_dir: Path, judge: JudgeSpec | str | None, engine: str | None, model: str | None, api_key_env: str | None
) -> Recipe:
    """The run's recipe with another judge."""
    recipe = saved_recipe(run_dir) or Recipe()
    changes: dict[str, Any] = {"judge.spec": judge.name if isinstance(judge, JudgeSpec) else judge}
    changes |= {"judge.engine": engine, "judge.api_key_env": api_key_env}
    changes["judge.model"] = "" if engine is not None and model is None else model
    recipe = recipe.override({key: value for key, value in changes.items() if value is not None}, where="judge")
    if recipe.judge.spec == "none":
        raise InputError(f"{run_dir}: the run has no judge; name one: helpfulness, reasoning, conciseness, or a path")
    return recipe


def _frames(rows: Rows) -> dict[str, pl.DataFrame]:
    """The three tables, typed also where they are empty."""
    import polars as pl

    text, whole, real = pl.String(), pl.Int64(), pl.Float64()
    said = {"score": real, "method": text, "mass": real, "entropy": real, "answered": pl.Boolean(), "error": text}
    scores = {"prompt_id": text, "candidate": whole, "variant": text, "characters": whole} | said
    pairs = {"prompt_id": text, "best": whole, "worst": whole, "margin": real, "when_first": real, "when_second": real}
    pairs |= {"answered": pl.Boolean(), "error": text}
    planted = {"question": text, "answer": text, "under_it": text} | said
    schemas: dict[str, dict[str, Any]] = {"scores": scores, "pairs": pairs, "planted": planted}
    return {name: pl.DataFrame(getattr(rows, name), schema=schema) for name, schema in schemas.items()}
