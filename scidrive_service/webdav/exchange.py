"""One request and its answer, as cheroot wants them, in less time."""

from __future__ import annotations

import email.utils
import functools
import re
import time
from typing import Any

from cheroot.server import HTTPRequest

from scidrive_service.webdav.bodies import SMALL, Body

_QUICK = (b"GET ", b"HEAD ", b"PUT ")
"""What takes no time, if it is small and here."""

_SIMPLE = re.compile(
    rb"(GET|HEAD|PUT|PROPFIND|DELETE|MKCOL) (/[!\"$-~]*) HTTP/1\.1\r\n"
    rb"((?:(?!(?i:Transfer-Encoding|Expect):)[A-Za-z][A-Za-z0-9-]*: ?[!-~][ -~]*\r\n)+)\r\n"
)
"""The head of a request without anything unusual; the third group has its fields."""

_FIELD = re.compile(rb"([^:]+): ?([^\r]+)\r\n")


class Exchange(HTTPRequest):
    """A request whose body never gets into memory as a whole."""

    _simple: dict[bytes, bytes] | None = None

    def parse_request(self) -> None:
        head = self.conn.rfile.peek()
        self._is_quick = head.startswith(_QUICK)
        if not self._is_quick or b"\r\n\r\n" not in head:
            self.conn.end_turn()
        super().parse_request()

    def read_request_line(self) -> bool:
        head = _SIMPLE.match(self.conn.rfile.here())
        fields = _FIELD.findall(head.group(3)) if head else []
        headers = {_titled(name): value.rstrip() for name, value in fields}
        if head is None or len(headers) != len(fields):
            return bool(super().read_request_line())
        # What nearly all clients send, in a fraction of the time. All else, and what is wrong, is cheroot's.
        self.conn.rfile.read(head.end())
        self.started_request = True
        self.method, self.uri = head.group(1, 2)
        self.path, _, self.qs = self.uri.partition(b"?")
        self.request_protocol, self.response_protocol = b"HTTP/1.1", "HTTP/1.1"
        self._simple = headers
        return True

    def header_reader(self, stream: Any, headers: dict[bytes, bytes]) -> None:
        """Fill in the headers of the request; cheroot's has a class for this."""
        if self._simple is None:
            HTTPRequest.header_reader(stream, headers)
        else:
            headers.update(self._simple)

    def read_request_headers(self) -> bool:
        if not super().read_request_headers():
            return False
        length = self.inheaders.get(b"Content-Length")
        # What proxies might understand differently would let one request hide another one.
        if length is not None and (self.chunked_read or not re.fullmatch(rb"[0-9]{1,15}", length)):
            self.simple_response("400 Bad Request", "The length of the body is not clear.")
            self.close_connection = True
            return False
        return True

    def respond(self) -> None:
        self.conn.rfile.source.until = None
        length = None if self.chunked_read else int(self.inheaders.get(b"Content-Length", 0))
        self.rfile = self.body = Body(self.conn.rfile, length)
        if length is None or length > SMALL:
            self.conn.end_turn()
        elif self._is_quick and len(self.conn.rfile.here()) < length:
            # Somebody else's turn, while the body comes.
            self.body.waiting = self.conn.pausing()
        self.server.gateway(self).respond()
        self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")

    def send_headers(self, first: bytes = b"") -> None:
        """Send status and headers, and the first piece of the body with them: one packet for a small file."""
        if not self.body.is_complete:
            self.body.drop()
            self.close_connection |= not self.body.is_complete
        status: Any = self.status  # text until there is one, then bytes
        has_length = any(name == b"Content-Length" for name, _ in self.outheaders)
        if not has_length and status[:3] not in {b"204", b"304"}:
            if self.response_protocol == "HTTP/1.1" and self.method != b"HEAD":
                self.chunked_write = True
                self.outheaders.append((b"Transfer-Encoding", b"chunked"))
            else:
                self.close_connection = True
        if not self.close_connection and not self.server.can_add_keepalive_connection:
            self.close_connection = True
        if self.close_connection:
            self.outheaders.append((b"Connection", b"close"))
        elif self.response_protocol != "HTTP/1.1":
            self.outheaders.append((b"Connection", b"Keep-Alive"))
        self.outheaders.append((b"Date", _date(int(time.time()))))
        lines = [b"HTTP/1.1 " + status, *(name + b": " + value for name, value in self.outheaders), b"", b""]
        head = b"\r\n".join(lines)
        self.sent_headers = True
        if first and self.chunked_write:
            self.conn.socket.sendall(head)
            self.write(first)
        else:
            self.conn.socket.sendall(head + first)


@functools.lru_cache(256)
def _titled(name: bytes) -> bytes:
    return name.title()


@functools.lru_cache(1)
def _date(second: int) -> bytes:
    return email.utils.formatdate(second, usegmt=True).encode()
