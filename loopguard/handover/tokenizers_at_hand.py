"""The tokenizer of the model that will be trained, without torch: a folder, a Hub id, or a GGUF file.

    tokenizer = open_tokenizer("models/mine")                         # or "user/model", "model.gguf", "embedded"
    text = tokenizer.render(messages, add_generation_prompt=True)     # the chat template's text
    encoding = tokenizer.encode(text)                                 # encoding.ids, .offsets, .char_to_token(position)

The same ids as `transformers.AutoTokenizer` gives: both run the Rust package `tokenizers` over tokenizer.json. Conversations are
encoded without special tokens of the post-processor (the template writes them), plain texts with them, as transformers does it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.errors import InputError, LoopguardError, MissingExtra
from loopguard.files import clean_text

if TYPE_CHECKING:
    from loopguard.handover.chat_template import ChatTemplate

__all__ = ["INSTALL", "NO_TOKEN", "Tokenizer", "is_sendable", "open_tokenizer"]

INSTALL = "pip install 'loopguard-prefs[check]'"
NO_TOKEN = "HF_TOKEN (or the stored login) holds a character that no token has; copy it again"
FORMS = "a folder with tokenizer.json, user/model on the Hub, a .gguf file, or embedded"
VOCABULARY, CONFIG, SPECIAL, TEMPLATE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
FILES = (VOCABULARY, CONFIG, SPECIAL, TEMPLATE)
"""What is read of a model's folder or repository; nothing but the first must be there."""


@dataclass(frozen=True)
class Tokenizer:
    """Text to token ids and messages to text, as the trainer's tokenizer does it."""

    name: str
    """As the user named it."""
    core: Any
    """The `tokenizers.Tokenizer`, without truncation and padding."""
    special_tokens: Mapping[str, str]
    """bos_token, eos_token, ... as the template sees them."""
    template: str | None
    """The chat template's Jinja text; None where the tokenizer has none."""

    @property
    def eos_token(self) -> str | None:
        """The text of the end-of-sequence token."""
        return self.special_tokens.get("eos_token")

    def need_eos(self) -> str:
        """The text of the end-of-sequence token. Raises InputError where the tokenizer names none."""
        if self.eos_token is None:
            raise InputError(f"{self.name} names no EOS token, which the trainer appends")
        return self.eos_token

    @property
    def eos_id(self) -> int | None:
        """The id of the end-of-sequence token; None where the tokenizer names none."""
        return None if self.eos_token is None else self.core.token_to_id(self.eos_token)

    def encode(self, text: str, *, special_tokens: bool = False) -> Any:
        """A `tokenizers.Encoding`: ids, offsets in characters of `text`, char_to_token(position) -> index or None.

        A lone surrogate is encoded as U+FFFD, as in every file that loopguard writes.

        `special_tokens` True adds those of the post-processor (a plain text's BOS); a rendered template has its own.
        """
        return self.core.encode(clean_text(text), add_special_tokens=special_tokens)

    def encode_batch(self, texts: Sequence[str], *, special_tokens: bool = False) -> list[Any]:
        """`encode` for many texts, on all cores."""
        encodings: list[Any] = self.core.encode_batch(
            [clean_text(text) for text in texts], add_special_tokens=special_tokens
        )
        return encodings

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as the chat template writes it.

        Raises InputError: there is no template, or in the template's own words why it refuses these messages.
        """
        return self._compiled.render(messages, add_generation_prompt=add_generation_prompt, variables=variables)

    def need_template(self) -> None:
        """Raise InputError where there is no chat template that can be read."""
        assert self._compiled

    @cached_property
    def _compiled(self) -> ChatTemplate:
        from loopguard.handover.chat_template import ChatTemplate

        if self.template is None:
            raise InputError(f"{self.name} has no chat template: give the tokenizer of a chat model")
        return ChatTemplate(self.template, self.special_tokens, name=self.name)

    @cached_property
    def control_tokens(self) -> re.Pattern[str] | None:
        """Finds the special tokens in a text: there they are read as tokens, not as what is written."""
        special = [token.content for token in self.core.get_added_tokens_decoder().values() if token.special]
        return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True)))) if special else None

    @cached_property
    def digest(self) -> str:
        """16 hex digits over vocabulary, special tokens and template: equal digests give equal tokens."""
        rest = json.dumps([dict(sorted(self.special_tokens.items())), self.template])
        return hashlib.sha256(f"{self.core.to_str()}\0{rest}".encode()).hexdigest()[:16]


def open_tokenizer(name: str) -> Tokenizer:
    """The tokenizer that `name` names: a folder, `user/model` on the Hub, a GGUF file, or `embedded`.

    Raises:
        InputError: it is not there, or one of its files cannot be read.
        MissingExtra: the package `tokenizers` is not installed.
    """
    path = Path(os.path.expanduser(name))  # unlike the methods of Path these functions have an answer for every name
    if name == "embedded" or path.suffix == ".gguf":
        return _of_gguf(name)
    if name and os.path.isdir(path):
        return _of_folder(name, path)
    if os.path.isfile(path):
        if path.name == VOCABULARY:
            return _of_folder(name, path.parent)
        raise InputError(f"{name} is a file; give {FORMS}")
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        raise InputError(f"no tokenizer at {name[:200] or repr(name)}; give {FORMS}")
    return _of_folder(name, _download(name))


def _of_folder(name: str, folder: Path) -> Tokenizer:
    vocabulary = folder / VOCABULARY
    if not vocabulary.is_file():
        save = "AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes it"
        raise InputError(f"no tokenizer at {name}: the folder holds no {VOCABULARY}; {save}")
    package = _core()
    try:
        core = package.from_file(str(vocabulary))
    except Exception as error:  # tokenizers raises a bare Exception for whatever it cannot read
        raise InputError(f"{name}: {VOCABULARY} cannot be read: {str(error)[:200]}") from None
    config, special = _json(folder / CONFIG, name), _json(folder / SPECIAL, name)
    known = {key: text for key, value in {**special, **config}.items() if (text := _token(key, value)) is not None}
    core.no_truncation()
    core.no_padding()
    return Tokenizer(name=name, core=core, special_tokens=known, template=_template(name, folder, config))


def _token(key: str, value: object) -> str | None:
    """The text of a special token: configs hold it as a string or as an object with `content`."""
    if not key.endswith("_token"):
        return None
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _template(name: str, folder: Path, config: Mapping[str, Any]) -> str | None:
    """The file chat_template.jinja goes before the config's; of several named ones `default` is taken."""
    if (file := folder / TEMPLATE).is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{name}: {TEMPLATE} cannot be read: {error}") from None
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: {path.name} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _download(repo: str) -> Path:
    """The folder of a Hub repository's tokenizer files, from the cache where they are there."""
    from huggingface_hub import get_token, snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    if not is_sendable(get_token() or ""):
        raise InputError(f"no tokenizer at {repo}: {NO_TOKEN}")
    try:
        return Path(snapshot_download(repo, allow_patterns=list(FILES)))
    except GatedRepoError:
        raise InputError(f"{repo} is gated: accept its terms on the Hub and set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise InputError(
            f"no tokenizer at {repo}: no such folder here, no such model on the Hub (or no HF_TOKEN)"
        ) from None
    except LocalEntryNotFoundError:
        raise InputError(f"no tokenizer at {repo}: no such folder here, and the Hub cannot be reached") from None
    except (OSError, ValueError) as error:  # a refusal over HTTP, a full disk, a name that no repository can have
        raise InputError(f"no tokenizer at {repo}: {' '.join(str(error).split())[:200]}") from None


def is_sendable(token: str) -> bool:
    """Whether a token can be sent at all: an HTTP client says it aloud in its complaint of one that cannot."""
    return token.isascii() and token.isprintable()


def _of_gguf(name: str) -> Tokenizer:
    from loopguard.engines.weights import find_weights
    from loopguard.handover.gguf_tokenizer import read_gguf

    _core()
    try:
        path = find_weights("" if name == "embedded" else name).fetch()
    except LoopguardError as error:
        raise InputError(f"no tokenizer at {name}: {error}") from None
    core, special_tokens, template = read_gguf(path)
    return Tokenizer(name=name, core=core, special_tokens=special_tokens, template=template)


def _core() -> Any:
    try:
        from tokenizers import Tokenizer as Core
    except ImportError:
        raise MissingExtra(f"tokens need the package tokenizers: {INSTALL}") from None
    return Core
