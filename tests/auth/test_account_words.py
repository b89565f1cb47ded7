"""What the account page says in words."""

from __future__ import annotations

import pytest

from sciserver_auth.account_words import browser_words, kind_words, lifetime_words, scope_service, scope_words
from sciserver_auth.store import KINDS
from sciserver_common.scopes import CASJOBS_QUERY, FILES_READ, FILES_WRITE, SCOPES, SERVER_SCOPES

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0 Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/142.0 Mobile Safari/537.36", "Chrome on Android"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1 Version/17.6 Safari/605.1",
            "Safari on macOS",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) CriOS/127.0 Safari/604.1", "Chrome on iPhone"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/142.0 Safari/537.36", "Chrome on ChromeOS"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32", "A Python program"),
        ("Something (Windows)", "A browser on Windows"),
        ("Something new", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_browsers_are_named(header: str, words: str) -> None:
    assert browser_words(header) == words


def test_scopes_are_said_once_and_without_what_they_include() -> None:
    files = SCOPES[FILES_WRITE]["description"]
    assert scope_words([FILES_READ, FILES_WRITE]) == [files]
    assert scope_words([FILES_WRITE, CASJOBS_QUERY]) == [SCOPES[CASJOBS_QUERY]["description"], files]
    assert scope_words(["inherit", FILES_READ]) == ["Everything that you may do, also in the hub"]
    assert scope_words(["read:users!user", "read:users:name!user=ada"]) == ["Read your name, groups and profile"]
    assert scope_words([]) == ["Know who you are"]
    # Of a version that had other scopes.
    assert scope_words(["custom:sciserver:gone:read"]) == ["custom:sciserver:gone:read"]


@pytest.mark.parametrize("scope", [*SCOPES, *SERVER_SCOPES])
def test_every_scope_of_the_platform_has_words(scope: str) -> None:
    (words,) = scope_words([scope])
    assert " " in words
    assert "custom:" not in words
    assert scope_service(scope)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86400, "1 day"), (365 * 86400, "365 days"), (7200, "2 hours"), (3600, "1 hour"), (90, "90 seconds")],
)
def test_lifetimes_are_in_round_units(seconds: int, words: str) -> None:
    assert lifetime_words(seconds) == words


def test_kinds_of_activity_have_words() -> None:
    assert [kind_words(kind) for kind in KINDS] == list(KINDS.values())
    assert kind_words("of-a-later-version") == "Of a later version"
