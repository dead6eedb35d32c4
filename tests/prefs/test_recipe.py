"""Recipes: the shipped ones load, a wrong one is told in a line with file, key and what is allowed, no secret is repeated."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from loopguard.engines import EngineOptions
from loopguard.errors import InputError, RecipeError
from loopguard.house import names, shipped
from loopguard.prefs.judging import load_judge
from loopguard.prefs.recipe import (
    EngineSection,
    JudgeSection,
    Recipe,
    SamplingSection,
    load_recipe,
    parse_recipe,
    sorted_blocks,
)


def written(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


# -- what is shipped


def test_the_shipped_recipes() -> None:
    assert names("pipelines") == ["cluster", "demo", "liquid", "server"]


@pytest.mark.parametrize("name", names("pipelines"))
def test_a_shipped_recipe(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert (recipe.sampling.samples, recipe.sampling.greedy) == (5, True)
    load_judge(recipe.judge.spec)
    text = (shipped("pipelines") / f"{name}.toml").read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert any("loopguard build-prefs" in line and f"--pipeline {name}" in line for line in head)


def test_liquid_samples_as_the_default_recipe_does() -> None:
    """So it can follow a run without --pipeline at no cost."""
    assert load_recipe("liquid").asks() == Recipe().asks()
    assert load_recipe("liquid").pairing.min_margin == 0.0


def test_the_default_recipe() -> None:
    recipe = Recipe()
    assert recipe.engine.engine == "embedded"
    assert recipe.sampling.model_dump() == {
        "samples": 5,
        "greedy": True,
        "temperature": 0.8,
        "top_p": 0.95,
        "max_tokens": 1024,
        "seed": 0,
        "early_stop": False,
    }
    assert (recipe.judge.spec, recipe.judge.attempts) == ("helpfulness", 3)
    assert recipe.pairing.model_dump() == {"max_pairs_per_prompt": 1, "min_margin": 0.25, "trim_loops": 0}


def test_what_an_engine_is_given() -> None:
    section = EngineSection(model="m", concurrency=3, extra_body={"top_k": 20})
    assert section.options() == EngineOptions(model="m", concurrency=3, extra_body={"top_k": 20})
    assert EngineSection().options() == EngineOptions()


# -- what is wrong

WRONG: list[tuple[str, str]] = [
    ("[sampling]\nsample = 3", "unknown key 'sampling.sample'; did you mean sampling.samples"),
    ("[sampling]\ngreddy = true", "unknown key 'sampling.greddy'; did you mean sampling.greedy"),
    ("[sampilng]\nsamples = 3", "unknown key 'sampilng'; did you mean sampling?"),
    ("temperature = 0.7", "unknown key 'temperature'; did you mean sampling.temperature?"),
    ("[sampling]\nmin_margin = 1", "unknown key 'sampling.min_margin'; did you mean pairing.min_margin?"),
    (
        "[pairing]\nzzz = 1",
        "unknown key 'pairing.zzz'; allowed: pairing.max_pairs_per_prompt, pairing.min_margin, pairing.trim_loops",
    ),
    ("zzz = 1", "unknown key 'zzz'; allowed: name, description, runner, detector, engine, sampling, judge, pairing"),
    (
        "[pairing]\ntrim_loops = 1",
        "pairing.trim_loops: 0 (keep whole) or at least 2: after one copy nothing repeats yet (seen: 1)",
    ),
    ("[pairing]\nmin_margin = -1", "pairing.min_margin: Input should be greater than or equal to 0 (seen: -1)"),
    ("[pairing]\nmin_margin = nan", "pairing.min_margin: Input should be greater than or equal to 0 (seen: nan)"),
    ("[sampling]\nsamples = 'many'", "sampling.samples: Input should be a valid integer"),
    ("[sampling]\nsamples = 257", "sampling.samples: Input should be less than or equal to 256 (seen: 257)"),
    ("[sampling]\nsamples = 1\ngreedy = false", "sampling: a pair needs at least 2 candidates"),
    ("[sampling]\ntop_p = 0", "sampling.top_p: Input should be greater than 0 (seen: 0)"),
    ("[sampling]\nmax_tokens = 0", "sampling.max_tokens: Input should be greater than or equal to 1 (seen: 0)"),
    ("[sampling]\ntemperature = 0", "sampling.temperature: a number above 0 and up to 5, or a list of such"),
    ("[sampling]\ntemperature = [0.5, 'hot']", "sampling.temperature: a number above 0 and up to 5"),
    ("[sampling]\ntemperature = []", "sampling.temperature: a number above 0 and up to 5"),
    ("[sampling]\ntemperature = true", "sampling.temperature: a number above 0 and up to 5"),
    ("[sampling]\ntemperature = nan", "sampling.temperature: a number above 0 and up to 5"),
    (
        "[sampling]\nsamples = 2\ntemperature = [1, 2, 3]",
        "sampling: temperature: a list holds 1 to 2 (= samples) values",
    ),
    (
        "sampling = 5",
        "sampling: a table with samples, greedy, temperature, top_p, max_tokens, seed, early_stop (seen: 5)",
    ),
    ("detector = 5", "detector: Input should be a valid dictionary (seen: 5)"),
    ("[detector]\nmin_copy = 5", "detector: unknown detector setting 'min_copy'; did you mean min_copies"),
    ("[detector]\nmin_copies = 0", "detector: detector setting min_copies must be a number above 0, not 0"),
    ("[engine]\ntimeout = 0", "engine.timeout: Input should be greater than 0 (seen: 0)"),
    ("[judge]\nattempts = 0", "judge.attempts: Input should be greater than or equal to 1 (seen: 0)"),
    ("[engine]\nextra_body = { when = 2026-11-23 }", "engine.extra_body: fields that JSON has words for"),
    ("[judge]\nextra_body = { a = nan }", "judge.extra_body: fields that JSON has words for"),
    (
        "[sampling]\nsamples = 0\ntop_p = 2\nseed = 'x'",
        "sampling.top_p: Input should be less than or equal to 1 (seen: 2); sampling.seed: ",
    ),
    ("[output]\nthink_open = '" + "x" * 500 + "'\nthink = 1", "unknown key 'output.think'; did you mean output.think_"),
    ("name = 3", "name: Input should be a valid string (seen: 3)"),
    ("[sampling\nsamples = 3", "not valid TOML: Expected ']' at the end of a table declaration (at line 1, column 10)"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text.replace("\n", " ")[:40] for text, _ in WRONG])
def test_a_wrong_recipe(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(RecipeError, match=r"latin\.toml: not valid TOML: 'utf-8' codec"):
        load_recipe(str(tmp_path / "latin.toml"))
    with pytest.raises(InputError, match=r"no such file: .*none\.toml \(a shipped one goes by its name: cluster, demo"):
        load_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="no pipeline named 'liqiud'; there are cluster, demo, liquid, server"):
        load_recipe("liqiud")


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"sampling": {"samples": "x" * 5000}}, where="mine.toml")
    assert len(str(caught.value)) < 250


KEY = "sk-Zq81secret"
SECRETS: list[dict[str, Any]] = [
    {"engine": {"engine": f"openai:https://me:{KEY}@host/v1"}},
    {"engine": {"engine": f"openai:https://{KEY}@host/v1"}},
    {"engine": {"api_key_env": KEY}},
    {"engine": {"api_key_env": "gsk_Zq81secret"}},
    {"engine": {"api_key_env": f" {KEY}"}},
    {"engine": {"api_key": KEY}},
    {"engine": {"extra_body": KEY}},
    {"engine": {"extra_body": {"key": {KEY}}}},
    {"judge": {"engine": f"openai:https://me:{KEY}@host/v1"}},
    {"judge": {"api_key_env": KEY}},
    {"judge": {"extra_body": KEY}},
    {"judge": {"key": KEY}},
]


@pytest.mark.parametrize("raw", SECRETS, ids=str)
def test_a_secret_is_refused_and_not_repeated(raw: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(raw, where="mine.toml")
    assert "Zq81" not in str(caught.value)
    (section,) = raw
    dotted = {f"{section}.{key}": value for key, value in raw[section].items()}
    with pytest.raises(RecipeError) as caught:
        Recipe().override(dotted, where="options")
    assert "Zq81" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "KEY", "_K2"])
def test_names_of_variables(name: str) -> None:
    assert EngineSection(api_key_env=name).api_key_env == name


# -- options over a recipe


def test_override() -> None:
    changes = {
        "name": "mine",
        "sampling.max_tokens": 5,
        "sampling.temperature": [0.5, 1],
        "engine.extra_body.top_k": 20,
        "detector.min_copies": 3,
    }
    changed = Recipe().override(changes)
    assert (changed.name, changed.sampling.max_tokens, changed.sampling.temperature) == ("mine", 5, (0.5, 1.0))
    assert (changed.engine.extra_body, changed.detector) == ({"top_k": 20}, {"min_copies": 3})
    assert changed.sampling.samples == 5
    assert Recipe().override({}) == Recipe()
    assert Recipe().sampling.max_tokens == 1024


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sampling.max_tokns", 5, "options: unknown key 'sampling.max_tokns'; did you mean sampling.max_tokens"),
        ("max_tokens", 5, "options: unknown key 'max_tokens'; did you mean sampling.max_tokens?"),
        ("sampling", {}, "options: unknown key 'sampling'"),
        ("sampling.", 5, "options: unknown key 'sampling.'"),
        ("sampling.seed.x", 5, "options: unknown key 'sampling.seed.x'"),
        ("nosuch.key", 5, "options: unknown key 'nosuch.key'"),
        ("", 5, "options: unknown key ''"),
        (
            "sampling.max_tokens",
            -5,
            "options: sampling.max_tokens: Input should be greater than or equal to 1 (seen: -5)",
        ),
        ("detector.min_copy", 5, "options: detector: unknown detector setting 'min_copy'; did you mean min_copies"),
    ],
)
def test_a_wrong_override(key: str, value: Any, words: str) -> None:
    with pytest.raises(RecipeError, match="^" + re.escape(words)):
        Recipe().override({key: value}, where="options")


# -- written out


@pytest.mark.parametrize("name", [*names("pipelines"), "full"])
def test_a_recipe_survives_its_file(tmp_path: Path, name: str) -> None:
    full = {
        "name": "full",
        "engine.extra_body": {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}, "stop": ["\n\n", "«"]},
        "sampling.temperature": [0.6, 0.9],
        "detector.min_copies": 3.0,
        "judge.engine": "openai:http://localhost:8001/v1",
        "output.think_open": '"""\\\t',
    }
    recipe = Recipe().override(full) if name == "full" else load_recipe(name)
    text = recipe.to_toml(header="# How it was made\n\n")
    assert text.startswith("# How it was made\n\nname = ")
    assert load_recipe(written(tmp_path, text, "recipe.toml")) == recipe
    assert tomllib.loads(text)["sampling"].keys() == SamplingSection.model_fields.keys()
    assert text == recipe.to_toml(header="# How it was made\n\n")


def test_a_recipe_without_a_name_has_its_files(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, "[sampling]\nsamples = 2")).name == "mine"


# -- what follows from a recipe


@pytest.mark.parametrize(
    ("values", "count", "blocks"),
    [
        ((0.6, 0.9), 5, [0.6, 0.6, 0.6, 0.9, 0.9]),
        ((0.9, 0.6), 4, [0.9, 0.9, 0.6, 0.6]),
        ((1.0, 2.0, 3.0), 7, [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]),
        ((1.0, 2.0, 3.0), 3, [1.0, 2.0, 3.0]),
        ((1.0,), 3, [1.0, 1.0, 1.0]),
    ],
)
def test_blocks(values: tuple[float, ...], count: int, blocks: list[float]) -> None:
    assert sorted_blocks(values, count) == blocks
    assert SamplingSection(samples=count, temperature=values).temperatures() == blocks


def test_one_temperature_is_for_all() -> None:
    assert SamplingSection(samples=3, temperature=1).temperatures() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("sampling.seed", 1, False),
        ("sampling.temperature", [0.8], False),
        ("engine.model", "other", False),
        ("engine.extra_body.top_k", 20, False),
        ("engine.concurrency", 1, True),
        ("engine.engine", "openai:http://localhost/v1", True),
        ("judge.spec", "none", True),
        ("pairing.trim_loops", 3, True),
        ("detector.min_copies", 3, True),
        ("output.think_open", "", True),
    ],
)
def test_what_decides_the_samples(key: str, value: Any, same: bool) -> None:
    assert (Recipe().override({key: value}).asks() == Recipe().asks()) is same


def test_whose_engine_judges() -> None:
    sampling = EngineSection(engine="openai:http://a/v1", model="m", concurrency=3, api_key_env="A_KEY")
    assert JudgeSection().engine_section(sampling) == sampling
    assert JudgeSection(model="big").engine_section(sampling) == sampling.model_copy(update={"model": "big"})
    own = JudgeSection(engine="openai:http://b/v1", model="big", api_key_env="B_KEY", extra_body={"top_k": 1})
    assert own.engine_section(sampling) == EngineSection(
        engine="openai:http://b/v1", model="big", timeout=120, api_key_env="B_KEY", extra_body={"top_k": 1}
    )
