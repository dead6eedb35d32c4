"""Chat templates as `transformers` renders them: Jinja2 in a sandbox with the helpers that templates on the Hub use.

What `PreTrainedTokenizerBase.apply_chat_template` of transformers 5.23 hands to a template is handed to it here: messages
without their null keys, `tools` and `documents` (None where there are none), `add_generation_prompt`, the special tokens by
name, `raise_exception`, `strftime_now`, `tojson` that keeps HTML as it is, `{% generation %}`, loop controls. It fills no
`reasoning_content` from older names of that field, and continues no final message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from loopguard.errors import InputError

__all__ = ["ChatTemplate"]


class _Generation(Extension):
    """`{% generation %}` marks what the assistant says, for loss masks: here it is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class ChatTemplate:
    """One compiled template."""

    def __init__(self, text: str, special_tokens: Mapping[str, str], *, name: str) -> None:
        """Compile `text`; `name` is for errors. Raises InputError where it is no template."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise, "strftime_now": _now}
        self._given: dict[str, Any] = {"tools": None, "documents": None, **special_tokens}
        try:
            self._template = environment.from_string(text)
        except Exception as error:  # not only its own: nested too deep, a number of too many digits
            raise InputError(f"{name}: the chat template cannot be read: {_one_line(error)}") from None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as text; `variables` (tools, enable_thinking, ...) are seen by the template.

        Raises InputError with the template's own words: roles in an order that it refuses, no system message allowed.
        """
        given = self._given | dict(variables or {})
        said = [{key: value for key, value in message.items() if value is not None} for message in messages]
        try:
            return self._template.render(given, messages=said, add_generation_prompt=add_generation_prompt)
        except Exception as error:  # a template is a program: it may fail in any way on a message it does not expect
            raise InputError(_one_line(error)) from None


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said[:300] if isinstance(error, jinja2.TemplateError) and said else f"{type(error).__name__}: {said[:300]}"
