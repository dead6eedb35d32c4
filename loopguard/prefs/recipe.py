"""A recipe: everything that decides what a run asks and what it makes of the answers. One TOML file, validated.

`load_recipe("liquid")` reads a shipped one, `load_recipe("my/recipe.toml")` anybody's. Unknown keys and bad values are
errors that name the file, the key and what is allowed. `Recipe()` alone is the default recipe.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from loopguard.engines import EngineOptions
from loopguard.errors import RecipeError
from loopguard.house import find


T = TypeVar("T", bound=BaseModel)


class Section(BaseModel):
    """A part of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSection(Section):
    """Who answers the prompts."""

    engine: str = Field("embedded", description="embedded[:PATH.gguf|:hf:repo/file] | openai:BASE_URL | scripted:FILE")
    model: str = Field("", description="model name at the server; empty: the only one that it serves")
    concurrency: int = Field(8, ge=1, le=4096, description="most requests in flight at one time")
    timeout: float = Field(600, gt=0, description="seconds for one request")
    max_retries: int = Field(6, ge=0, le=50, description="tries after the first, with back-off")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    context: int = Field(4096, ge=64, description="embedded engine: tokens of prompt and answer together")
    extra_body: dict[str, Any] = Field(default_factory=dict, description="further fields of the request body")

    @field_validator("engine")
    @classmethod
    def _no_secret_in_the_address(cls, value: str) -> str:
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("an address without user:password@; put the key into an environment variable (api_key_env)")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _a_name_not_a_key(cls, value: str) -> str:
        if not value.replace("_", "").isalnum() or value.startswith(("sk-", "hf_")) or "-" in value:
            raise ValueError("the NAME of an environment variable, never the key itself")
        return value

    def options(self) -> EngineOptions:
        """What the engine itself is given: all but its name."""
        return EngineOptions(**self.model_dump(exclude={"engine"}))


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

    @field_validator("temperature", mode="wrap")
    @classmethod
    def _in_range(cls, value: Any, known: Any) -> Any:
        numbers = value if isinstance(value, list | tuple) else [value]
        if not numbers or not all(isinstance(t, int | float) and 0 < t <= 5 for t in numbers):
            raise ValueError("a number above 0 and up to 5, or a list of such (temperature 0 is the greedy candidate)")
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


def sorted_blocks(values: tuple[float, ...], count: int) -> list[float]:
    """`count` items dealt over `values` in contiguous blocks whose sizes differ by at most one, in the order given."""
    size, extra = divmod(count, len(values))
    return [value for k, value in enumerate(values) for _ in range(size + (k < extra))]


class JudgeSection(Section):
    """Who scores the clean candidates. Empty fields mean: as the sampling engine."""

    spec: str = Field("helpfulness", description="a shipped judge, a path to a .toml, or none (loop pairs only)")
    engine: str = Field("", description="as engine.engine; empty: the sampling engine judges")
    model: str = ""
    concurrency: int = Field(8, ge=1, le=4096)
    timeout: float = Field(120, gt=0)
    max_retries: int = Field(6, ge=0, le=50)
    api_key_env: str = "OPENAI_API_KEY"
    context: int = Field(4096, ge=64)
    extra_body: dict[str, Any] = Field(default_factory=dict)
    attempts: int = Field(3, ge=1, le=20, description="times a reply that cannot be read is asked for, in all")

    def engine_section(self, sampling: EngineSection) -> EngineSection:
        """The judge's engine: its own, or the sampling engine when none is named."""
        if not self.engine:
            return sampling if not self.model else sampling.model_copy(update={"model": self.model})
        return EngineSection(**self.model_dump(exclude={"spec", "attempts"}))


class PairingSection(Section):
    """Which candidates become chosen and rejected. A looping candidate is never chosen, whatever stands here."""

    max_pairs_per_prompt: int = Field(1, ge=1, le=256)
    min_margin: float = Field(0.25, ge=0, description="least score difference of a pair without loops, in judge points")
    trim_loops: int = Field(0, ge=0, description="0: rejected loops whole; k >= 2: cut after k copies")

    @field_validator("trim_loops")
    @classmethod
    def _a_loop_stays_a_loop(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0 (keep whole) or at least 2: after one copy nothing repeats yet")
        return value


class OutputSection(Section):
    """How an answer with thinking text is written as one assistant message: the tags that the model was trained with."""

    think_open: str = "<think>\n"
    think_close: str = "\n</think>\n\n"


class Recipe(Section):
    """A whole recipe; `Recipe()` is the default one."""

    name: str = "default"
    description: str = ""
    engine: EngineSection = EngineSection()
    sampling: SamplingSection = SamplingSection()
    detector: dict[str, Any] = Field(default_factory=dict, description="settings of loopguard.Detector by name")
    judge: JudgeSection = JudgeSection()
    pairing: PairingSection = PairingSection()
    output: OutputSection = OutputSection()

    def asks(self) -> dict[str, Any]:
        """What decides the samples that are asked for, flat: two recipes equal here share their candidates."""
        flat = {f"sampling.{key}": value for key, value in self.sampling.model_dump(mode="json").items()}
        flat["engine.model"] = self.engine.model
        flat["engine.extra_body"] = self.engine.extra_body
        return flat

    def override(self, changes: Mapping[str, Any], *, where: str = "option") -> Recipe:
        """This recipe with dotted keys replaced: {"sampling.max_tokens": 512}. Raises RecipeError."""
        raw = self.model_dump(mode="json")
        for dotted, value in changes.items():
            section, _, key = dotted.partition(".")
            if key and isinstance(raw.get(section), dict):
                raw[section][key] = value
            elif not key and section in ("name", "description"):
                raw[section] = value
            else:
                raise RecipeError(f"{where}: unknown key {dotted!r}{_near(dotted, _all_keys())}")
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
    seen = fault.get("input")
    secret = key.endswith(("api_key_env", "engine.engine", "judge.engine"))
    shown = f" (seen: {seen!r})" if isinstance(seen, str | int | float | bool) and not secret else ""
    return f"{key}: {allowed}{shown}"


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
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    section = key.rpartition(".")[0]
    here = [name for name in known if name.rpartition(".")[0] == section] or known
    return f"; allowed: {', '.join(here)}"
