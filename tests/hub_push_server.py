"""A Hub on localhost that takes pushes: commits, branches, pull requests, LFS, and the faults that a test asks for.

    with PushHub() as hub:
        loopguard("push", run, "me/pairs", **hub.environment(tmp_path))
        hub.repos["me/pairs"].files()["README.md"]

It holds what it is sent to: wrong oids, sizes, parents and tokens are refused as the Hub refuses them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

DATE = "2026-01-01T00:00:00.000Z"
TOKEN, READER, STRANGER = "hf_writer_secret", "hf_reader_secret", "hf_stranger_secret"
PEOPLE = {
    TOKEN: {"name": "me", "orgs": ["lab"], "role": "write"},
    READER: {"name": "me", "orgs": ["lab"], "role": "read"},
    STRANGER: {"name": "stranger", "orgs": [], "role": "write"},
}


@dataclass(frozen=True)
class Commit:
    """What a repository held at one time."""

    sha: str
    parent: str | None
    title: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """One dataset repository."""

    private: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def files(self, ref: str = "main") -> dict[str, bytes]:
        return self.commits[self.refs[ref]].files

    def history(self, ref: str = "main") -> list[Commit]:
        """Oldest first."""
        found, sha = [], self.refs.get(ref)
        while sha is not None:
            found.append(self.commits[sha])
            sha = self.commits[sha].parent
        return found[::-1]

    def commit(self, ref: str, title: str, files: dict[str, bytes]) -> Commit:
        parent = self.refs.get(ref)
        sha = hashlib.sha1(f"{parent} {ref} {title} {len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = Commit(sha, parent, title, files)
        self.refs[ref] = sha
        return self.commits[sha]


@dataclass
class Fault:
    """The next `times` requests of this method and path are answered so; 0: `meanwhile` happens, then the real answer."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    body: bytes = b'{"error": "a fault on purpose"}'
    meanwhile: Callable[[], object] | None = None


@dataclass
class PushHub:
    """Serves at `url` until the block ends; `requests` lists what was asked, `authorised` with which tokens."""

    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.lock = threading.Lock()
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

    def environment(self, home: Path, token: str | None = TOKEN) -> dict[str, str]:
        """What a client's process needs in its environment to ask this server and nothing else."""
        variables = {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
        return variables | ({"HF_TOKEN": token} if token else {"HF_TOKEN": ""})

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> Repo:
        """A repository that was there before."""
        repo = self.repos[name] = Repo(private=private)
        repo.commit("main", "initial commit", files)
        return repo

    def asked(self, pattern: str) -> list[str]:
        """The requests that match."""
        return [request for request in self.requests if re.search(pattern, request)]


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


_ROUTES = {
    ("GET", r"/api/whoami-v2"): "whoami",
    ("POST", r"/api/repos/create"): "create",
    ("POST", r"/api/validate-yaml"): "validate",
    ("GET", r"/api/datasets/([^/]+/[^/]+)"): "info",
    ("GET", r"/api/datasets/([^/]+/[^/]+)/revision/([^/]+)"): "info",
    ("GET", r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?"): "tree",
    ("POST", r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)"): "paths",
    ("POST", r"/api/datasets/([^/]+/[^/]+)/preupload/([^/]+)"): "preupload",
    ("POST", r"/api/datasets/([^/]+/[^/]+)/branch/([^/]+)"): "branch",
    ("POST", r"/api/datasets/([^/]+/[^/]+)/commit/([^/]+)"): "commit",
    ("POST", r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch"): "batch",
    ("PUT", r"/lfs/([0-9a-f]{64})"): "put",
    ("POST", r"/verify"): "verify",
    ("GET", r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.*)"): "resolve",
}


class _Handler(BaseHTTPRequestHandler):
    """One request; each route is a method that returns JSON, or bytes with headers."""

    protocol_version = "HTTP/1.1"
    hub: PushHub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output quiet."""

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        self.query = {name: values[0] for name, values in parse_qs(split.query).items()}
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {self.path}")
            fault = self._fault(split.path)
        if fault is not None and fault.meanwhile is not None:
            fault.meanwhile()
        if fault is not None and fault.status:
            self._send(fault.status, fault.body, {"Content-Type": "application/json"} | fault.headers)
            return
        with self.hub.lock:
            self._route(split.path)

    do_HEAD = do_POST = do_PUT = do_GET

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _fault(self, path: str) -> Fault | None:
        for fault in self.hub.faults:
            if fault.times > 0 and fault.method == self.command and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def _route(self, path: str) -> None:
        method = "GET" if self.command == "HEAD" else self.command
        for (verb, form), name in _ROUTES.items():
            if verb == method and (match := re.fullmatch(form, path)):
                try:
                    found = getattr(self, f"_{name}")(*(unquote(part) if part else part for part in match.groups()))
                except _Refused as refused:
                    headers = {"X-Error-Code": refused.code} if refused.code else {}
                    body = json.dumps({"error": str(refused)}).encode()
                    headers |= {"X-Error-Message": str(refused), "Content-Type": "application/json"}
                    self._send(refused.status, body, headers)
                    return
                if isinstance(found, tuple):
                    self._send(*found)
                else:
                    self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})
                return
        self._send(404, b'{"error": "no such route"}', {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # -- who asks

    def _who(self) -> dict[str, Any] | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in PEOPLE:
            raise _Refused(401, "Invalid credentials in Authorization header")
        return PEOPLE.get(token)

    def _may_write(self, name: str) -> None:
        who = self._who()
        if who is None:
            raise _Refused(401, "Invalid username or password.")
        if who["role"] != "write" or name.partition("/")[0] not in (who["name"], *who["orgs"]):
            raise _Refused(403, f"You don't have the rights to write to {name}")

    def _repo(self, name: str) -> Repo:
        who, repo = self._who(), self.hub.repos.get(name)
        mine = who is not None and name.partition("/")[0] in (who["name"], *who["orgs"])
        if repo is None or (repo.private and not mine):
            raise _Refused(404 if who else 401, "Repository not found", "RepoNotFound")
        return repo

    def _at(self, repo: Repo, revision: str) -> Commit:
        sha = repo.refs.get(revision, revision)
        if sha not in repo.commits:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repo.commits[sha]

    def _whoami(self) -> Any:
        who = self._who()
        if who is None:
            raise _Refused(401, "Invalid username or password.")
        token = {"role": who["role"], "displayName": "test"}
        return {
            **{"type": "user", "name": who["name"], "orgs": [{"name": name} for name in who["orgs"]]},
            **{"auth": {"type": "access_token", "accessToken": token}},
        }

    # -- what there is

    def _info(self, name: str, revision: str = "main") -> Any:
        repo = self._repo(name)
        commit = self._at(repo, revision)
        card = _metadata(commit.files.get("README.md", b"").decode())
        return {
            **{"_id": "0", "id": name, "author": name.split("/")[0], "sha": commit.sha, "lastModified": DATE},
            **{
                "createdAt": DATE,
                "private": repo.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
            },
            **{"tags": card.get("tags", []), "siblings": [{"rfilename": path} for path in sorted(commit.files)]},
            **({"cardData": card} if card else {}),
        }

    def _tree(self, name: str, revision: str, folder: str | None) -> Any:
        files = self._at(self._repo(name), revision).files
        prefix = f"{folder}/" if folder else ""
        recursive = self.query.get("recursive", "").lower() == "true"
        found: dict[str, Any] = {}
        for path, data in sorted(files.items()):
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts)):
                inner = prefix + "/".join(parts[:depth])
                if recursive or depth == 1:
                    found[inner] = {"type": "directory", "path": inner, "oid": _git(inner.encode()), "size": 0}
            if recursive or len(parts) == 1:
                found[path] = _entry(path, data)
        if folder and not found:
            raise _Refused(404, f"{folder} does not exist", "EntryNotFound")
        return list(found.values())

    def _paths(self, name: str, revision: str) -> Any:
        files = self._at(self._repo(name), revision).files
        wanted = json.loads(self.body)["paths"] if self.body[:1] == b"{" else parse_qs(self.body.decode())["paths"]
        folders = {path.rpartition("/")[0] for path in files} - {""}
        found = [_entry(path, files[path]) for path in wanted if path in files]
        return found + [
            {"type": "directory", "path": path, "oid": _git(path.encode()), "size": 0}
            for path in wanted
            if path in folders
        ]

    def _resolve(self, name: str, revision: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        commit = self._at(self._repo(name), revision)
        if path not in commit.files:
            raise _Refused(404, f"{path} does not exist", "EntryNotFound")
        data = commit.files[path]
        headers = {"ETag": f'"{_oid(path, data)}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            return 200, data, headers
        start = int(wanted[1]) if wanted[1] else max(0, len(data) - int(wanted[2]))
        end = min(int(wanted[2]) + 1, len(data)) if wanted[1] and wanted[2] else len(data)
        return 206, data[start:end], headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}

    # -- what is changed

    def _create(self) -> Any:
        asked = json.loads(self.body)
        who = self._who() or {}
        name = f"{asked.get('organization') or who.get('name')}/{asked['name']}"
        self._may_write(name)
        assert asked["type"] == "dataset"
        if name in self.hub.repos:
            raise _Refused(409, "You already created this dataset repo")
        private = asked.get("private") is True or asked.get("visibility") == "private"
        repo = self.hub.repos[name] = Repo(private=private)
        repo.commit("main", "initial commit", {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"})
        return {"url": f"{self.hub.url}/datasets/{name}", "name": name, "id": "0"}

    def _branch(self, name: str, branch: str) -> Any:
        self._may_write(name)
        repo = self._repo(name)
        if branch in repo.refs:
            raise _Refused(409, "Reference already exists")
        repo.refs[branch] = repo.refs["main"]
        return {}

    def _validate(self) -> Any:
        asked = json.loads(self.body)
        found = _metadata(asked["content"])
        errors = [{"message": f'"{key}" is required'} for key in ("license", "configs") if key not in found]
        if found.get("license") == "no-such-licence":
            errors.append({"message": '"license" must be one of [apache-2.0, mit, ..., unknown, other]'})
        if errors:
            return 400, json.dumps({"errors": errors, "warnings": []}).encode(), {"Content-Type": "application/json"}
        return {"errors": [], "warnings": []}

    def _preupload(self, name: str, revision: str) -> Any:
        repo = self._repo(name)
        if self.query.get("create_pr") != "1":
            self._may_write(name)
        files = self._at(repo, revision).files
        found = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            mode = "lfs" if _is_lfs(path) else "regular"
            known = {"oid": _oid(path, files[path])} if path in files else {}
            found.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | known)
        return {"files": found}

    def _batch(self, name: str) -> Any:
        self._repo(name)
        objects = []
        for one in json.loads(self.body)["objects"]:
            href = f"{self.hub.url}/lfs/{one['oid']}?X-Amz-Signature=signed_secret"
            upload = {
                "upload": {"href": href, "header": {}},
                "verify": {"href": f"{self.hub.url}/verify", "header": {}},
            }
            objects.append(one if one["oid"] in self.hub.blobs else one | {"actions": upload})
        return {"transfer": "basic", "objects": objects}

    def _put(self, oid: str) -> Any:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _Refused(400, "wrong content")
        self.hub.blobs[oid] = self.body
        return {}

    def _verify(self) -> Any:
        asked = json.loads(self.body)
        if len(self.hub.blobs.get(asked["oid"], b"")) != asked["size"]:
            raise _Refused(404, "no such object")
        return {}

    def _commit(self, name: str, revision: str) -> Any:
        repo, lines = self._repo(name), [json.loads(line) for line in self.body.splitlines()]
        head, base = lines[0]["value"], self._at(repo, revision)
        pull = self.query.get("create_pr") == "1"
        if not pull:
            self._may_write(name)
            if head.get("parentCommit", base.sha) != base.sha:
                raise _Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(base.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    raise _Refused(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise _Refused(400, f"unknown operation {line['key']}")
        number = 1 + sum(ref.startswith("refs/pr/") for ref in repo.refs)
        ref = f"refs/pr/{number}" if pull else revision
        if pull:
            repo.refs[ref] = base.sha
        done = repo.commit(ref, head["summary"], files)
        pages = f"{self.hub.url}/datasets/{name}"
        return {
            **{"success": True, "commitOid": done.sha, "commitUrl": f"{pages}/commit/{done.sha}", "hookOutput": ""},
            **({"pullRequestUrl": f"{pages}/discussions/{number}"} if pull else {}),
        }


def _metadata(content: str) -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    return yaml.safe_load(match[1]) if match else {}


def _is_lfs(path: str) -> bool:
    return path.endswith(".parquet")


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _oid(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if _is_lfs(path) else _git(data)


def _entry(path: str, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "oid": _git(data), "size": len(data)}
    if _is_lfs(path):
        found["oid"] = _git(b"pointer " + data)
        found["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 131}
    return found
