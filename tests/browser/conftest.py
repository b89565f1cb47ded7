"""A deployment started by the operator's command, and a browser to click through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import docker
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.relay import EngineRelay
from tests.browser.visitor import Visitor
from tests.integration.conftest import deploy
from tests.support import Platform

CHROMIUM = "/usr/bin/chromium"

# Playwright's own limit of 5 seconds is for a machine that does nothing else. What is there is seen at once.
expect.set_options(timeout=30_000)

# The image that cannot start is a real one whose program ends, as one does that misses its licence. It takes its time,
# so that the page with the steps of the start is seen.
SITE = """
from sciserver_spawner.images import find

c.SciServerSpawner.engine_url = {engine_url!r}
c.SciServerSpawner.images.append(
    {{"name": "broken", "image": find("base").tag, "title": "Broken", "description": "Ends while it starts."}}
)


def break_it(spawner):
    if spawner.user_options.get("image") == "broken":
        # Long enough for who wants to cancel it.
        pause = 60 if spawner.user.name == "galois" else 4
        program = "import time; print('license file missing <here>', flush=True); "
        program += f"time.sleep({{pause}}); raise SystemExit(3)"
        spawner.cmd = ["python3", "-c", program]


c.Spawner.pre_spawn_hook = break_it
"""


@pytest.fixture(scope="package")
def engine_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineRelay]:
    relay = EngineRelay(tmp_path_factory.mktemp("engine") / "engine.sock")
    relay.start()
    yield relay
    relay.close()


@pytest.fixture(scope="package")
def platform(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient, engine_relay: EngineRelay
) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("browser") / "home"
    yield from deploy(home, SITE.format(engine_url=engine_relay.url))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    switches = "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --no-first-run"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches.split())
        yield browser
        browser.close()


@pytest.fixture
def visit(platform: Platform, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Open a browser profile; ``visit("ada", viewport=PHONE)``.

    Whatever a test is about, its pages must make no request to another host, and the hub's have no script errors.
    """
    visitors = []

    def visit_(name: str = "somebody", **options: object) -> Visitor:
        visitor = Visitor(chromium, platform.url, name, **options)
        visitors.append(visitor)
        return visitor

    yield visit_
    for number, visitor in enumerate(visitors):
        visitor.screenshot(f"{request.node.name}-end-{number}")
        visitor.context.close()
    assert [problem for visitor in visitors for problem in visitor.strange] == []
