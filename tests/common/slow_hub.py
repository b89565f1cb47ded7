"""A relay before a real hub that can hold back its answers about tokens, and counts the questions."""

from __future__ import annotations

import asyncio

from tornado import web
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port


class SlowHub:
    """Listens on a port of its own; `release` is set while answers pass at once."""

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self.release = asyncio.Event()
        self.release.set()
        self.held = asyncio.Event()
        self.questions = 0
        listener, port = bind_unused_port()
        self.server = HTTPServer(web.Application([(r".*", _Relay, {"relay": self})]))
        self.server.add_socket(listener)
        self.url = f"http://127.0.0.1:{port}"

    async def close(self) -> None:
        self.release.set()
        self.server.stop()
        await self.server.close_all_connections()


class _Relay(web.RequestHandler):
    def initialize(self, relay: SlowHub) -> None:
        self.relay = relay

    async def get(self) -> None:
        relay = self.relay
        answer = await AsyncHTTPClient().fetch(
            relay.hub + self.request.uri,
            headers={"Authorization": self.request.headers["Authorization"]},
            raise_error=False,
            request_timeout=60,
        )
        if self.request.path.endswith("/sign-on/token"):
            relay.questions += 1
            relay.held.set()
            # The hub has decided; its word is on the way.
            await relay.release.wait()
        self.set_status(answer.code)
        self.set_header("Content-Type", "application/json")
        self.finish(answer.body)
