"""A W&B server on the loopback, as much of one as runs, artifacts and dashboards need.

It keeps what arrives, so that a test can hold it against what was meant. It can also die, and be
deaf: taking connections and never saying a word.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from wandb_file import rows_below

ENTITY, WHEN = "me", "2026-01-01T00:00:00"


@dataclass
class Arrived:
    """One run as the server has it."""

    settings: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    uses: list[str] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        return {
            k: v["value"] for k, v in json.loads(self.settings["config"]).items() if k[0] != "_"
        }

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """The history rows with keys under ``prefix/``, and only those, without prefix."""
        return rows_below(self.history, prefix)


@dataclass
class Artifact:
    """One version of an artifact: who logged it, its facts, its files."""

    name: str
    type: str
    run: str
    digest: str
    aliases: list[str]
    metadata: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False


class Server:
    """What arrived: runs by id, artifacts by id, views, charts."""

    def __init__(self) -> None:
        self.runs: dict[str, Arrived] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.views: list[dict[str, Any]] = []
        self.charts: list[dict[str, Any]] = []
        self.unknown: list[str] = []
        self.deleted: set[str] = set()
        self.http = _Http(("127.0.0.1", 0), _Handler)
        self.http.owner = self
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads W&B here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "a" * 40, "WANDB_MODE": "online"}

    def die(self) -> None:
        """Refuse new connections and cut those that are."""
        self.http.dead = True
        self.http.shutdown()
        self.http.server_close()
        for connection in self.http.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def model(self, name: str) -> Artifact:
        """The only version of an artifact."""
        (found,) = [artifact for artifact in self.artifacts.values() if artifact.name == name]
        return found

    def run(self) -> Arrived:
        """The only run."""
        (found,) = self.runs.values()
        return found


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        if not server.http.dead:
            server.die()


@contextmanager
def deaf() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    dead = False
    owner: Server

    def __init__(self, *arguments: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.answer({})

    def do_PUT(self) -> None:
        body = self.body()
        _, kind, owner, *rest = self.path.partition("?")[0].split("/")
        if kind == "run":
            self.server.owner.runs[owner].files["/".join(rest)] = body
        elif kind == "artifact":
            self.server.owner.artifacts[owner].files["/".join(rest)] = body
        self.answer({})

    def do_POST(self) -> None:
        body, owner = self.body(), self.server.owner
        if self.path.startswith("/files/"):
            take_stream(owner.runs.setdefault(self.path.split("/")[4], Arrived()), json.loads(body))
            return self.answer({"exitcode": None, "limits": {}})
        if self.path != "/graphql":
            return self.answer({})
        asked = json.loads(body)
        named = re.search(r"(?:query|mutation)\s*(\w+)", asked["query"])
        operation = named[1] if named else ""
        reply = getattr(Replies, operation, None)
        if reply is None:
            owner.unknown.append(operation)
            return self.answer({"data": {}})
        variables = asked.get("variables") or {}
        if operation == "UpsertBucket" and variables["name"] in owner.deleted:
            said = f"run {variables['name']} was previously created and deleted; try a new run name"
            return self.answer({"errors": [{"message": said}]}, 409)
        return self.answer({"data": reply(owner, {**variables, **variables.get("input", {})})})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while length := int(self.rfile.readline().strip(), 16):
                data += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def answer(self, data: Mapping[str, Any], status: int = 200) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def take_stream(run: Arrived, data: Mapping[str, Any]) -> None:
    """What a run sends while it goes on: lines of files, and how it ended."""
    for name, chunk in (data.get("files") or {}).items():
        lines = [json.loads(line) for line in chunk["content"] if name.endswith(("jsonl", "json"))]
        if name == "wandb-history.jsonl":
            run.history[chunk["offset"] :] = lines
        elif name == "wandb-summary.json":
            run.summary = lines[-1]
    if data.get("complete"):
        run.exit_code = data.get("exitcode")


class Replies:
    """What the server says to each GraphQL operation, by its name."""

    @staticmethod
    def Viewer(server: Server, v: Any) -> Any:
        teams: dict[str, Any] = {"edges": []}
        return {"viewer": {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}"}
                | {"email": "me@x", "teams": teams, "admin": False, "apiKeys": teams}}  # fmt: skip

    GetDefaultEntity = Viewer

    @staticmethod
    def ServerFeaturesQuery(server: Server, v: Any) -> Any:
        return {"serverInfo": {"features": []}}

    @staticmethod
    def OrganizationCoreWeaveOrganizationID(server: Server, v: Any) -> Any:
        return {"entity": None}

    @staticmethod
    def ArtifactType(server: Server, v: Any) -> Any:
        """The type of an artifact by its name; none where it is new."""
        found = [a.type for a in server.artifacts.values() if a.name == v["name"].partition(":")[0]]
        kind = {"artifact": {"artifactType": {"name": found[0]}}} if found else {"artifact": None}
        return {"project": kind}

    @staticmethod
    def RunResumeStatus(server: Server, v: Any) -> Any:
        """What the server has of a run that may go on; no bucket where it is new."""
        model = {"id": "p", "name": v["project"], "entity": {"id": "e", "name": ENTITY}}
        run = server.runs.get(v["name"])
        if run is None:
            return {"model": model | {"bucket": None}}
        tail = json.dumps([json.dumps(row) for row in run.history[-1:]])
        bucket = {
            "id": f"b{v['name']}",
            "name": v["name"],
            "summaryMetrics": json.dumps(run.summary),
            "displayName": run.settings.get("displayName"),
            "logLineCount": 0,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "historyTail": tail,
            "eventsTail": "[]",
            "config": run.settings.get("config", "{}"),
            "tags": run.settings.get("tags", []),
            "notes": run.settings.get("notes"),
            "wandbConfig": '{"t": 1}',
        }
        return {"model": model | {"bucket": bucket}}

    @staticmethod
    def UpsertBucket(server: Server, v: Any) -> Any:
        run = server.runs.setdefault(v["name"], Arrived())
        run.settings |= {key: value for key, value in v.items() if value is not None}
        project = project_of(v.get("project") or v.get("modelName") or "")
        bucket = {"id": f"b{v['name']}", "name": v["name"], "displayName": v.get("displayName")}
        bucket |= {"description": None, "config": "{}", "sweepName": None, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": bucket | {"project": project}, "inserted": True}}

    @staticmethod
    def CreateRunFiles(server: Server, v: Any) -> Any:
        files = [{"name": n, "uploadUrl": f"{server.url}/run/{v['run']}/{n}"} for n in v["files"]]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}

    @staticmethod
    def CreateArtifact(server: Server, v: Any) -> Any:
        """The same files under the same name are the version that is there."""
        name = v.get("artifactCollectionName") or v["artifactCollectionNames"][0]
        same = [i for i, a in server.artifacts.items() if (a.name, a.digest) == (name, v["digest"])]
        key = same[0] if same else f"a{len(server.artifacts)}"
        if not same:
            aliases = [alias["alias"] for alias in v.get("aliases") or []]
            metrics = json.loads(v.get("metadata") or "{}")
            server.artifacts[key] = Artifact(
                name, v["artifactTypeName"], v["runName"], v["digest"], aliases, metrics
            )
        state = "COMMITTED" if server.artifacts[key].committed else "PENDING"
        sequence = {"id": "s", "latestArtifact": None, "name": name}
        artifact = {"id": key, "digest": v["digest"], "state": state, "aliases": []}
        return {"createArtifact": {"artifact": artifact | {"artifactSequence": sequence}}}

    @staticmethod
    def CreateArtifactManifest(server: Server, v: Any) -> Any:
        return {"createArtifactManifest": {"artifactManifest": manifest(server, v["artifactID"])}}

    @staticmethod
    def UpdateArtifactManifest(server: Server, v: Any) -> Any:
        return {"updateArtifactManifest": {"artifactManifest": manifest(server, "manifests")}}

    @staticmethod
    def CreateArtifactFiles(server: Server, v: Any) -> Any:
        nodes = [
            {"id": f"f{i}", "name": s["name"], "displayName": s["name"], "uploadHeaders": []}
            | {"uploadUrl": f"{server.url}/artifact/{s['artifactID']}/{s['name']}"}
            | {"storagePath": s["name"], "uploadMultipartUrls": None}
            | {"artifact": {"id": s["artifactID"]}}
            for i, s in enumerate(v["artifactFiles"])
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    @staticmethod
    def CommitArtifact(server: Server, v: Any) -> Any:
        server.artifacts[v["artifactID"]].committed = True
        return {"commitArtifact": {"artifact": {"id": v["artifactID"], "digest": "x"}}}

    @staticmethod
    def ArtifactByID(server: Server, v: Any) -> Any:
        return {"artifact": version(server, v["id"])}

    @staticmethod
    def ArtifactMembershipByName(server: Server, v: Any) -> Any:
        name, _, alias = v["name"].partition(":")
        found = [i for i, a in server.artifacts.items() if a.name == name and alias in a.aliases]
        member = found and {
            "__typename": "ArtifactCollectionMembership",
            "id": "m",
            "versionIndex": 0,
            "createdAt": WHEN,
            "aliases": [],
            "artifactCollection": collection(name),
            "artifact": version(server, found[0]),
        }
        return {"project": {"artifactCollectionMembership": member or None}}

    @staticmethod
    def UseArtifact(server: Server, v: Any) -> Any:
        server.runs[v["runName"]].uses.append(v["artifactID"])
        return {"useArtifact": {"artifact": {"id": v["artifactID"], "digest": "x"}}}

    @staticmethod
    def UpsertView2(server: Server, v: Any) -> Any:
        server.views.append({**v, "spec": json.loads(v["spec"])})
        view = {"id": f"v{len(server.views)}", "name": v["name"]}
        return {"upsertView": {"view": view, "inserted": True}}

    @staticmethod
    def CreateCustomChart(server: Server, v: Any) -> Any:
        server.charts.append(dict(v))
        return {"createCustomChart": {"chart": {"id": f"{v['entity']}/{v['chartName']}"}}}


def project_of(name: str) -> dict[str, Any]:
    entity = {"id": "e", "name": ENTITY, "defaultEntity": None}
    return {"id": "p", "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ==", "name": name, "entity": entity}


def collection(name: str) -> dict[str, Any]:
    return {"__typename": "ArtifactSequence", "id": "s", "name": name, "project": project_of("p")}


def version(server: Server, key: str) -> dict[str, Any]:
    artifact = server.artifacts[key]
    return {
        "__typename": "Artifact",
        "id": key,
        "artifactSequence": collection(artifact.name),
        "versionIndex": 0,
        "artifactType": {"name": artifact.type},
        "description": None,
        "metadata": json.dumps(artifact.metadata),
        "ttlDurationSeconds": -2,
        "ttlIsInherited": True,
        "tags": [],
        "historyStep": None,
        "state": "COMMITTED",
        "size": sum(map(len, artifact.files.values())),
        "digest": artifact.digest,
        "commitHash": None,
        "fileCount": len(artifact.files),
        "createdAt": WHEN,
        "updatedAt": None,
        "aliases": [],
    }


def manifest(server: Server, owner: str) -> dict[str, Any]:
    name = "wandb_manifest.json"
    file = {"id": "f", "name": name, "displayName": name, "uploadHeaders": []}
    return {"id": "m", "file": file | {"uploadUrl": f"{server.url}/manifest/{owner}/{name}"}}
