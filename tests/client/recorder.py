"""A small HTTP server that keeps what it was asked, for tests whose subject is what goes over the wire."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """One request, as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class Reply:
    """What it is to answer.

    Attributes
    ----------
    promised
        Content-Length, if it is to be another one than the body's.
    is_dropped
        Close the connection instead.
    pause
        Seconds before the answer.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    is_dropped: bool = False
    pause: float = 0.0


def of_json(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


class Recorder:
    """The server. `answers` are given one after the other, then `default`, which may depend on the request."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Reply] = []
        self.default: Callable[[Asked], Reply] = lambda asked: Reply()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = (
                    self.rfile.read(length)
                    if length or "chunked" not in self.headers.get("Transfer-Encoding", "")
                    else self.chunks()
                )
                asked = Asked(self.command, self.path, dict(self.headers), body)
                recorder.asked.append(asked)
                reply = recorder.answers.pop(0) if recorder.answers else recorder.default(asked)
                time.sleep(reply.pause)
                if reply.is_dropped:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) if reply.promised is None else reply.promised))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)
                if reply.promised is not None:
                    self.close_connection = True

            def chunks(self) -> bytes:
                found = b""
                while size := int(self.rfile.readline(), 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return found

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
