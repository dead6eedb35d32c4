"""Recipes, judges, detector settings and tables as their schemas describe them: every key with type, default and meaning."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generate.columns import COLUMNS, VERDICT
from docs.generate.figures import table


def recipe() -> str:
    """Every section of a recipe: a heading, its purpose, a table of its keys."""
    from loopguard.prefs.recipe import Recipe

    return _section(Recipe, "", level=2)


def judge() -> str:
    """Every key of a judge's TOML."""
    from loopguard.prefs.judging import JudgeSpec

    return _section(JudgeSpec, "", level=2)


def _section(model: type[BaseModel], name: str, *, level: int) -> str:
    """One table of plain keys, then the sections inside it."""
    inner = {key: _model_of(info) for key, info in model.model_fields.items()}
    title = f"{'#' * level} [{name}]" if name else f"{'#' * level} Top level"
    plain = [_row(key, info, model) for key, info in model.model_fields.items() if not (inner[key] and _is_table(info))]
    parts = [title, _purpose(model), table(plain, ("key", "type", "default", "meaning"))]
    for key, found in inner.items():
        if found is not None:
            parts.append(_section(found, f"{name}.{key}" if name else key, level=level))
    return "\n\n".join(parts)


def _purpose(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _model_of(info: FieldInfo) -> type[BaseModel] | None:
    """The section behind a key: its type, or one of its types."""
    kinds = typing.get_args(info.annotation) or (info.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _is_table(info: FieldInfo) -> bool:
    return isinstance(info.annotation, type)


def _row(key: str, info: FieldInfo, model: type[BaseModel]) -> tuple[str, str, str, str]:
    assert info.description, f"{model.__name__}.{key} has no description"
    return f"`{key}`", _type(info.annotation) + _bounds(info), _default(info), _cell(info.description)


def _cell(text: str) -> str:
    """Text for a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def _type(kind: Any) -> str:
    """The type in TOML's words."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type(args[0])
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in args)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(arg) for arg in args)
    if origin is tuple:
        return f"list of {_type(args[0])}s"
    if origin is dict:
        return "table"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    return {str: "string", int: "integer", float: "number", bool: "boolean"}[kind]


def _bounds(info: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥"}
    found = [
        f"{sign} {getattr(one, name):,}" for one in info.metadata for name, sign in signs.items() if _has(one, name)
    ]
    return f", {', '.join(found)}" if found else ""


def _has(constraint: object, name: str) -> bool:
    return getattr(constraint, name, None) is not None


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    value = info.get_default(call_default_factory=True)
    return "`{}`" if value == {} else f"`{json.dumps(value, ensure_ascii=False)}`"


# -- detector settings and tables


def detector_settings() -> str:
    """Every threshold: its default, what it means, where it comes from."""
    from loopguard.loops.settings import DetectorSettings

    described = dict(_described(DetectorSettings))
    rows = [
        (f"`{field.name}`", f"{field.default:g}", _cell(described[field.name]))
        for field in dataclasses.fields(DetectorSettings)
    ]
    return table(rows, ("name", "default", "meaning and source"))


def thresholds_in_short() -> str:
    """The thresholds that decide most often, in words."""
    from loopguard.loops.settings import DetectorSettings

    s = DetectorSettings()
    return f"""\
- a run of equal copies inside the text counts from {s.min_copies:g} copies and {s.min_wasted:g} bytes after the first one;
  at the end of the text {s.open_copies:g} copies and {s.open_wasted:g} bytes are enough, if {s.open_letters:g} letters or digits
  are among them;
- a run with a longer way to go round counts from {s.few_copies:g} copies and {s.few_wasted:g} bytes;
- periods up to {s.short_period:g} bytes (a word, dots, rules) want {s.short_min_wasted:g} bytes, longer ones without any letter
  {1.5 * s.min_wasted:g}, padding and rules in tables {10 * s.short_min_wasted:,g};
- a stretch whose phrases come back in changing order has a score: letters that came back at least {s.stretch_copies} times, less
  {s.new_cost} for each new one. It counts from {s.stretch_score:g} inside the text, from {s.open_score:g} at its end; of
  plain prose from {s.plain_factor:g} times that, of code, markup and tables that say something new in every row from
  {s.dense_factor:g} times that."""


def signature() -> str:
    """That of the default detector, in a fence."""
    from loopguard.loops.settings import DetectorSettings

    return f"```text\n{DetectorSettings().signature}\n```"


def _described(owner: type) -> Iterator[tuple[str, str]]:
    """(attribute, the string under it) of a class body."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    for one, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
            yield one.target.id, " ".join(str(ast.literal_eval(after.value)).split())


def table_columns(name: str) -> str:
    """The columns of one table of a run: `candidates`, `preferences` or `skipped`."""
    from loopguard.prefs.outputs import schemas

    schema = schemas()[f"{name}.parquet"]
    rows = [(f"`{column.name}`", _arrow(column.type), _cell(COLUMNS[name][column.name])) for column in schema]
    return table(rows, ("column", "type", "meaning"))


def _arrow(kind: Any) -> str:
    names = {"string": "text", "int64": "integer", "double": "number", "bool": "boolean"}
    return names.get(str(kind), "list of messages")


def verdict_columns() -> str:
    """The nine columns of `scan --out`."""
    from loopguard.loops.verdicts import SCHEMA

    rows = [(f"`{column.name}`", _arrow(column.type), VERDICT[column.name]) for column in SCHEMA]
    rows = [(name, kind, meaning.replace("(detector.md", "(reference/detector.md")) for name, kind, meaning in rows]
    return table(rows, ("column", "type", "meaning"))


def shipped(kind: str) -> str:
    """The shipped judges or pipelines, with what each is for."""
    import tomllib

    from loopguard.house import names
    from loopguard.house import shipped as folder

    described = (
        (name, tomllib.loads((folder(kind) / f"{name}.toml").read_text(encoding="utf-8"))) for name in names(kind)
    )
    return table([(f"`{name}`", found["description"]) for name, found in described], ("name", "what it is"))
