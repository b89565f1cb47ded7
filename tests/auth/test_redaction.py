"""No token and no password in any log or process argument, whatever fails."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from auth_platform import Browser, Platform, make_deployment
from jupyterhub.log import CoroutineLogFormatter

from sciserver_auth.portal import accounts
from sciserver_auth.redaction import Redaction, redact
from sciserver_common.deployment import SOURCE, proxy_command
from tests.support import command_lines

TOKEN = "0123456789abcdef0123456789abcdef"

LINES = [
    f"503 GET /services/portal/keystone/v3/tokens/{TOKEN} connect ECONNREFUSED",
    f"503 GET /services/portal/keystone/v3/tokens//{TOKEN}?TaskName=x",
    f"GET //keystone//v2.0//tokens//{TOKEN}/",
    f"GET /hub/error/503?url=%2Fservices%2Fportal%2Fkeystone%2Fv3%2Ftokens%2F{TOKEN}%3FTaskName%3Dx",
    f"GET /x?url=%252Fkeystone%252Fv3%252Ftokens%252F{TOKEN}",
    f"GET /hub/error/503?url=%2Fuser%2Fada%2Flab%3Ftoken%3D{TOKEN}%26x%3D1",
    f"GET /user/ada/lab?x=1&token={TOKEN}&y=2",
    f"GET /KEYSTONE/V3/TOKENS/{TOKEN}",
    f"GET /services/scidrive/media/{TOKEN}/picture.png",
    f"GET /services/scidrive//media//{TOKEN}",
    f"GET /hub/error/503?url=%2Fservices%2Fscidrive%2Fmedia%2F{TOKEN}%2Fpicture.png",
]
HEADERS = [
    json.dumps({"X-Auth-Token": TOKEN, "Host": "x"}, indent=2),
    json.dumps({"X-Subject-Token": f"{TOKEN} with, more"}),
    str({"X-Auth-Token": TOKEN}),
    f"X-Auth-Token: {TOKEN}",
    f"Malformed HTTP message from 192.0.2.1: Invalid header value '{TOKEN}\\x01'",
]


@pytest.mark.parametrize("line", LINES + HEADERS)
def test_token_is_taken_out(line: str) -> None:
    assert TOKEN not in redact(line)
    assert "[secret]" in redact(line)


@pytest.mark.parametrize(
    "line",
    [
        "GET /services/portal/keystone/v3/tokens",
        "GET /hub/error/503?url=%2Fuser%2Fada%2Flab&x=1",
        '{"X-Auth-Token": "", "Host": "x"}',
        "Deleting token a12 for ada",
        "GET /services/scidrive/vospace-2.0/1/media/sandbox/picture.png",
        "200 GET /hub/api/users/ada/tokens/a12 (ada@127.0.0.1)",
    ],
)
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert redact(line) == line


def test_rest_of_a_line_stays() -> None:
    line = f"503 GET /keystone/v3/tokens/{TOKEN}?TaskName=x from 192.0.2.1"
    assert redact(line) == "503 GET /keystone/v3/tokens/[secret]?TaskName=x from 192.0.2.1"
    text = json.dumps({"X-Auth-Token": TOKEN, "Host": "x"}, indent=2)
    assert json.loads(redact(text)) == {"X-Auth-Token": "[secret]", "Host": "x"}


def test_filter_covers_arguments_and_tracebacks() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(Redaction())
    handler.setFormatter(CoroutineLogFormatter("%(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("%s of %d", f"/keystone/v3/tokens/{TOKEN}", 7)
    try:
        raise ValueError(f"/keystone/v3/tokens/{TOKEN}")
    except ValueError:
        logger.exception("It failed")
    logger.warning({"not": "text"})
    logger.warning("100%")
    text = stream.getvalue()
    assert TOKEN not in text
    for part in ("/keystone/v3/tokens/[secret] of 7", "It failed", "ValueError", "{'not': 'text'}", "100%"):
        assert part in text


def test_proxy_s_output_is_redacted_the_same_way() -> None:
    node = proxy_command()[0]
    script = (
        f"for (const line of {json.dumps(LINES)}) {{ console.log(line); console.error(line);"
        " process.stdout.write(Buffer.from(line + '\\n')); }"
        " process.stdout.write('æ\\n', 'utf8', () => process.stdout.write(Buffer.from([0xff, 0x0a])));"
    )
    command = [node, "--require", str(SOURCE / "proxy" / "redact.js"), "-e", script]
    result = subprocess.run(command, capture_output=True, timeout=60, check=True)
    expected = "".join(f"{redact(line)}\n" for line in LINES).encode()
    assert result.stderr == expected
    # What is no text passes unharmed.
    assert sorted(result.stdout.splitlines()) == sorted([*expected.splitlines() * 2, "æ".encode(), b"\xff"])


# -- a running platform

FAILING = """
from jupyterhub.handlers.base import BaseHandler

class Failing(BaseHandler):
    def get(self):
        raise RuntimeError("fails for the test")

    put = post = delete = get

c.JupyterHub.extra_handlers = [(r"/fails.*", Failing)]
c.JupyterHub.log_level = "DEBUG"
c.Application.log_level = "DEBUG"
"""


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that logs as much as it can."""
    platform = Platform(make_deployment(tmp_path_factory.mktemp("talkative")), FAILING)
    platform.proxy.command += ["--log-level=debug"]
    platform.portal.command += ["--log-level=DEBUG"]
    try:
        platform.start_portal()
        platform.start_hub()
        yield platform
    finally:
        platform.stop()


def drive(platform: Platform, tokens: list[str], password: str) -> None:
    """Every route, with every token, in every way that one may carry it."""
    portal = platform.deployment.service_url("portal")
    for base in (portal, platform.deployment.internal_url("portal")):
        api = f"{base}/keystone"
        for token in tokens:
            asked = {"X-Auth-Token": token, "X-Subject-Token": token}
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                for path in (f"/v3/tokens//{token}", f"/v2.0/tokens/{token}?TaskName=x", f"/v9/tokens/{token}"):
                    send(method, api + path)
                for path in ("/v3/tokens", "/v3/users/ada"):
                    send(method, api + path, headers=asked)
            send("GET", f"{base}/keystone/v3/tokens/{token}", headers=asked | {"Host": "a b"})
            send("GET", f"{base}/keystone/v3/tokens", headers={"X-Auth-Token": f"{token}\x01"})
            send("GET", f"{base}/login?token={token}", headers=asked)
        user = {"name": "ada", "password": password}
        for body in (
            {"auth": {"identity": {"password": {"user": user}}}},
            {"auth": {"identity": {"password": {"user": user | {"name": password}}}}},
            {"auth": {"identity": {"methods": ["x"], "password": {"user": user}}}},
            {"auth": {"identity": {"password": {"user": [user]}}}},
            user,
        ):
            send("POST", f"{api}/v3/tokens", json=body)
        send("POST", f"{api}/v3/tokens", data=f'{{"auth": {password}')
    hub = f"{platform.deployment.public_url}/hub"
    for token in tokens:
        asked = {"X-Auth-Token": token, "X-Subject-Token": token, "Authorization": f"Bearer {token}"}
        for path in ("/fails", f"/fails/keystone/v3/tokens/{token}", "/api/user", "/api/sign-on/token", "/no-page"):
            for method in ("GET", "POST", "DELETE"):
                if (method, path) != ("DELETE", "/api/sign-on/token"):
                    send(method, hub + path, headers=asked)
        # Of a server that does not run: the proxy asks the hub for a page about it.
        send("GET", f"{platform.deployment.public_url}/user/ada/lab?token={token}", headers=asked)
    send("POST", f"{hub}/api/sign-on/password", json={"name": "ada", "password": password})


def send(method: str, url: str, **options: object) -> None:
    try:
        requests.request(method, url, timeout=60, allow_redirects=False, **options)
    except (requests.ConnectionError, requests.exceptions.InvalidHeader):
        pass


def test_no_secret_in_any_log_or_process_argument(talkative: Platform) -> None:
    deployment = talkative.deployment
    password, wrong = "Xq7-the-right-password", "Xq7-the-wrong-password"
    accounts.add_user(deployment, "ada", password, email="ada@example.org")
    api = f"{deployment.service_url('portal')}/keystone/v3/tokens"

    def sign_in() -> str:
        body = {"auth": {"identity": {"password": {"user": {"name": "ada", "password": password}}}}}
        answer = requests.post(api, json=body, timeout=60)
        assert answer.status_code == 200
        return answer.headers["X-Subject-Token"]

    tokens = [sign_in() for _ in range(3)]
    for page in (Browser(talkative).sign_in("ada", password), Browser(talkative).sign_in("ada", wrong)):
        assert page.status_code == 200
    tokens.append(talkative.token("ada", note="laptop"))
    made_up = [TOKEN, "feedfacefeedfacefeedfacefeedface"]

    talkative.portal.stop()
    drive(talkative, tokens, password)
    talkative.start_portal()
    talkative.hub.stop()
    drive(talkative, tokens, password)
    talkative.hub.start(f"{deployment.public_url}/hub/health")
    time.sleep(2)  # the portal pauses before it asks the hub again
    drive(talkative, made_up, wrong)
    drive(talkative, tokens, password)

    secrets = [*tokens, *made_up, password, wrong]
    secrets += [path.read_text().strip() for path in deployment.secrets_dir.iterdir() if path.stat().st_size < 200]
    logs = sorted(path for path in deployment.logs_dir.rglob("*") if path.is_file())
    assert {"hub.log", "portal.log", "proxy.log"} <= {path.name for path in logs}
    for path in logs:
        _contains_none(path, secrets)
    proxy, hub = ((deployment.logs_dir / name).read_text() for name in ("proxy.log", "hub.log"))
    # They did log those requests.
    assert "/keystone/v3/tokens//[secret] connect ECONNREFUSED" in proxy
    assert "/hub/error/503?url=" in hub
    assert '"X-Auth-Token": "[secret]"' in hub
    assert "fails for the test" in hub
    for arguments in command_lines():
        assert not [secret for secret in secrets if secret in arguments], arguments.partition(" ")[0]


def _contains_none(path: Path, secrets: list[str]) -> None:
    for number, line in enumerate(path.read_text(errors="replace").splitlines()):
        for secret in secrets:
            assert secret not in line, f"{path.name}:{number}: {line.replace(secret, '…')}"
