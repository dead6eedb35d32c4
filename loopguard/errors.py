"""Every error that loopguard raises on purpose.

LoopguardError                what was seen, where, what to do: one line, no traceback for the user
├── InputError                a file, a column, an argument: the user can mend it
│   └── RecipeError           a recipe or a judge spec: file, key, allowed values
├── MissingExtra              an optional package is not installed: carries the install line
├── EngineError               an engine did not answer one request: recorded for that prompt, asked again next time
│   ├── ContextTooLong        the prompt does not fit the model: that prompt is skipped
│   └── EngineUnavailable     nothing can be asked at all (no server, wrong key, unknown model): the run stops
├── JudgeError                a judge's reply that cannot be read: never a score
├── HubError                  the Hub refuses or cannot be reached: no token, no right, no network, too many requests
└── StorageError              the run directory or the ledger: not writable, disk full, in use
    └── RunInUse              another process has this run open
"""

from __future__ import annotations


class LoopguardError(Exception):
    """The root of the tree. Its text is one line for a person; the command prints it and exits with 1."""


class InputError(LoopguardError):
    """Something the user gave cannot be used: a file, a format, a column, an argument."""


class RecipeError(InputError):
    """A recipe or judge spec with an unknown key or a bad value; names the file, the key and what is allowed."""


class MissingExtra(LoopguardError):
    """An optional package is not installed; the text is the exact line that installs it."""


class EngineError(LoopguardError):
    """An engine failed to answer one request after its retries."""


class ContextTooLong(EngineError):
    """The prompt is longer than the model's context: asking again cannot help."""


class EngineUnavailable(EngineError):
    """No request at all can be answered: no server at the address, wrong key, unknown model, model will not load."""


class JudgeError(LoopguardError):
    """A judge's reply holds no score that can be read. Never counted against the candidate."""


class HubError(LoopguardError):
    """A push that the Hub refuses, or a Hub that cannot be reached. Nothing is half-written there."""


class StorageError(LoopguardError):
    """The run directory cannot be written, the disk is full, or a file in it is damaged."""


class RunInUse(StorageError):
    """Another process has this run directory open."""
