"""loopguard finds doom loops in language-model outputs and turns them into preference data that trains them away.

    import loopguard

    loopguard.detect("the same the same the same ...").looping
    loopguard.scan(["one output", "another"])           # a polars frame of verdicts
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
    "LoopStopping": "loopguard.loops.stopping",
    "LoopWatch": "loopguard.loops.stopping",
    "LoopguardError": "loopguard.errors",
    "Recipe": "loopguard.prefs.recipe",
    "Run": "loopguard.prefs.run",
    "StreamDetector": "loopguard.loops.stream",
    "Trust": "loopguard.prefs.trust",
    "Verdict": "loopguard.records",
    "build_prefs": "loopguard.prefs.build",
    "compare": "loopguard.look.compare",
    "detect": "loopguard.loops.detector",
    "detect_rows": "loopguard.loops.frames",
    "judge_trust": "loopguard.prefs.trust",
    "load_judge": "loopguard.prefs.judging",
    "load_recipe": "loopguard.prefs.recipe",
    "loop_rates": "loopguard.loops.rates",
    "open_engine": "loopguard.engines",
    "open_run": "loopguard.prefs.run",
    "read_prompts": "loopguard.dataset",
    "register_polars": "loopguard.loops.frames",
    "report": "loopguard.look.page",
    "scan": "loopguard.loops.frames",
    "show": "loopguard.loops.show",
    "tune_vllm": "loopguard.loops.tune",
    "vocabulary": "loopguard.loops.vocabulary",
}

__all__ = [
    "Detector",
    "EngineOptions",
    "JudgeSpec",
    "Loop",
    "LoopStopping",
    "LoopWatch",
    "LoopguardError",
    "Recipe",
    "Run",
    "StreamDetector",
    "Trust",
    "Verdict",
    "__version__",
    "build_prefs",
    "compare",
    "detect",
    "detect_rows",
    "judge_trust",
    "load_judge",
    "load_recipe",
    "loop_rates",
    "open_engine",
    "open_run",
    "read_prompts",
    "register_polars",
    "report",
    "scan",
    "show",
    "tune_vllm",
    "vocabulary",
]

if TYPE_CHECKING:
    from loopguard.dataset import read_prompts
    from loopguard.engines import EngineOptions, open_engine
    from loopguard.errors import LoopguardError
    from loopguard.look.compare import compare
    from loopguard.look.page import report
    from loopguard.loops.detector import Detector, detect
    from loopguard.loops.frames import detect_rows, register_polars, scan
    from loopguard.loops.rates import loop_rates
    from loopguard.loops.show import show
    from loopguard.loops.stopping import LoopStopping, LoopWatch
    from loopguard.loops.stream import StreamDetector
    from loopguard.loops.tune import tune_vllm
    from loopguard.loops.vocabulary import vocabulary
    from loopguard.prefs.build import build_prefs
    from loopguard.prefs.judging import JudgeSpec, load_judge
    from loopguard.prefs.recipe import Recipe, load_recipe
    from loopguard.prefs.run import Run, open_run
    from loopguard.prefs.trust import Trust, judge_trust
    from loopguard.records import Loop, Verdict


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'loopguard' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
