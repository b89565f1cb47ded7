"""Real processes for the tests of sign-on, and a browser to use them with."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from bs4 import BeautifulSoup

from sciserver_common.deployment import Deployment, proxy_command
from sciserver_common.secrets import secret
from tests.support import free_port

START_TIMEOUT = 120
PASSWORD = "correct horse battery"
REFRESH_INTERVAL = 3.5

HUB_CONFIG = """
import os
from sciserver_auth.redaction import LOGGING_CONFIG
from sciserver_common import scopes
from sciserver_common.deployment import Deployment, proxy_command
from sciserver_common.secrets import secret

c = get_config()
deployment = Deployment.load()
hub = deployment.internal_host
c.JupyterHub.bind_url = deployment.public_url
c.JupyterHub.hub_bind_url = f"http://{hub}:{deployment.service_port('hub')}"
c.ConfigurableHTTPProxy.api_url = f"http://{hub}:8001"
c.ConfigurableHTTPProxy.should_start = False
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.auth_token = secret(deployment, "proxy")
c.JupyterHub.db_url = f"sqlite:///{deployment.hub_dir}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{deployment.hub_dir}/cookie_secret"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.redirect_to_server = False
c.JupyterHub.services = [
    {
        "name": "portal",
        "url": f"http://{hub}:{deployment.service_port('portal')}",
        "api_token": secret(deployment, "portal-service"),
    },
    {"name": "tests", "api_token": secret(deployment, "tests")},
]
c.JupyterHub.load_roles = [
    {"name": "tests", "scopes": ["admin:users", "admin:auth_state", "tokens"], "services": ["tests"]},
    {"name": "portal", "scopes": [scopes.SIGN_ON_PASSWORD, scopes.SIGN_ON_WATCH], "services": ["portal"]},
]
c.JupyterHub.logging_config = LOGGING_CONFIG
c.JupyterHub.trust_user_provided_tokens = True
c.JupyterHub.custom_scopes = scopes.SCOPES
c.JupyterHub.extra_user_scopes = set(scopes.USER_SCOPES)
c.Spawner.server_token_scopes = scopes.SERVER_SCOPES
os.environ["JUPYTERHUB_CRYPT_KEY"] = secret(deployment, "hub-crypt-key")
c.JupyterHub.authenticator_class = "sciserver"
# Much shorter than outside of tests, so that renewals happen in them.
c.SciServerAuthenticator.refresh_interval = 3
c.SciServerAuthenticator.issuer = deployment.service_url("portal")
c.SciServerAuthenticator.backchannel_url = deployment.internal_url("portal")
c.SciServerAuthenticator.client_secret = secret(deployment, "hub-oauth-client")
c.SciServerAuthenticator.oauth_callback_url = f"{deployment.public_url}/hub/oauth_callback"
c.SciServerAuthenticator.store_url = f"sqlite:///{deployment.hub_dir}/sign-on.sqlite"
"""


def make_deployment(home: Path) -> Deployment:
    """A saved deployment of its own: any loopback address takes the place of a Docker network's gateway."""
    internal = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
    port = free_port()
    deployment = Deployment.load(home).replace(
        port=port, public_url=f"http://127.0.0.1:{port}", internal_host=internal
    )
    deployment.save()
    deployment.make_directories()
    return deployment


@dataclass
class Process:
    """A started process with its log; `stop` is safe to call twice."""

    command: list[str]
    log: Path
    environment: dict[str, str]
    popen: subprocess.Popen | None = field(default=None)

    def start(self, url: str) -> None:
        with self.log.open("a") as log:
            self.popen = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=os.environ | self.environment, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                raise RuntimeError(f"{self.command} exited with {self.popen.returncode}:\n{self.log.read_text()}")
            try:
                # 404: the proxy, of something that is not there yet. 403: the proxy's own interface, without a token.
                if requests.get(url, timeout=5, allow_redirects=False).status_code in {200, 302, 403}:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"{url} does not answer:\n{self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        if self.popen is None:
            return None
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            code = self.popen.wait(60)
        finally:
            # The process's own group only, which `start_new_session` has made.
            try:
                os.killpg(self.popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return code


@dataclass
class Platform:
    """A running portal, and maybe a hub, of one deployment."""

    deployment: Deployment
    config: str = ""
    portal: Process = field(init=False)
    hub: Process = field(init=False)
    proxy: Process = field(init=False)

    def __post_init__(self) -> None:
        deployment = self.deployment
        environment = {"SCISERVER_HOME": str(deployment.home)}
        self.config_file = self.deployment.home / "jupyterhub_config.py"
        self.config_file.write_text(HUB_CONFIG + self.config)
        logs = deployment.logs_dir
        module = [sys.executable, "-m"]
        self.portal = Process(
            [*module, "sciserver_auth.portal", "--config", str(self.config_file)], logs / "portal.log", environment
        )
        # Started here and not by the hub, which would put it into a session of its own and note its number in the
        # working directory.
        proxy_token = {"CONFIGPROXY_AUTH_TOKEN": secret(deployment, "proxy")}
        listen = ["--ip", "127.0.0.1", "--port", str(deployment.port)]
        api = ["--api-ip", deployment.internal_host, "--api-port", "8001"]
        errors = ["--error-target", f"{deployment.internal_origin('hub')}/hub/error"]
        self.proxy = Process([*proxy_command(), *listen, *api, *errors], logs / "proxy.log", proxy_token)
        self.hub = Process([*module, "jupyterhub", "-f", str(self.config_file)], logs / "hub.log", environment)

    @property
    def health_url(self) -> str:
        return f"{self.deployment.internal_url('portal')}/health"

    @property
    def discovery_url(self) -> str:
        return f"{self.deployment.internal_url('portal')}/.well-known/openid-configuration"

    def start_portal(self) -> None:
        self.portal.start(self.health_url)

    def start_hub(self) -> None:
        self.proxy.start(f"http://{self.deployment.internal_host}:8001/api/routes")
        self.hub.start(f"{self.deployment.public_url}/hub/health")

    def stop(self) -> None:
        for process in (self.hub, self.proxy, self.portal):
            process.stop()

    def hub_api(self, method: str, path: str, **options: Any) -> requests.Response:
        token = (self.deployment.secrets_dir / "tests").read_text()
        return requests.request(
            method,
            f"{self.deployment.public_url}/hub/api{path}",
            headers={"Authorization": f"token {token}"},
            timeout=20,
            **options,
        )

    def token(self, name: str, **options: Any) -> str:
        """A token of the hub's user `name`; `options` are those of the hub's REST, such as ``expires_in``."""
        answer = self.hub_api("POST", f"/users/{name}/tokens", json=options)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])


class Browser(requests.Session):
    """A person's browser: cookies, and forms that keep the values which the page gave them."""

    def __init__(self, platform: Platform, *, internal: bool = False) -> None:
        super().__init__()
        # The proxy closes idle connections after 5 seconds, maybe just as the next request comes.
        self.headers["Connection"] = "close"
        self.platform = platform
        deployment = platform.deployment
        # Without the hub's proxy the portal is asked at its port; the links in it are public, so only paths are used.
        self.portal_url = deployment.internal_url("portal") if internal else deployment.service_url("portal")

    def portal(self, path: str, **options: object) -> requests.Response:
        return self.get(f"{self.portal_url}{path}", timeout=20, **options)

    def submit(self, page: requests.Response, **values: object) -> requests.Response:
        """Fill in the page's form and send it with its submit button."""
        soup = BeautifulSoup(page.text, "html.parser")
        form = soup.select_one("form[method=post], form[method=POST]")
        assert form is not None, page.text
        filled: dict[str, object] = {}
        for element in form.select("input[name], select[name], textarea[name]"):
            if element.get("type") in {"checkbox", "radio"} and not element.has_attr("checked"):
                continue
            if element.get("type") == "file":
                continue
            if element.name == "select":
                chosen = [option.get("value", "") for option in element.select("option[selected]")]
                first = element.select_one("option")
                if not element.has_attr("multiple") and not chosen and first is not None:
                    chosen = [first.get("value", "")]
                filled[element["name"]] = chosen
                continue
            filled[element["name"]] = element.get("value", "")
        filled |= {"action": None} | values
        target = form.get("action") or page.url
        return self.post(requests.compat.urljoin(page.url, target), data=filled, timeout=30)

    def register(self, name: str, password: str = PASSWORD, **values: str) -> requests.Response:
        page = self.portal("/register")
        fields = {
            "user_name": name,
            "emails-0": f"{name}@example.org",
            "given_name": "Given",
            "family_name": "Family",
            "password1": password,
            "password2": password,
        }
        return self.submit(page, **(fields | values))

    def enter_password(self, page: requests.Response, name: str, password: str = PASSWORD) -> requests.Response:
        """Go through the portal's two pages, name and password."""
        page = self.submit(page, login=name)
        return self.submit(page, password=password)

    def sign_in_at_portal(self, name: str, password: str = PASSWORD) -> requests.Response:
        return self.enter_password(self.portal("/login"), name, password)

    def sign_in(self, name: str, password: str = PASSWORD) -> requests.Response:
        """From the hub's button to the hub's home page."""
        page = self.get(f"{self.platform.deployment.public_url}/hub/oauth_login", timeout=20)
        return self.enter_password(page, name, password)


def messages(page: requests.Response) -> str:
    """The notices on a page, errors at fields included."""
    soup = BeautifulSoup(page.text, "html.parser")
    return " ".join(tag.get_text(" ", strip=True) for tag in soup.select(".message, .ui.pointing.label, .label"))
