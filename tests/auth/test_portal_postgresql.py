"""The portal on PostgreSQL: a cluster of its own, run by an account without privileges."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from auth_platform import PASSWORD, Browser, Platform, free_port, make_deployment, messages

from sciserver_auth.portal import accounts
from tests.support import wait_until


def _as_nobody(command: list[str]) -> None:
    # PostgreSQL refuses to run as root, which is what containers of a CI often are.
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    subprocess.run(command, check=True, capture_output=True, timeout=60, env={"LC_ALL": "C"}, cwd="/", **user)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    # Not below pytest's directory, which other accounts cannot enter.
    home = Path(tempfile.mkdtemp(prefix="portal-pg-"))
    if os.getuid() == 0:
        shutil.chown(home, "nobody", "nogroup")
    port = free_port()
    try:
        _as_nobody(
            [
                str(binaries / "initdb"),
                "-D",
                f"{home}/data",
                "-U",
                "portal",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
            ]
        )
        options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off"
        _as_nobody([str(binaries / "pg_ctl"), "-D", f"{home}/data", "-o", options, "-l", f"{home}/log", "-w", "start"])
        _as_nobody([str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "portal", "accounts"])
        yield f"postgresql://portal:not-a-secret@127.0.0.1:{port}/accounts"
        _as_nobody([str(binaries / "pg_ctl"), "-D", f"{home}/data", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_the_hub_hears_of_what_happens_in_postgresql(postgresql: str, tmp_path: Path) -> None:
    config = f"c.Portal.database_url = {postgresql!r}\nc.SciServerAuthenticator.refresh_interval = 0\n"
    platform = Platform(make_deployment(tmp_path), config)
    config_file = str(platform.config_file)
    home = f"{platform.deployment.public_url}/hub/home"

    def sign_in(name: str, password: str = PASSWORD) -> Browser:
        browser = Browser(platform)
        page = browser.sign_in(name, password)
        assert page.url == home, messages(page)
        return browser

    def is_in(browser: Browser) -> bool:
        return browser.get(home, timeout=20, allow_redirects=False).status_code == 200

    try:
        platform.start_portal()
        platform.start_hub()
        for name in ("changed", "locked"):
            accounts.add_user(platform.deployment, name, PASSWORD, config_file=config_file)
        changed, locked = sign_in("changed"), sign_in("locked")
        for password in ("another passphrase", "a third passphrase"):
            accounts.set_password(platform.deployment, "changed", password, config_file=config_file)
            wait_until(lambda browser=changed: not is_in(browser), limit=30)
            # The portal's own session has ended as well.
            assert "/services/portal/login" in changed.get(home.replace("home", "oauth_login"), timeout=20).url
            changed = sign_in("changed", password)
        assert is_in(locked)
        platform.portal.stop(signal.SIGKILL)
        accounts.set_locked(platform.deployment, "locked", True, config_file=config_file)
        platform.start_portal()
        wait_until(lambda: not is_in(locked), limit=30)
        assert is_in(changed)
    finally:
        platform.stop()


def test_accounts_live_in_postgresql(postgresql: str, tmp_path: Path) -> None:
    platform = Platform(make_deployment(tmp_path), f"c.Portal.database_url = {postgresql!r}\n")
    config_file = str(platform.config_file)
    try:
        platform.start_portal()
        browser = Browser(platform, internal=True)
        page = browser.register("ada")
        assert "/profile/ada" in page.url, messages(page)
        accounts.add_user(platform.deployment, "boss", PASSWORD, admin=True, config_file=config_file)
        assert accounts.user_exists(platform.deployment, "ada", config_file=config_file)
        boss = Browser(platform, internal=True)
        boss.sign_in_at_portal("boss")
        assert "ada@example.org" in boss.portal("/users").text
        assert not (platform.deployment.portal_dir / "portal.sqlite").exists()
        assert "not-a-secret" not in platform.portal.log.read_text()
    finally:
        platform.stop()
    (platform.config_file).write_text(
        f"c = get_config()\nc.Portal.database_url = {postgresql.replace('/accounts', '/missing')!r}\n"
    )
    with pytest.raises(RuntimeError, match=r"Check Portal\.database_url") as caught:
        platform.start_portal()
    assert "not-a-secret" not in str(caught.value)
