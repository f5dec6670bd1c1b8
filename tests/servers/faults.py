"""A server between a client and a real one that spoils chosen requests."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["503", "reset before", "reset after", "silence", "short", "damaged", "killed before", "killed after"]
KINDS: tuple[Kind, ...] = ("503", "reset before", "reset after", "silence", "short")


@dataclass
class Faults:
    """What happens to which request, counted from 1; and how many there were.

    503: refused and not passed on. reset before: not passed on. reset after: carried out, its answer lost. silence:
    carried out, no answer for longer than the client waits. short: half of the answer's body, then the end. damaged:
    the request's body arrives with one bit changed. killed: the client is ended by `kill` before or after its request
    is carried out.
    """

    endpoint: str = ""
    plan: Mapping[int, Kind] = field(default_factory=dict)
    always: Kind | None = None
    silence_s: float = 0.6
    kill: Callable[[], None] | None = None
    requests: int = 0
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, plan: Mapping[int, Kind] | None = None) -> None:
        """Count from 1 again, with another plan."""
        with self.lock:
            self.plan, self.requests = plan or {}, 0

    def next(self, what: str) -> Kind | None:
        """Count a request and say what happens to it."""
        with self.lock:
            self.requests += 1
            self.seen.append(what)
            return self.always or self.plan.get(self.requests)


@contextmanager
def faults_before(upstream: str) -> Iterator[Faults]:
    """Yield a running proxy of the server at `upstream` (http://host:port)."""
    faults = Faults()
    target = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # the client gave up, as it should
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = faults.next(f"{self.command} {self.path}")
            if kind == "503":
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if kind == "killed before" and faults.kill:
                faults.kill()
            if kind in ("reset before", "killed before"):
                self.close_connection = True
                return
            if kind == "damaged" and body:
                body = bytes([body[0] ^ 1]) + body[1:]
            status, headers, data = self._ask(body)
            if kind == "silence":
                time.sleep(faults.silence_s)
            if kind == "killed after" and faults.kill:
                faults.kill()
            if kind in ("silence", "reset after", "killed after"):
                self.close_connection = True
                return
            if kind == "short" and not data:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(name, value)
            length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if kind == "short" else data)
            if kind == "short":
                self.close_connection = True

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(target, timeout=30)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():  # Host is signed: it stays the proxy's
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    faults.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
