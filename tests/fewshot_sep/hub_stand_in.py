"""A hub of models on 127.0.0.1 that speaks as much of the Hugging Face hub's language as models of two files need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HubServer(ThreadingHTTPServer):
    """Commits by repository, oldest first, each all of its files; what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        """Adds a commit; its name."""
        history = self.commits.setdefault(repo, [])
        history.append({**(history[-1] if history else {}), **files})
        return self.oid(repo, len(history) - 1)

    def oid(self, repo: str, number: int) -> str:
        return hashlib.sha1(f"{repo} {number}".encode()).hexdigest()

    def found(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        history = self.commits[repo]
        names = {self.oid(repo, number): number for number in range(len(history))} | {"main": len(history) - 1}
        if revision not in names:
            return None
        return self.oid(repo, names[revision]), history[names[revision]]


@contextmanager
def hub_server() -> Iterator[HubServer]:
    with HubServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, content: object, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if match is None or match[1] not in self.server.commits:
            self._answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif (found := self.server.found(match[1], match[2])) is None:
            self._answer({"error": "no revision"}, 404, X_Error_Code="RevisionNotFound")
        elif (data := found[1].get(match[3])) is None:
            self._answer({"error": "no file"}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=found[0])
        else:
            self._answer(data, X_Repo_Commit=found[0], ETag=f'"{hashlib.sha256(data).hexdigest()}"')

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        data = self._body()
        right = hashlib.sha256(data).hexdigest() == self.path.split("/")[-1]
        self.server.objects[self.path.split("/")[-1]] = data
        self._answer({}, 200 if right else 400)

    def do_POST(self) -> None:
        body, path = self._body(), self.path.split("?")[0]
        self.server.asked.append(path)
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization') or 'someone'}/{asked['name']}"
            if self.headers.get("Authorization") != "Bearer hf_secret":
                self._answer({"error": "who are you?"}, 401)
                return
            self.server.commits.setdefault(repo, [])
            self._answer({"url": f"{self.server.url}/{repo}", "name": repo, "id": repo})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            named = [file["path"] for file in json.loads(body)["files"]]
            modes = ["lfs" if name.endswith(".safetensors") else "regular" for name in named]
            parts = zip(named, modes, strict=True)
            self._answer({"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in parts]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.server.url}/lfs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            files = {}
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    files[line["value"]["path"]] = self.server.objects[line["value"]["oid"]]
            oid = self.server.commit(match[1], files)
            self._answer({"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{match[1]}/commit/{oid}"})
        else:
            self._answer({"error": path}, 404)
