"""The portal on PostgreSQL: a cluster of its own, run by an account without privileges."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from auth_platform import PASSWORD, Browser, Platform, make_deployment, messages

from sciserver_auth.portal import accounts
from tests.support import wait_until


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
