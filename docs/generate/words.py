"""Named things as tables: errors, exit codes, reasons of verdicts and of skipped prompts, faults of `check`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from docs.generate.figures import ROOT, table


def errors() -> str:
    """The error tree, as drawn at the top of errors.py, and what each one means."""
    from loopguard import errors as tree

    drawn = (tree.__doc__ or "").strip().partition("\n\n")[2].rstrip()
    classes = [one for one in vars(tree).values() if isinstance(one, type) and issubclass(one, tree.LoopguardError)]
    rows = [
        (f"`{one.__name__}`", f"`{one.__bases__[0].__name__}`", " ".join((one.__doc__ or "").split()))
        for one in classes
    ]
    return f"```text\n{drawn}\n```\n\n{table(rows, ('error', 'is a', 'meaning'))}"


def exit_codes() -> str:
    """What each verb's help says of its exit codes."""
    import typer.main

    from loopguard.cli import app

    group = typer.main.get_command(app)
    verbs = dict(group.commands)  # type: ignore[attr-defined]
    for name, one in list(verbs.items()):
        verbs |= {f"{name} {inner}": deeper for inner, deeper in getattr(one, "commands", {}).items()}
    found = {name: (one.epilog or "").removeprefix("Exit codes: ") for name, one in verbs.items()}
    return table([(f"`{name}`", codes) for name, codes in found.items() if codes], ("verb", "codes"))


def _table(words: Mapping[str, str], head: str) -> str:
    return table([(f"`{name}`", meaning.replace("|", "\\|")) for name, meaning in words.items()], (head, "meaning"))


def reasons() -> str:
    """Every reason a Verdict can give."""
    from loopguard.loops.detector import REASONS

    return _table(REASONS, "reason")


def skip_reasons() -> str:
    """Every reason of a prompt without a pair."""
    from loopguard.prefs.pairing import SKIP_REASONS

    return _table(SKIP_REASONS, "reason")


def notebooks() -> str:
    """Every notebook of the repository with its title and first paragraph."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title, paragraph = first.removeprefix("# ").split("\n\n")[:2]
        found.append((f"`{path.name}`", title, " ".join(paragraph.split())))
    assert found
    return table(found, ("file", "title", "what it shows"))


def faults() -> str:
    """Every fault that `check` names, and whether one alone makes it end with 3."""
    from loopguard.handover.measured import FAULTS, SERIOUS

    rows = [(f"`{name}`", "yes" if name in SERIOUS else "", meaning) for name, meaning in FAULTS.items()]
    return table(rows, ("fault", "serious", "meaning"))
