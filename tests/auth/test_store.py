"""The database of sessions, links and activity: its own rules, and its migrations."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from sciserver_auth import store as module
from sciserver_auth.store import Base, Store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    url = request.getfixturevalue("postgresql").replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()
    return str(url)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url, lifetime=3600)
    yield store
    store.close()


def test_migrations_make_the_tables_that_the_code_describes(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "sign_on_version"})
        assert compare_metadata(context, Base.metadata) == []


def test_a_session_is_its_users_only_and_ends(store: Store, url: str) -> None:
    row = store.open_session("ada", "id", browser="x" * 1000, provider_sid="s")
    assert len(row.browser) == 300
    assert store.session("ada", "id") is row
    for user, session_id in (("eve", "id"), ("ada", "other"), ("ada", ""), ("ada", None)):
        assert store.session(user, session_id) is None
    # Another process, or the same after a restart, finds it as well.
    later = Store(url)
    found = later.session("ada", "id")
    assert found is not None
    assert found.key == row.key
    later.close()
    store.end_session(row)
    assert store.session("ada", "id") is None
    assert store.sessions("ada") == []


def test_a_session_expires(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.open_session("ada", "id")
    start = module.now()
    monkeypatch.setattr(module, "now", lambda: start + datetime.timedelta(seconds=3599))
    assert store.session("ada", "id")
    monkeypatch.setattr(module, "now", lambda: start + datetime.timedelta(seconds=3601))
    assert store.session("ada", "id") is None
    assert store.sessions("ada") == []
    # What has expired goes when the next one comes.
    store.open_session("eve", "other")
    assert store.find_sessions("") != []
    assert {row.user for row in store.find_sessions("")} == {"eve"}


def test_last_seen_is_written_once_a_minute(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    row = store.open_session("ada", "id")
    start = row.last_seen
    for seconds, expected in ((30, 0), (61, 61), (90, 61), (122, 122)):
        moment = start + datetime.timedelta(seconds=seconds)
        monkeypatch.setattr(module, "now", lambda moment=moment: moment)
        store.seen(row)
        [stored] = store.sessions("ada")
        assert stored.last_seen == start + datetime.timedelta(seconds=expected)


def test_sessions_of_a_provider(store: Store) -> None:
    for user, sid in (("ada", "1"), ("ada", "2"), ("eve", "3")):
        store.open_session(user, sid, issuer="https://a", subject=user, provider_sid=sid)
    store.open_session("ada", "4", issuer="https://b", subject="ada", provider_sid="1")
    assert {row.provider_sid for row in store.find_sessions("https://a", subject="ada")} == {"1", "2"}
    assert [row.user for row in store.find_sessions("https://a", provider_sid="3")] == ["eve"]
    assert store.find_sessions("https://a", subject="eve", provider_sid="1") == []


def test_an_account_signs_in_as_one_user(store: Store) -> None:
    store.link("ada", "https://a", "1", "ada@example.org")
    store.link("ada", "https://b", "9")
    assert [row.issuer for row in store.identities("ada")] == ["https://a", "https://b"]
    store.link("eve", "https://a", "1")
    identity = store.identity("https://a", "1")
    assert identity is not None
    assert identity.user == "eve"
    assert not store.unlink("ada", identity.id)
    assert store.unlink("eve", identity.id)
    assert not store.unlink("eve", identity.id)
    assert store.identity("https://a", "1") is None


def test_links_follow_the_portal_to_another_address(store: Store) -> None:
    store.adopt_issuer("http://127.0.0.1:8000/services/portal")
    store.link("ada", "http://127.0.0.1:8000/services/portal", "1")
    store.link("ada", "https://b", "9")
    store.link("eve", "http://127.0.0.1:8000/services/portal", "2")
    store.link("eve", "https://sciserver.example.org/services/portal", "2")
    store.open_session("ada", "id", issuer="http://127.0.0.1:8000/services/portal", subject="1")
    for issuer in ("https://sciserver.example.org/services/portal",) * 2:
        store.adopt_issuer(issuer)
        assert {row.issuer for row in store.identities("ada")} == {issuer, "https://b"}
        assert [row.issuer for row in store.identities("eve")] == [issuer]
        row = store.session("ada", "id")
        assert row is not None
        assert row.issuer == issuer


def test_activity_is_kept_for_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        store.record("ada", "sign-in", address="1" * 100, detail=str(number))
    store.record("eve", "sign-out")
    assert [row.detail for row in store.activity("ada")] == ["2", "1", "0"]
    assert [row.detail for row in store.activity("ada", limit=1)] == ["2"]
    start = module.now()
    monkeypatch.setattr(module, "now", lambda: start + module.ACTIVITY_KEPT + datetime.timedelta(days=1))
    store.record("eve", "sign-in")
    assert store.activity("ada") == []


def test_a_deleted_user_leaves_nothing(store: Store) -> None:
    store.open_session("ada", "id")
    store.link("ada", "https://a", "1")
    store.record("ada", "sign-in")
    store.open_session("eve", "other")
    store.forget("ada")
    assert store.session("ada", "id") is None
    assert (store.sessions("ada"), store.identities("ada"), store.activity("ada")) == ([], [], [])
    assert store.session("eve", "other")
