"""A hub that signs people in at another provider than the portal, configured by a file of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import requests
from auth_platform import Browser, Platform, Process, make_deployment
from provider_shapes import ShapedProvider

from sciserver_common.deployment import SOURCE, Deployment
from tests.support import free_port

EXAMPLES = SOURCE / "docs" / "examples" / "identity-providers"


def shaped(deployment: Deployment, shape: str) -> ShapedProvider:
    """A provider with this deployment's hub registered as the documentation tells to."""
    return ShapedProvider(
        shape,
        redirect_uri=f"{deployment.public_url}/hub/oauth_callback",
        post_logout_redirect_uri=f"{deployment.public_url}/hub/login",
    )


def use_example(provider: ShapedProvider | MockProvider, example: str, deployment: Deployment) -> str:
    """Configuration that reads an example as it is, and then takes the test's provider for the real one."""
    path = EXAMPLES / f"{example}.py"
    text = path.read_text()
    [provider.client_id] = re.findall(r'client_id = "(.*)"', text)
    [real] = re.findall(r'\.issuer = "(.*)"', text)
    real_origin = "/".join(real.split("/")[:3])
    (deployment.secrets_dir / "provider-client").write_text(provider.client_secret + "\n")
    return f"""
load_subconfig({str(path)!r})
c.SciServerAuthenticator.issuer = {provider.issuer!r}
if "logout_redirect_url" in c.SciServerAuthenticator:
    url = c.SciServerAuthenticator.logout_redirect_url
    c.SciServerAuthenticator.logout_redirect_url = url.replace({real_origin!r}, {provider.origin!r})
"""


def started(home: Path, shape: str, example: str) -> tuple[Platform, ShapedProvider]:
    """A running hub with that example's configuration, and its provider."""
    deployment = make_deployment(home)
    provider = shaped(deployment, shape)
    platform = Platform(deployment, use_example(provider, example, deployment))
    # First, since the hub waits for it.
    platform.start_portal()
    platform.start_hub()
    return platform, provider


def reconfigure(platform: Platform, config: str) -> None:
    """Give the hub another configuration, by a restart."""
    platform.hub.stop()
    before = platform.config_file.read_text().removesuffix(platform.config)
    platform.config = config
    platform.config_file.write_text(before + config)
    # The proxy runs on, as it does beside a hub that `sciserver up` restarts.
    platform.hub.start(f"{platform.deployment.public_url}/hub/health")


def sign_in(browser: Browser, name: str) -> requests.Response:
    """From the hub's button, through the provider's page if it shows one, to wherever that leads."""
    page = browser.get(f"{browser.platform.deployment.public_url}/hub/oauth_login", timeout=20)
    return browser.submit(page, login=name, password=name[::-1]) if 'name="login"' in page.text else page


def is_in(browser: Browser) -> bool:
    hub = f"{browser.platform.deployment.public_url}/hub"
    return browser.get(f"{hub}/home", timeout=20).url == f"{hub}/home"


def model(platform: Platform, name: str) -> dict[str, Any]:
    """The hub's user; empty where there is none."""
    answer = platform.hub_api("GET", f"/users/{name}")
    return answer.json() if answer.status_code == 200 else {}


class MockProvider:
    """`oidc-provider-mock`: a provider by other people, in a process of its own. It takes any client."""

    def __init__(self, log: Path, *options: str) -> None:
        port = free_port()
        self.issuer = self.origin = f"http://127.0.0.1:{port}"
        self.client_id = ""
        self.client_secret = "any"
        command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", *options]
        self.process = Process(command, log, {})
        self.process.start(f"{self.issuer}/.well-known/openid-configuration")

    def person(self, subject: str, **claims: Any) -> None:
        answer = requests.put(f"{self.issuer}/users/{subject}", json=claims, timeout=20)
        assert answer.status_code == 204, answer.text

    def revoke(self, subject: str) -> None:
        requests.post(f"{self.issuer}/users/{subject}/revoke-tokens", timeout=20).raise_for_status()

    def sign_in(self, browser: Browser, subject: str) -> requests.Response:
        page = browser.get(f"{browser.platform.deployment.public_url}/hub/oauth_login", timeout=20)
        return browser.submit(page, sub=subject)

    def close(self) -> None:
        self.process.stop()
