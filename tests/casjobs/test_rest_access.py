"""Who must not get in, and what people must not see of each other."""

from __future__ import annotations

import pytest

from sciserver_common.scopes import CASJOBS_QUERY, CASJOBS_WRITE, FILES_WRITE, SCOPES, USER_SCOPES
from sciserver_common.secrets import secret
from tests.casjobs.casjobs_platform import CasJobsPlatform, Client
from tests.common.hub_platform import Visitor
from tests.support import wait_until

READING = [
    ("GET", "users/ada-l"),
    ("GET", "limits"),
    ("GET", "queues"),
    ("GET", "contexts"),
    ("GET", "contexts/Sky"),
    ("GET", "contexts/Sky/Tables"),
    ("GET", "contexts/Sky/Tables/Stars"),
    ("GET", "contexts/Sky/Tables/Stars/sample"),
    ("GET", "contexts/Sky/Tables/Stars/data"),
    ("GET", "contexts/Sky/Functions"),
    ("POST", "contexts/Sky/query"),
    ("POST", "contexts/Sky/explain"),
    ("GET", "jobs"),
    ("GET", "jobs/1"),
    ("GET", "jobs/1/results/1"),
]
WRITING = [
    ("POST", "contexts/MyDB/Tables/NewTable"),
    ("PATCH", "contexts/MyDB/Tables/NewTable"),
    ("DELETE", "contexts/MyDB/Tables/NewTable"),
    ("PUT", "contexts/MyDB/jobs"),
    ("DELETE", "jobs/1"),
    ("POST", "jobs/1/resubmit"),
]


@pytest.fixture(scope="module")
def reader(platform: CasJobsPlatform) -> Client:
    """Somebody with a token that may only read."""
    return platform.client("carl", CASJOBS_QUERY)


@pytest.mark.parametrize(("method", "path"), READING + WRITING)
def test_everything_needs_a_token(platform: CasJobsPlatform, method: str, path: str) -> None:
    for client in (Client(platform.rest), Client(platform.rest, "0" * 32), Client(platform.rest, "nonsense!")):
        answer = client.call(method, path, json={"Query": "select 1"})
        assert answer.status_code == 401, answer.text
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["status"] == "error"


@pytest.mark.parametrize(("method", "path"), READING + WRITING)
def test_other_services_tokens_do_not_do(platform: CasJobsPlatform, method: str, path: str) -> None:
    others = [scope for scope in USER_SCOPES if "casjobs" not in scope]
    assert FILES_WRITE in others
    answer = platform.client("carl", *others).call(method, path, json={"Query": "select 1"})
    assert answer.status_code == 403
    assert CASJOBS_QUERY in answer.json()["error"] or CASJOBS_WRITE in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_a_token_for_reading_does_not_write(reader: Client, method: str, path: str) -> None:
    answer = reader.call(method, path, json={"Query": "select 1"})
    assert answer.status_code == 403
    assert SCOPES[CASJOBS_WRITE]
    assert CASJOBS_WRITE in answer.json()["error"]


@pytest.mark.parametrize(
    "query",
    [
        "select 1 as one into MyDB.Sneaked",
        "select 1 as one into MyScratch.Sneaked",
        "create table MyDB.Sneaked (i int)",
        "drop table MyDB.Sneaked",
        "select 1 as one; select 2 as two into MyDB.Sneaked",
    ],
)
def test_a_query_of_a_token_for_reading_does_not_write(reader: Client, query: str) -> None:
    answer = reader.query(query, "Sky")
    assert answer.status_code == 403, answer.text
    assert reader.call("GET", "contexts/MyDB/Tables").json() == []


def test_a_token_for_reading_reads(reader: Client) -> None:
    assert reader.csv("select count(*) as n from Stars", "Sky") == "n\n1000\n"
    answer = reader.query("select 1 as one", params={"onTimeout": "queue"})
    assert answer.status_code == 403


def test_a_service_is_nobody(platform: CasJobsPlatform) -> None:
    robot = Client(platform.rest, secret(platform.deployment, "ada-service"))
    for method, path in READING + WRITING:
        assert robot.call(method, path, json={"Query": "select 1"}).status_code == 403, path


def test_tables_of_others(ada: Client, bob: Client) -> None:
    assert ada.upload("Private", b"a\n1\n").status_code == 200
    assert bob.call("GET", "contexts/MyDB/Tables/Private").status_code == 404
    assert bob.query("select * from MyDB.Private").status_code == 400
    assert "Private" not in bob.call("GET", "contexts/MyDB/Tables").text
    assert ada.call("DELETE", "contexts/MyDB/Tables/Private").status_code == 200


def test_jobs_of_others(ada: Client, bob: Client) -> None:
    number = ada.submit("select 4711 as secret")
    ada.ended(number)
    assert ada.call("GET", f"jobs/{number}/results/1", headers={"Accept": "text/csv"}).text == "secret\n4711\n"
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/results/1"), ("POST", "/resubmit")]:
        answer = bob.call(method, f"jobs/{number}{path}")
        assert answer.status_code == 404
        assert "4711" not in answer.text
    assert number not in {job["JobID"] for job in bob.call("GET", "jobs").json()}
    assert bob.call("GET", "jobs", params={"owner": "ada-l"}).status_code == 403
    assert bob.call("GET", "users/ada-l").status_code == 403
    assert ada.job(number)["Status"] == 5


def test_an_administrator_sees_and_cancels(platform: CasJobsPlatform, ada: Client) -> None:
    platform.add_user("root")
    assert platform.hub_api("PATCH", "/users/root", json={"admin": True}).status_code == 200
    admin = platform.client("root", "admin:users", CASJOBS_WRITE)
    endless = ada.submit("select count(*) from Stars a, Stars b, Stars c, Stars d where a.ra + d.ra > 1", "Sky")
    assert endless in {job["JobID"] for job in admin.call("GET", "jobs", params={"owner": "ada-l"}).json()}
    assert admin.call("GET", "jobs", params={"owner": "nobody-at-all"}).status_code == 404
    assert endless not in {job["JobID"] for job in admin.call("GET", "jobs").json()}
    assert admin.call("DELETE", f"jobs/{endless}").status_code == 200
    assert ada.ended(endless)["Status"] == 3
    # The same person, with a token that is not an administrator's.
    plain = platform.client("root")
    assert plain.call("GET", f"jobs/{endless}").status_code == 404
    assert plain.call("GET", "jobs", params={"owner": "ada-l"}).status_code == 403


def test_a_private_context(platform: CasJobsPlatform, ada: Client) -> None:
    platform.join("grace", "insiders")
    grace = platform.client("grace")
    assert grace.csv("select count(*) as n from Stars", "secret") == "n\n1000\n"
    assert grace.csv("select count(*) as n from Secret.Stars", "MyDB") == "n\n1000\n"
    assert "Secret" in {context["Name"] for context in grace.call("GET", "contexts").json()}
    for method, path in [
        ("GET", "contexts/Secret"),
        ("GET", "contexts/SECRET/Tables"),
        ("GET", "contexts/Secret/Tables/Stars"),
        ("GET", "contexts/Secret/Tables/Stars/data"),
        ("GET", "contexts/Secret/Functions"),
        ("POST", "contexts/Secret/query"),
        ("POST", "contexts/Secret/explain"),
        ("PUT", "contexts/Secret/jobs"),
    ]:
        answer = ada.call(method, path, json={"Query": "select 1"})
        assert answer.status_code == 404, path
        # As one that does not exist.
        other = ada.call(
            method, path.replace("Secret", "Nothng").replace("SECRET", "NOTHNG"), json={"Query": "select 1"}
        )
        assert answer.json()["error"].lower() == other.json()["error"].lower().replace("nothng", "secret")
    assert "Secret" not in {context["Name"] for context in ada.call("GET", "contexts").json()}
    for query in ("select * from Secret.Stars", "select * from [secret].dbo.Stars"):
        answer = ada.query(query)
        assert answer.status_code == 400
        assert answer.json()["Error Type"] == "name"
    job = ada.ended(ada.submit("select * from Secret.Stars"))
    assert job["Status"] == 4


def test_somebody_who_leaves_a_group(platform: CasJobsPlatform) -> None:
    platform.join("linus", "insiders")
    linus = platform.client("linus")
    assert linus.call("GET", "contexts/Secret").status_code == 200
    assert linus.csv("select count(*) as n from Secret.Stars", "MyDB") == "n\n1000\n"
    removed = platform.hub_api("DELETE", "/groups/insiders/users", json={"users": ["linus"]})
    assert removed.status_code == 200
    wait_until(lambda: linus.call("GET", "contexts/Secret").status_code == 404, limit=10, what="linus is out")
    # Also in the worker that has just read it.
    assert linus.query("select count(*) as n from Secret.Stars", "MyDB").json()["Error Type"] == "name"


def test_a_revoked_token(platform: CasJobsPlatform) -> None:
    model = platform.new_token("carl", CASJOBS_QUERY)
    client = Client(platform.rest, model["token"])
    assert client.call("GET", "contexts").status_code == 200
    platform.revoke("carl", model["id"])
    wait_until(lambda: client.call("GET", "contexts").status_code == 401, limit=10, what="the token is refused")


def test_a_page_needs_the_xsrf_token(platform: CasJobsPlatform) -> None:
    """Scripts of the service's page come with the cookie; another site's requests would, too."""
    visitor = Visitor(platform)
    visitor.sign_in("bob")
    page = visitor.visit("/services/casjobs/")
    assert page.status_code == 200, page.text
    address = f"{platform.rest}/contexts/MyDB/query"
    body = {"Query": "select 1 as one"}
    same = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Accept": "text/csv"}
    cross = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site", "Accept": "text/csv"}
    xsrf = next(cookie.value for cookie in visitor.cookies if cookie.name == "_xsrf" and "casjobs" in cookie.path)
    assert visitor.post(address, json=body, headers=cross, timeout=30).status_code in {401, 403}
    assert visitor.post(address, json=body, headers=same | {"X-XSRFToken": "wrong"}, timeout=30).status_code == 403
    answer = visitor.post(address, json=body, headers=same | {"X-XSRFToken": xsrf}, timeout=30)
    assert answer.text == "one\n1\n"


def test_the_log_says_nothing_of_queries_and_tokens(platform: CasJobsPlatform, ada: Client) -> None:
    ada.query("select 'xyzzy-in-the-query' as word", params={"word": "xyzzy-in-the-address"})
    ada.query("selekt 'xyzzy-in-the-query'")
    log = platform.service.log.read_text()
    assert "POST /services/casjobs/RestApi/contexts/MyDB/query" in log
    assert "xyzzy" not in log
    assert ada.headers["X-Auth-Token"] not in log
