"""A service as the platform's are: every kind of rule, and nothing else. Run by `tests.common.hub_platform`."""

from __future__ import annotations

import asyncio
import json
import logging

from tornado import web
from tornado.escape import xhtml_escape
from tornado.log import enable_pretty_logging

from sciserver_common.deployment import Deployment
from sciserver_common.handlers import ServiceHandler, anonymous, auth_handlers, needs, signed_in
from sciserver_common.hub_auth import ServiceAuth
from sciserver_common.scopes import CASJOBS_QUERY, CASJOBS_WRITE
from sciserver_common.secrets import secret


class Tables(ServiceHandler):
    """Reading and writing need different scopes; everybody has tables of their own only."""

    challenges = ("Basic",)

    @needs(CASJOBS_QUERY)
    async def get(self, owner: str) -> None:
        self._answer(owner)

    @needs(CASJOBS_WRITE)
    async def post(self, owner: str) -> None:
        self._answer(owner)

    def delete(self, owner: str) -> None:
        self._answer(owner)

    def _answer(self, owner: str) -> None:
        assert self.current_user
        if owner != self.current_user["name"]:
            raise web.HTTPError(403, "These tables are not yours.")
        self.write({"owner": owner})


class WithoutRules(Tables):
    def get(self, owner: str) -> None:
        self.write({"owner": owner})


class Me(ServiceHandler):
    @signed_in
    async def get(self) -> None:
        self.write(self.current_user or {})


class Robots(ServiceHandler):
    @needs(CASJOBS_QUERY, services=True)
    async def get(self) -> None:
        assert self.current_user
        self.write({"kind": self.current_user["kind"], "name": self.current_user["name"]})


class Public(ServiceHandler):
    @anonymous
    async def get(self) -> None:
        self.write({"name": self.current_user and self.current_user["name"]})

    @anonymous
    async def post(self) -> None:
        self.write({"name": self.current_user and self.current_user["name"]})


class Page(ServiceHandler):
    is_page = True

    @needs(CASJOBS_QUERY)
    async def get(self) -> None:
        assert self.current_user
        token = self.xsrf_token.decode()
        self.write(f"<p id=name>{xhtml_escape(self.current_user['name'])}</p><form>{token}</form>")


class Broken(ServiceHandler):
    @needs(CASJOBS_QUERY)
    async def get(self) -> None:
        raise RuntimeError("details that are nobody's business")


class State(ServiceHandler):
    @anonymous
    async def get(self) -> None:
        auth = self.hub_auth
        self.write({"watching": auth.watching, "answers": len(auth._answers), "refusals": len(auth._refusals)})


async def main() -> None:
    deployment = Deployment.load()
    settings = json.loads((deployment.home / "service.json").read_text())
    options = settings["options"]
    auth = ServiceAuth.for_service(deployment, "casjobs", **options)
    auth.log = logging.getLogger("auth")
    routes = [
        (r"users/([^/]+)/tables", Tables),
        (r"without/([^/]+)", WithoutRules),
        (r"me", Me),
        (r"robots", Robots),
        (r"public", Public),
        (r"page", Page),
        (r"broken", Broken),
        (r"state", State),
    ]
    application = web.Application(
        [*((auth.base_url + path, handler) for path, handler in routes), *auth_handlers(auth)],
        hub_auth=auth,
        cookie_secret=secret(deployment, "casjobs-cookie"),
        xsrf_cookies=True,
    )
    application.listen(settings["port"], deployment.internal_host)
    auth.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    enable_pretty_logging()
    logging.getLogger().setLevel(logging.DEBUG)
    asyncio.run(main())
