"""A stand-in for KFP's API server: keeps experiments and runs, follows v2beta1's paths, and can be told to fail.

The real one cannot be had here (its module is not served), and could not be told when to lose an answer.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class KubeflowStandIn:
    """State and faults of the server.

    endpoint: http://127.0.0.1:PORT; runs, experiments: by id, in the order of making; lose_answers: so many CreateRun
    requests are carried out `late_s` seconds later and never answered; refuse: status codes for the next requests.
    """

    endpoint: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    lose_answers: int = 0
    late_s: float = 0.0
    refuse: list[int] = field(default_factory=list)
    creates: int = 0
    multi_user: bool = False
    tokens: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def end(self, run_id: str, state: str, *, promoted: bool = False, message: str = "", hours: float = 0) -> None:
        """Let a run end, so many hours from now."""
        with self.lock:
            run = self.runs[run_id]
            run["state"] = state
            run["finished_at"] = _now(hours)
            promote = "SUCCEEDED" if promoted else "SKIPPED"
            run["run_details"] = {"task_details": [{"display_name": "promote", "state": promote}]}
            if message:
                run["error"] = {"code": 2, "message": message}

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Carry out CreateRun."""
        with self.lock:
            run = {**body, "run_id": str(uuid.uuid4()), "state": "PENDING", "number": len(self.runs)}
            run["created_at"] = _now()
            self.runs[run["run_id"]] = run
            return run

    @contextmanager
    def serving(self) -> Iterator["KubeflowStandIn"]:
        """Serve on a free port."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": self}))
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: KubeflowStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path, state = urlsplit(self.path), self.state
        if self._refused():
            return
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        wanted = re.search(r'"stringValue": "([^"]*)"', query.get("filter", ""))
        with state.lock:
            if path.path == "/apis/v2beta1/healthz":
                self._answer(200, {"multi_user": state.multi_user})
            elif path.path == "/apis/v2beta1/experiments":
                found = [e for e in state.experiments.values() if not wanted or e["display_name"] == wanted[1]]
                self._answer(200, {"experiments": found})
            elif path.path == "/apis/v2beta1/runs":
                found = [run for run in state.runs.values() if not wanted or run["display_name"] == wanted[1]]
                found = [run for run in found if run["experiment_id"] == query.get("experiment_id")]
                begin = int(query.get("page_token") or 0)
                page = {"runs": found[begin : begin + 2]}  # small pages, so that they are turned
                if len(found) > begin + 2:
                    page["next_page_token"] = str(begin + 2)
                self._answer(200, page)
            elif (name := path.path.rsplit("/", 1)[1]) in state.runs:
                self._answer(200, state.runs[name])
            else:
                self._answer(404, {"error_message": f"run {name} not found"})

    def do_POST(self) -> None:
        path, state = urlsplit(self.path).path, self.state
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self._refused():
            return
        if path == "/apis/v2beta1/experiments":
            with state.lock:
                if body["display_name"] in [e["display_name"] for e in state.experiments.values()]:
                    self._answer(409, {"error_message": "already exists"})
                    return
                made = {**body, "experiment_id": str(uuid.uuid4())}
                state.experiments[made["experiment_id"]] = made
            self._answer(200, made)
        elif path == "/apis/v2beta1/runs":
            with state.lock:
                state.creates += 1
                lost = state.lose_answers > 0
                state.lose_answers -= lost
            if lost:
                threading.Timer(state.late_s, state.create, [body]).start()
                self.close_connection = True
                self.connection.close()
                return
            self._answer(200, state.create(body))
        elif match := re.fullmatch(r"/apis/v2beta1/runs/([^/]+):terminate", path):
            with state.lock:
                if state.runs[match[1]]["state"] in ("PENDING", "RUNNING"):
                    state.runs[match[1]]["state"] = "CANCELED"
            self._answer(200, {})
        else:
            self._answer(404, {"error_message": path})

    def _refused(self) -> bool:
        self.state.tokens.add(self.headers.get("Authorization", ""))
        with self.state.lock:
            status = self.state.refuse.pop(0) if self.state.refuse else 0
        if status:
            self._answer(status, {"error_message": "told to fail"})
        return bool(status)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def wait_until(condition: Any, seconds: float = 10) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def _now(hours: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
