"""A real hub, its proxy and a small service that uses the shared library, for the tests of it."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

import requests
from bs4 import BeautifulSoup
from tornado.web import create_signed_value

from sciserver_common.deployment import SOURCE, Deployment, proxy_command
from sciserver_common.secrets import secret
from tests.auth.auth_platform import Process, make_deployment
from tests.support import free_port, wait_until

# People sign in with any password: what is tested begins after that.
HUB_CONFIG = """
import json
from jupyterhub.auth import DummyAuthenticator
from sciserver_auth import changes
from sciserver_common import scopes
from sciserver_common.deployment import Deployment
from sciserver_common.secrets import secret

class Authenticator(DummyAuthenticator):
    def get_handlers(self, app):
        self.changes = changes.Changes(app)
        return [*super().get_handlers(app), *changes.default_handlers]

c = get_config()
deployment = Deployment.load()
hub = deployment.internal_host
port = json.loads((deployment.home / "service.json").read_text())["port"]
c.JupyterHub.bind_url = deployment.public_url
c.JupyterHub.hub_bind_url = deployment.internal_origin("hub")
c.ConfigurableHTTPProxy.api_url = f"http://{hub}:8001"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.auth_token = secret(deployment, "proxy")
c.JupyterHub.cleanup_servers = False
c.JupyterHub.db_url = f"sqlite:///{deployment.hub_dir}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{deployment.hub_dir}/cookie_secret"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.redirect_to_server = False
c.JupyterHub.authenticator_class = Authenticator
c.Authenticator.allow_all = True
c.JupyterHub.custom_scopes = scopes.SCOPES
c.JupyterHub.extra_user_scopes = [*scopes.USER_SCOPES, "access:services!service=casjobs"]
c.JupyterHub.oauth_require_pkce = True
c.JupyterHub.services = [
    {
        "name": "casjobs",
        "url": f"http://{hub}:{port}",
        "api_token": secret(deployment, "casjobs-service"),
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": scopes.SERVICE_CLIENT_SCOPES,
    },
    {"name": "tests", "api_token": secret(deployment, "tests-service"), "admin": True},
    # A service with the name of a person.
    {"name": "ada", "api_token": secret(deployment, "ada-service")},
]
c.JupyterHub.load_roles = [
    {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:groups", "tokens", "admin:servers"]},
    {"name": "watchers", "services": ["casjobs", "tests"], "scopes": [scopes.SIGN_ON_WATCH]},
    {"name": "robots", "services": ["ada"], "scopes": scopes.USER_SCOPES},
]
"""


@dataclass
class HubPlatform:
    """The processes of one deployment.

    Parameters
    ----------
    home
        Directory of everything they write.
    options
        Traits of the service's `ServiceAuth`.
    """

    home: Path
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deployment: Deployment = make_deployment(self.home)
        self.port = free_port()
        (self.home / "service.json").write_text(json.dumps({"port": self.port, "options": self.options}))
        config = self.home / "jupyterhub_config.py"
        config.write_text(HUB_CONFIG)
        self._config = config
        environment = {"SCISERVER_HOME": str(self.home), "PYTHONPATH": str(SOURCE)}
        logs = self.deployment.logs_dir
        listen = ["--ip", "127.0.0.1", "--port", str(self.deployment.port)]
        api = ["--api-ip", self.deployment.internal_host, "--api-port", "8001"]
        self.proxy = Process(
            [*proxy_command(), *listen, *api],
            logs / "proxy.log",
            {"CONFIGPROXY_AUTH_TOKEN": secret(self.deployment, "proxy")},
        )
        python = [sys.executable, "-m"]
        self.hub = Process([*python, "jupyterhub", "-f", str(config)], logs / "hub.log", environment)
        self.service = Process([*python, "tests.common.service"], logs / "service.log", environment)

    @property
    def url(self) -> str:
        """The service, where browsers and scripts find it."""
        return self.deployment.service_url("casjobs")

    @property
    def direct_url(self) -> str:
        """The service without the proxy."""
        return f"http://{self.deployment.internal_host}:{self.port}/services/casjobs"

    def start(self) -> None:
        self.proxy.start(f"http://{self.deployment.internal_host}:8001/api/routes")
        self.start_hub()
        self.service.start(f"{self.direct_url}/state")
        # The hub gives the proxy its routes a moment after it answers itself.
        wait_until(lambda: requests.get(f"{self.url}/state", timeout=20).ok, what="the service's route")

    def forbid_watching(self) -> None:
        """Leave the service without the scope for the hub's changes; before `start`."""
        self._config.write_text(HUB_CONFIG.replace('"services": ["casjobs", "tests"]', '"services": ["tests"]'))

    def start_hub(self) -> None:
        self.hub.start(f"{self.deployment.internal_origin('hub')}/hub/health")

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Started, and stopped at the end, also if the start fails."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        for process in (self.service, self.hub, self.proxy):
            process.stop()

    def hub_api(self, method: str, path: str, *, token: str = "", **options: Any) -> requests.Response:
        """A request to the hub's REST interface, at its own port; by the operator if no token is given."""
        token = token or secret(self.deployment, "tests-service")
        return requests.request(
            method,
            f"{self.deployment.internal_origin('hub')}/hub/api{path}",
            headers={"Authorization": f"token {token}"},
            timeout=90,
            **options,
        )

    def add_user(self, name: str) -> None:
        assert self.hub_api("POST", f"/users/{name}").status_code in {201, 409}

    def new_token(self, name: str, *scopes: str, **options: Any) -> dict[str, Any]:
        """A new token of `name`: ``{"token", "id", …}``."""
        self.add_user(name)
        response = self.hub_api("POST", f"/users/{name}/tokens", json={"scopes": list(scopes), **options})
        assert response.status_code == 201, response.text
        return dict(response.json())

    def revoke(self, name: str, token_id: str) -> None:
        assert self.hub_api("DELETE", f"/users/{name}/tokens/{token_id}").status_code == 204

    def state(self) -> dict[str, Any]:
        """What the service's `ServiceAuth` knows."""
        return dict(requests.get(f"{self.direct_url}/state", timeout=20).json())

    def questions(self) -> int:
        """How often the hub was asked about a token so far, by its own log."""
        # It writes the line when the answer is on its way.
        time.sleep(0.2)
        return len(re.findall(r"\d{3} GET /hub/api/sign-on/token ", self.hub.log.read_text()))

    def cookie(self, token: str) -> dict[str, str]:
        """The service's cookie with any token in it, as the sign-in would make it."""
        name = "service-casjobs"
        value = create_signed_value(secret(self.deployment, "casjobs-cookie"), name, token)
        return {name: value.decode()}


class ServicePlatform(HubPlatform):
    """The processes of one deployment with one of our services.

    Parameters
    ----------
    name
        Of the service.
    config
        File with its configuration.
    scopes
        Of the tokens of people, unless others are asked for.
    """

    def __init__(self, home: Path, name: str, config: str, scopes: tuple[str, ...]) -> None:
        super().__init__(home)
        self._name = name
        self._scopes = scopes
        self._tokens: dict[tuple[str, ...], str] = {}
        self.service = Process(
            [sys.executable, "-m", f"{name}_service", "--config", str(self.home / config)],
            self.deployment.logs_dir / f"{name}.log",
            {"SCISERVER_HOME": str(self.home), "PYTHONPATH": str(SOURCE)},
        )

    @property
    def url(self) -> str:
        """The service, behind the proxy."""
        return self.deployment.service_url(self._name)

    @property
    def direct_url(self) -> str:
        """The service without the proxy, as containers reach it."""
        return self.deployment.internal_url(self._name)

    def start(self) -> None:
        self.proxy.start(f"http://{self.deployment.internal_host}:8001/api/routes")
        self.start_service()
        self.start_hub()
        wait_until(lambda: requests.get(f"{self.url}/health", timeout=20).ok, what="the service's route")

    def start_service(self) -> None:
        self.service.start(f"{self.direct_url}/health")

    def kill_service(self) -> None:
        """End it as a power failure would."""
        assert self.service.popen is not None
        self.service.popen.send_signal(signal.SIGKILL)
        self.service.popen.wait(20)

    def token(self, name: str, *scopes: str) -> str:
        """A token of `name`, who may do everything with the service unless told otherwise; the same one each time."""
        key = (name, *scopes)
        if key not in self._tokens:
            self._tokens[key] = self.new_token(name, *(scopes or self._scopes))["token"]
        return self._tokens[key]

    def join(self, name: str, group: str) -> None:
        """Put a user into a group of the hub."""
        self.add_user(name)
        assert self.hub_api("POST", f"/groups/{group}").status_code in {201, 409}
        assert self.hub_api("POST", f"/groups/{group}/users", json={"users": [name]}).status_code == 200


class Visitor(requests.Session):
    """A browser at the hub and at the service."""

    def __init__(self, platform: HubPlatform) -> None:
        super().__init__()
        self.platform = platform
        self.origin = platform.deployment.public_url
        self.headers["Accept"] = "text/html,application/xhtml+xml"
        # The proxy closes idle connections after 5 seconds, maybe just as the next request comes.
        self.headers["Connection"] = "close"

    def visit(self, address: str, **options: Any) -> requests.Response:
        """Go to an address, as the address bar does."""
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"} | options.pop("headers", {})
        return self.get(urljoin(self.origin, address), headers=headers, timeout=30, **options)

    def sign_in(self, name: str) -> None:
        self.platform.add_user(name)
        page = self.visit("/hub/login")
        form = BeautifulSoup(page.text, "html.parser").select_one("form")
        assert form is not None
        xsrf = form.select_one("input[name=_xsrf]")["value"]
        answer = self.post(
            urljoin(page.url, str(form["action"])),
            data={"username": name, "password": "any", "_xsrf": xsrf},
            headers={"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
