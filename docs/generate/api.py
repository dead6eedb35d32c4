"""The reference of the Python names: a mkdocstrings block for each public one, in groups."""

from __future__ import annotations

GROUPS = {
    "Find": (
        "detect",
        "Detector",
        "Verdict",
        "Loop",
        "show",
        "vocabulary",
        "scan",
        "loop_rates",
        "detect_rows",
        "register_polars",
        "tune_vllm",
    ),
    "Stop": ("StreamDetector", "LoopStopping", "LoopWatch"),
    "Build": (
        "build_prefs",
        "read_prompts",
        "load_recipe",
        "Recipe",
        "load_judge",
        "JudgeSpec",
        "judge_trust",
        "Trust",
    ),
    "Look": ("open_run", "Run", "report", "compare"),
    "Ask": ("open_engine", "EngineOptions"),
    "Errors": ("LoopguardError",),
}
"""What a reader looks for together. Names that are in no group come under "More", so that none is ever left out."""


def reference() -> str:
    """Every name of `loopguard.__all__` but the version, under a heading for its group."""
    import loopguard

    public = [name for name in loopguard.__all__ if name != "__version__"]
    grouped = {name for names in GROUPS.values() for name in names}
    groups = GROUPS | {"More": tuple(name for name in public if name not in grouped)}
    parts = ["`loopguard.__version__` is the version as a string."]
    for title, names in groups.items():
        blocks = [_block(name) for name in names if name in public]
        parts += [f"## {title}", *blocks] if blocks else []
    return "\n\n".join(parts)


def _block(name: str) -> str:
    import loopguard

    home = getattr(loopguard, "_HOME")[name]  # noqa: B009
    return f'<span id="loopguard.{name}"></span>\n\n::: {home}.{name}'
