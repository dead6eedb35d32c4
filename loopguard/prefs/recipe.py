"""A recipe: everything that decides what a run asks and what it makes of the answers. One TOML file, validated.

`load_recipe("liquid")` reads a shipped one, `load_recipe("my/recipe.toml")` anybody's. Unknown keys and bad values are
errors that name the file, the key and what is allowed. `Recipe()` alone is the default recipe.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from loopguard.engines import EngineOptions
from loopguard.errors import InputError, RecipeError
from loopguard.house import find
from loopguard.loops.settings import DetectorSettings

T = TypeVar("T", bound=BaseModel)


class Section(BaseModel):
    """A part of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _no_secret_in_the_address(value: str) -> str:
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("an address without user:password@; put the key into an environment variable (api_key_env)")
    return value


def _a_name_not_a_key(value: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", value):
        raise ValueError("the NAME of an environment variable (A to Z, 0 to 9, _), never the key itself")
    return value


def _fit_for_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"fields that JSON has words for ({error})") from None
    return value


EngineName = Annotated[str, AfterValidator(_no_secret_in_the_address)]
VariableName = Annotated[str, AfterValidator(_a_name_not_a_key)]
ExtraBody = Annotated[dict[str, Any], AfterValidator(_fit_for_json)]


class EngineSection(Section):
    """Who answers the prompts."""

    engine: EngineName = Field(
        "embedded", description="embedded[:PATH.gguf|:hf:repo/file] | openai:BASE_URL | scripted:FILE | vllm:MODEL"
    )
    model: str = Field("", description="model name at the server; empty: the only one that it serves")
    concurrency: int = Field(8, ge=1, le=4096, description="most requests in flight at one time")
    timeout: float = Field(600, gt=0, description="seconds for one request")
    max_retries: int = Field(6, ge=0, le=50, description="tries after the first, with back-off")
    patience: float = Field(300, ge=0, description="seconds to wait for a server that is gone or busy (429, 503)")
    api_key_env: VariableName = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    context: int = Field(4096, ge=64, description="embedded engine: tokens of prompt and answer together")
    threads: int = Field(0, ge=0, description="embedded engine: threads; 0: all physical cores but one")
    extra_body: ExtraBody = Field(default_factory=dict, description="further fields of the request body")
    engine_args: ExtraBody = Field(
        default_factory=dict, description="vllm: its EngineArgs by name (max_model_len, ...)"
    )
    price_prompt: float = Field(0, ge=0, allow_inf_nan=False, description="of a million prompt tokens; 0: not given")
    price_completion: float = Field(
        0, ge=0, allow_inf_nan=False, description="of a million sampled tokens; 0: not given"
    )

    @model_validator(mode="after")
    def _arguments_of_vllm(self) -> EngineSection:
        _arguments_are_for_vllm(self.engine, self.engine_args)
        return self

    def options(self) -> EngineOptions:
        """What the engine itself is given: all but its name."""
        return EngineOptions(**self.model_dump(exclude={"engine", "price_prompt", "price_completion"}))


def _arguments_are_for_vllm(engine: str, engine_args: Mapping[str, Any]) -> None:
    if engine_args and engine.partition(":")[0] != "vllm":
        raise ValueError(f"engine_args are vLLM's: they need an engine vllm:MODEL beside them, not {engine!r}")


class EarlyStop(Section):
    """vLLM's stop of repeating output (RepetitionDetectionParams): the last `min_count` stretches of one size are equal.

    Whatever repeats every 128 tokens or fewer has a multiple among the sizes 64 to 128. With 6 stretches at least 320 tokens
    follow the first one, one byte each or more: the detector wants 300 bytes where a loop is of marks alone. Fewer or smaller
    ones save more and stop lists, and loops that the detector then does not see (benchmarks/early_stop.py).
    """

    max_pattern_size: int = Field(128, ge=1, le=4096, description="tokens in the largest stretch")
    min_pattern_size: int = Field(64, ge=1, le=4096, description="tokens in the smallest stretch")
    min_count: int = Field(6, ge=2, le=1024, description="stretches in a row that must be equal")

    @model_validator(mode="after")
    def _some_size(self) -> EarlyStop:
        if self.min_pattern_size > self.max_pattern_size:
            raise ValueError("min_pattern_size is at most max_pattern_size")
        return self


class SamplingSection(Section):
    """Which candidates a prompt gets: 5 at a temperature and 1 greedy by default."""

    samples: int = Field(5, ge=0, le=256, description="candidates at a temperature")
    greedy: bool = Field(True, description="one more candidate at temperature 0")
    temperature: float | tuple[float, ...] = Field(
        0.8, description="one for all samples, or a list that they are dealt over in equal blocks"
    )
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus of the samples; greedy ignores it")
    max_tokens: int = Field(1024, ge=1, description="most tokens in one candidate")
    seed: int = Field(0, description="seeds of all candidates derive from it and the prompt's id")
    early_stop: Literal[False] | EarlyStop = Field(False, description="vLLM: stop looping candidates; true, or a table")

    @field_validator("temperature", mode="wrap")
    @classmethod
    def _in_range(cls, value: Any, known: Any) -> Any:
        numbers = value if isinstance(value, list | tuple) else [value]
        if not numbers or not all(_is_number(t) and 0 < t <= 5 for t in numbers):
            raise ValueError("a number above 0 and up to 5, or a list of such (temperature 0 is the greedy candidate)")
        return known(value)

    @field_validator("early_stop", mode="wrap")
    @classmethod
    def _a_table(cls, value: Any, known: Any) -> Any:
        if isinstance(value, dict) or value is True:
            try:
                return parse_section(EarlyStop, value if isinstance(value, dict) else {}, where="its table")
            except RecipeError as error:
                raise ValueError(str(error).removeprefix("its table: ").removeprefix("recipe: ")) from None
        if value is not False and not isinstance(value, EarlyStop):
            raise ValueError(f"true, false, or a table with {', '.join(EarlyStop.model_fields)}")
        return known(value)

    @model_validator(mode="after")
    def _some_candidate(self) -> SamplingSection:
        if self.samples + self.greedy < 2:
            raise ValueError("a pair needs at least 2 candidates: samples >= 1 with greedy, or samples >= 2")
        if isinstance(self.temperature, tuple) and not 1 <= len(self.temperature) <= max(1, self.samples):
            raise ValueError(f"temperature: a list holds 1 to {self.samples} (= samples) values")
        return self

    def temperatures(self) -> list[float]:
        """One temperature for each sample, in blocks: samples = 5 over [0.6, 0.9] is 0.6 0.6 0.6 0.9 0.9."""
        if not isinstance(self.temperature, tuple):
            return [self.temperature] * self.samples
        return sorted_blocks(self.temperature, self.samples)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def sorted_blocks(values: tuple[float, ...], count: int) -> list[float]:
    """`count` items dealt over `values` in contiguous blocks whose sizes differ by at most one, in the order given."""
    size, extra = divmod(count, len(values))
    return [value for k, value in enumerate(values) for _ in range(size + (k < extra))]


class JudgeSection(Section):
    """Who scores the clean candidates. Empty fields mean: as the sampling engine."""

    spec: str = Field("helpfulness", description="a shipped judge, a path to a .toml, or none (loop pairs only)")
    engine: EngineName = Field("", description="as engine.engine; empty: the sampling engine judges")
    model: str = Field("", description="model name at the judge's server")
    concurrency: int = Field(8, ge=1, le=4096, description="most requests in flight at one time")
    timeout: float = Field(120, gt=0, description="seconds for one request")
    max_retries: int = Field(6, ge=0, le=50, description="tries after the first, with back-off")
    patience: float = Field(300, ge=0, description="seconds to wait for a server that is gone or busy")
    api_key_env: VariableName = Field("OPENAI_API_KEY", description="environment variable that holds the judge's key")
    context: int = Field(4096, ge=64, description="embedded engine: tokens of prompt and reply together")
    threads: int = Field(0, ge=0, description="embedded engine: threads; 0: all physical cores but one")
    extra_body: ExtraBody = Field(default_factory=dict, description="further fields of the judge's request body")
    engine_args: ExtraBody = Field(default_factory=dict, description="vllm; empty: those of the same engine as sampler")
    price_prompt: float = Field(0, ge=0, allow_inf_nan=False, description="both 0 and no engine named: the sampler's")
    price_completion: float = Field(0, ge=0, allow_inf_nan=False, description="of a million tokens of replies")
    attempts: int = Field(3, ge=1, le=20, description="times a reply that cannot be read is asked for, in all")
    second_look: bool = Field(False, description="pairs by score are asked about again side by side, in both orders")

    @model_validator(mode="after")
    def _arguments_of_vllm(self) -> JudgeSection:
        _arguments_are_for_vllm(self.engine, self.engine_args)
        return self

    def engine_section(self, sampling: EngineSection) -> EngineSection:
        """The judge's engine: its own, or the sampling engine when none is named."""
        if not self.engine:
            return sampling if not self.model else sampling.model_copy(update={"model": self.model})
        own = self.model_dump(exclude={"spec", "attempts", "second_look"})
        if self.engine == sampling.engine and not self.engine_args:
            own["engine_args"] = sampling.engine_args
        return EngineSection(**own)


class PairingSection(Section):
    """Which candidates become chosen and rejected. A looping candidate is never chosen, whatever stands here."""

    max_pairs_per_prompt: int = Field(1, ge=1, le=256, description="most pairs from one prompt")
    min_margin: float = Field(0.25, ge=0, description="least score difference of a pair without loops, in judge points")
    trim_loops: int = Field(0, ge=0, description="0: rejected loops whole; k >= 2: cut after k copies")

    @field_validator("trim_loops")
    @classmethod
    def _a_loop_stays_a_loop(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0 (keep whole) or at least 2: after one copy nothing repeats yet")
        return value


class OutputSection(Section):
    """How an answer with thinking text is written as one assistant message: the tags of the model's training."""

    think_open: str = Field("<think>\n", description="before the thinking text")
    think_close: str = Field("\n</think>\n\n", description="between it and the answer")


class BudgetSection(Section):
    """The most that all sessions of a run may spend together. No part of what is asked: a run goes on under another."""

    requests: int = Field(0, ge=0, description="engine requests, judge's included; 0: no limit")
    tokens: int = Field(0, ge=0, description="prompt and sampled tokens together; 0: no limit")
    money: float = Field(0, ge=0, allow_inf_nan=False, description="in the currency of the prices; 0: no limit")


class RaySection(Section):
    """How `runner = "ray"` spreads a run over workers. No part of what is asked: a run can change between runners."""

    address: str = Field("", description="auto or HOST:PORT of a cluster; empty: a Ray of its own on this machine")
    sample_workers: int = Field(2, ge=1, le=100_000, description="workers that hold a sampling engine each")
    judge_workers: int = Field(1, ge=1, le=100_000, description="workers that hold the judge's own engine, if any")
    num_cpus: float = Field(1, ge=0, description="CPUs of one worker")
    num_gpus: float = Field(0, ge=0, description="GPUs of one sampling worker")
    judge_num_gpus: float = Field(0, ge=0, description="GPUs of one judging worker")
    shards_at_once: int = Field(2, ge=1, le=64, description="shards in one worker's hands: each fills another's gaps")
    prompts_per_shard: int = Field(0, ge=0, le=100_000, description="0: 4 shards a worker, at most 512 prompts each")
    shared: str = Field("", description="folder that every node sees; empty: the run directory")


class Recipe(Section):
    """A whole recipe; `Recipe()` is the default one."""

    name: str = Field("default", description="what the run and its folder are called; the file's name if not given")
    description: str = Field("", description="one line for `loopguard pipelines list`")
    runner: Literal["local", "ray"] = Field("local", description="this process, or workers of Ray Data")
    engine: EngineSection = EngineSection()
    sampling: SamplingSection = SamplingSection()
    detector: dict[str, Any] = Field(default_factory=dict, description="settings of loopguard.Detector by name")
    judge: JudgeSection = JudgeSection()
    pairing: PairingSection = PairingSection()
    output: OutputSection = OutputSection()
    budget: BudgetSection = BudgetSection()
    ray: RaySection = RaySection()

    @field_validator("detector")
    @classmethod
    def _settings_of_the_detector(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            DetectorSettings.make(value)
        except InputError as error:
            raise ValueError(str(error)) from None
        return value

    def asks(self) -> dict[str, Any]:
        """What decides the samples that are asked for, flat: two recipes equal here share their candidates."""
        flat = {f"sampling.{key}": value for key, value in self.sampling.model_dump(mode="json").items()}
        if not self.sampling.early_stop:  # fingerprints from before it was known still hold
            del flat["sampling.early_stop"]
        flat["engine.model"] = self.engine.model
        flat["engine.extra_body"] = self.engine.extra_body
        return flat

    def override(self, changes: Mapping[str, Any], *, where: str = "option") -> Recipe:
        """This recipe with dotted keys replaced: {"sampling.max_tokens": 512}. Raises RecipeError."""
        raw = self.model_dump(mode="json")
        for dotted, value in changes.items():
            *sections, key = dotted.split(".")
            table: Any = raw
            for section in sections:
                table = table.get(section) if isinstance(table, dict) else None
            if not isinstance(table, dict) or (not sections and key not in ("name", "description", "runner")):
                raise RecipeError(f"{where}: unknown key {dotted!r}{_near(dotted, _all_keys())}")
            table[key] = value
        return parse_recipe(raw, where=where)

    def to_toml(self, *, header: str = "") -> str:
        """The recipe as TOML, every default written out."""
        import tomli_w

        return header + tomli_w.dumps(self.model_dump(mode="json"))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name or anybody's by path. Raises InputError (not found) or RecipeError (not valid)."""
    path = find("pipelines", name)
    recipe = parse_recipe(read_toml(path), where=str(path))
    return recipe if recipe.name != "default" else recipe.model_copy(update={"name": path.stem})


def read_toml(path: Path) -> dict[str, Any]:
    """The TOML of a file. Raises RecipeError with the line where it breaks."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None


def parse_recipe(raw: Mapping[str, Any], *, where: str) -> Recipe:
    """A Recipe from parsed TOML. Raises RecipeError that names `where`, the key and what is allowed."""
    return parse_section(Recipe, raw, where=where)


def parse_section(model: type[T], raw: Mapping[str, Any], *, where: str) -> T:
    """`raw` as a validated `model`, with every fault told in one line."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{where}: " + "; ".join(_fault(fault, model) for fault in error.errors()[:5])) from None


def _fault(fault: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "recipe"
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_near(key, _all_keys(model))}"
    allowed = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{key} is missing"
    if fault["type"].startswith("model_"):
        allowed = f"a table with {', '.join(k.rpartition('.')[2] for k in _all_keys(model) if k.startswith(key + '.'))}"
    return f"{key}: {allowed}{_shown(key, fault.get('input'))}"


def _shown(key: str, seen: Any) -> str:
    """What stands there, but never where a key or password may have got to."""
    if key.startswith(_MAY_HOLD_SECRETS) or not isinstance(seen, str | int | float | bool):
        return ""
    text = repr(seen)
    return f" (seen: {text if len(text) <= 80 else text[:77] + '...'})"


_MAY_HOLD_SECRETS = tuple(
    f"{section}.{key}" for section in ("engine", "judge") for key in ("engine", "api_key_env", "extra_body")
)


def _all_keys(model: type[BaseModel] | None = None, prefix: str = "") -> list[str]:
    keys = []
    for name, info in (model or Recipe).model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += _all_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _near(key: str, known: list[str]) -> str:
    """A hint for an unknown key: the same name in another section, names like it, else all of its section."""
    section, _, name = key.rpartition(".")
    sections = list(dict.fromkeys(k.partition(".")[0] for k in known if "." in k))
    here = [k for k in known if k.rpartition(".")[0] == section]
    close = [k for k in known if k.rpartition(".")[2] == name]
    close = close or difflib.get_close_matches(key, [*here, *([] if section else sections)], n=2, cutoff=0.6)
    close = close or difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; allowed: {', '.join([*here, *([] if section else sections)] or known)}"
