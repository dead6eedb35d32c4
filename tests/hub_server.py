"""A small real Hub on localhost: enough of its protocol for `datasets` to read a dataset repository, streaming or not.

    with HubServer({"someone/riddles": HubRepo({"data/train-00000.jsonl": b"..."})}) as hub:
        subprocess.run(..., env=os.environ | hub.environment(tmp_path))

The client reads HF_ENDPOINT when it is imported, so whoever asks this server does so in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"
DATE = "2026-01-01T00:00:00.000Z"


@dataclass
class HubRepo:
    """One dataset repository. A token is needed when it is private or gated."""

    files: dict[str, bytes]
    private: bool = False
    gated: bool = False
    token: str = "hf_right"

    def entries(self, under: str = "", *, recursive: bool = True) -> list[dict[str, Any]]:
        """Files and folders below a folder, as the tree API lists them."""
        prefix = f"{under}/" if under else ""
        found: dict[str, dict[str, Any]] = {}
        for path, data in sorted(self.files.items()):
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts)):
                folder = prefix + "/".join(parts[:depth])
                if recursive or depth == 1:
                    found[folder] = {"type": "directory", "path": folder, "oid": _oid(folder.encode()), "size": 0}
            if recursive or len(parts) == 1:
                found[path] = {"type": "file", "path": path, "oid": _oid(data), "size": len(data)}
        return list(found.values())


@dataclass
class HubServer:
    """Serves repositories at `url` until the block ends; `requests` lists what was asked."""

    repos: dict[str, HubRepo]
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """What a client's process needs in its environment to ask this server and nothing else."""
        variables = {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
        return variables | ({"HF_TOKEN": token} if token else {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the API and of files, POST of paths-info."""

    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self) -> None:
        self._answer(b"")

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output quiet."""

    def _answer(self, body: bytes) -> None:
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.hub.requests.append(f"{self.command} {self.path}")
        api = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?", path)
        resolve = re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path)
        match = api or resolve
        repo = self.hub.repos.get(match[1]) if match else None
        authorised = repo is not None and self.headers.get("Authorization") == f"Bearer {repo.token}"
        if match is None or repo is None or (repo.private and not authorised):
            self._error(404 if self.headers.get("Authorization") else 401, "RepoNotFound", "Repository not found")
        elif match[2 if resolve else 3] not in (None, "main", SHA):
            self._error(404, "RevisionNotFound", "Invalid rev id")
        elif resolve:
            self._file(repo, resolve[3], authorised)
        elif match[2] in (None, "revision"):
            self._json(self._info(match[1], repo))
        elif match[2] == "tree":
            recursive = parse_qs(split.query).get("recursive", ["false"])[0].lower() == "true"
            self._tree(repo, match[4] or "", recursive)
        else:
            wanted = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode())["paths"]
            self._json([entry for entry in repo.entries() if entry["path"] in wanted])

    def _info(self, name: str, repo: HubRepo) -> dict[str, Any]:
        return {
            "_id": "0",
            "id": name,
            "author": name.split("/")[0],
            "sha": SHA,
            "lastModified": DATE,
            "createdAt": DATE,
            "private": repo.private,
            "gated": "auto" if repo.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(repo.files)],
        }

    def _tree(self, repo: HubRepo, folder: str, recursive: bool) -> None:
        entries = repo.entries(folder, recursive=recursive)
        if folder and not entries:
            self._error(404, "EntryNotFound", f"{folder} does not exist")
        else:
            self._json(entries)

    def _file(self, repo: HubRepo, path: str, authorised: bool) -> None:
        if repo.gated and not authorised:
            status = 403 if self.headers.get("Authorization") else 401
            self._error(status, "GatedRepo", "Access to this dataset is restricted. Ask for access on its page.")
        elif path not in repo.files:
            self._error(404, "EntryNotFound", f"{path} does not exist")
        else:
            self._bytes(repo.files[path])

    def _bytes(self, data: bytes) -> None:
        headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            self._send(200, data, headers)
            return
        start = int(wanted[1]) if wanted[1] else max(0, len(data) - int(wanted[2]))
        end = min(int(wanted[2]) + 1, len(data)) if wanted[1] and wanted[2] else len(data)
        if start >= end:
            self._send(416, b"", headers | {"Content-Range": f"bytes */{len(data)}"})
        else:
            self._send(206, data[start:end], headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json", "X-Repo-Commit": SHA})

    def _error(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        headers = {"Content-Type": "application/json", "X-Error-Code": code, "X-Error-Message": message}
        self._send(status, body, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
