"""loopguard finds doom loops in language-model outputs and turns them into preference data that trains them away.

    import loopguard

    loopguard.detect("the same the same the same ...").looping
    run = loopguard.build_prefs("prompts.jsonl", "liquid", out="runs/mine")
    run.preferences, run.candidates, run.skipped        # polars frames

Names are loaded when they are first used, so that `import loopguard` costs a few milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Detector": "loopguard.loops.detector",
    "EngineOptions": "loopguard.engines",
    "JudgeSpec": "loopguard.prefs.judging",
    "Loop": "loopguard.records",
    "LoopguardError": "loopguard.errors",
    "Recipe": "loopguard.prefs.recipe",
    "Run": "loopguard.prefs.run",
    "Verdict": "loopguard.records",
    "build_prefs": "loopguard.prefs.build",
    "detect": "loopguard.loops.detector",
    "load_judge": "loopguard.prefs.judging",
    "load_recipe": "loopguard.prefs.recipe",
    "open_engine": "loopguard.engines",
    "open_run": "loopguard.prefs.run",
    "read_prompts": "loopguard.dataset",
}

__all__ = [
    "Detector",
    "EngineOptions",
    "JudgeSpec",
    "Loop",
    "LoopguardError",
    "Recipe",
    "Run",
    "Verdict",
    "__version__",
    "build_prefs",
    "detect",
    "load_judge",
    "load_recipe",
    "open_engine",
    "open_run",
    "read_prompts",
]

if TYPE_CHECKING:
    from loopguard.dataset import read_prompts
    from loopguard.engines import EngineOptions, open_engine
    from loopguard.errors import LoopguardError
    from loopguard.loops.detector import Detector, detect
    from loopguard.prefs.build import build_prefs
    from loopguard.prefs.judging import JudgeSpec, load_judge
    from loopguard.prefs.recipe import Recipe, load_recipe
    from loopguard.prefs.run import Run, open_run
    from loopguard.records import Loop, Verdict


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'loopguard' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
