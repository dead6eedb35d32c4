"""May this recipe go on with what a run directory holds: the same samples, the same judge, the same requests?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.errors import InputError
from loopguard.prefs.judging import FORM, JudgeSpec
from loopguard.prefs.recipe import Recipe, parse_recipe, read_toml
from loopguard.prefs.run import RECIPE

if TYPE_CHECKING:
    from loopguard.loops.detector import Detector


def saved_recipe(run_dir: Path) -> Recipe | None:
    """The recipe in a run directory, None where there is no run."""
    path = run_dir / RECIPE
    return parse_recipe(read_toml(path), where=str(path)) if path.is_file() else None


def with_models_of(saved: Recipe | None, recipe: Recipe) -> Recipe:
    """A model that the recipe leaves open is the one that the same engine turned out to serve the last time."""
    changes: dict[str, Any] = {}
    if saved and not recipe.engine.model and saved.engine.engine == recipe.engine.engine:
        changes["engine.model"] = saved.engine.model
    if saved and not recipe.judge.model and recipe.judge.engine and saved.judge.engine == recipe.judge.engine:
        changes["judge.model"] = saved.judge.model
    return recipe.override(changes)


def same_judge(saved: Recipe, recipe: Recipe) -> bool:
    """Whether the scores of a run stand for this recipe too: the same spec, and the same model where both name one."""
    before, now = (r.judge.engine_section(r.engine) for r in (saved, recipe))
    same_model = before.model == now.model or (before.engine == now.engine and not now.model)
    same_look = saved.judge.second_look == recipe.judge.second_look
    same_spec = saved.judge.spec == recipe.judge.spec and same_look
    return same_spec and same_model and before.extra_body == now.extra_body


def hold_against(saved: Recipe | None, recipe: Recipe, run_dir: Path) -> None:
    """Raises InputError where this recipe would draw other samples than those that the run directory has."""
    if saved is None:
        return
    before, now = saved.asks(), recipe.asks()
    if not recipe.engine.model:
        before["engine.model"] = now["engine.model"]  # not known yet
    differing = [
        f"{key} was {before.get(key, False)!r}, is now {now.get(key, False)!r}"
        for key in dict.fromkeys([*now, *before])
        if before.get(key) != now.get(key)
    ]
    if differing:
        raise InputError(
            f"{run_dir} holds a run with other samples: {'; '.join(differing)}. "
            f"Pass another --out, or leave the recipe out to go on with {run_dir / RECIPE}"
        )


def fingerprint(recipe: Recipe, detector: Detector, spec: JudgeSpec | None) -> str:
    """16 hex digits over all that decides which requests a prompt needs. Pairing is no part of it."""
    section = recipe.judge.engine_section(recipe.engine)
    judging = [FORM, spec.signature, section.model, section.extra_body, recipe.judge.attempts] if spec else []
    if spec and recipe.judge.second_look:  # only then, so that fingerprints from before it was known still hold
        judging.append("second look")
    parts = [recipe.asks(), detector.signature, judging, recipe.output.model_dump()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
