"""What the tests of reading share: files of given bytes, and rows told in a few characters."""

from __future__ import annotations

from pathlib import Path

from loopguard.dataset import PromptReader
from loopguard.records import Prompt


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def brief(rows: PromptReader) -> list[str]:
    """Each row as "number: text of the last message" or "number: <reason>"."""
    return [
        f"{item.row}: {item.messages[-1]['content']}" if isinstance(item, Prompt) else f"{item.row}: <{item.reason}>"
        for item in rows
    ]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
