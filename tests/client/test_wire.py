"""How requests are sent: when again, where not, and what the user is told (contract §0)."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import socket
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
from SciServer.core import (
    NotSignedInError,
    QueryError,
    QueryTimeout,
    ServiceError,
    ServiceUnavailableError,
    SettingsError,
    tokens,
)
from SciServer.core.policy import Policy
from SciServer.core.wire import Request

from tests.client.conftest import TOKEN, NewClient
from tests.client.recorder import Recorder, Reply, of_json
from tests.client.support import got, settings_for
from tests.support import free_port

PASSWORD = "a-secret-password"
JOB = {"JobID": 7, "Status": 5}


async def test_headers_and_addresses(client: Any, recorder: Recorder) -> None:
    recorder.default = lambda asked: of_json([])
    await got(client.casjobs.tables("a b/c?#ü"))
    assert recorder.last.target == "/contexts/a%20b%2Fc%3F%23%C3%BC/Tables"
    assert recorder.last.headers["X-Auth-Token"] == TOKEN
    assert recorder.last.headers["User-Agent"].startswith("sciserver-client/")
    assert {"Authorization", "Cookie"}.isdisjoint(recorder.last.headers)
    assert TOKEN not in recorder.last.target


async def test_a_base_address_may_end_with_a_slash(new_client: NewClient, recorder: Recorder) -> None:
    recorder.default = lambda asked: of_json([])
    client: Any = new_client(settings_for(recorder.url + "/RestApi/"), token=TOKEN)
    await got(client.casjobs.contexts())
    assert recorder.last.target == "/RestApi/contexts"


async def test_without_a_token_nothing_is_sent(new_client: NewClient, recorder: Recorder) -> None:
    client: Any = new_client(settings_for(recorder.url))
    with pytest.raises(NotSignedInError, match=r"User token is not defined.*SCISERVER_TOKEN"):
        await got(client.casjobs.contexts())
    assert not recorder.asked


@pytest.mark.parametrize("token", ["sécret", "sec ret", "sec\nret", "sec\0ret"], ids=repr)
async def test_a_token_that_can_be_none(new_client: NewClient, recorder: Recorder, token: str) -> None:
    """It is told without showing it, and not sent."""
    client: Any = new_client(settings_for(recorder.url), token=token)
    with pytest.raises(NotSignedInError, match="copy it again") as caught:
        await got(client.casjobs.contexts())
    assert token not in "".join([str(caught.value), *shown(caught.value)])
    assert not recorder.asked


async def test_the_token_file_is_read_for_each_request(
    new_client: NewClient, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.default = lambda asked: of_json([])
    path = tmp_path / "keystone.token"
    client: Any = new_client(settings_for(recorder.url, token_path=str(path)))
    for text in ("first\n", "second"):
        path.write_text(text)
        await got(client.casjobs.contexts())
    assert [asked.headers["X-Auth-Token"] for asked in recorder.asked] == ["first", "second"]


async def test_a_query_as_it_is_sent(client: Any, recorder: Recorder) -> None:
    recorder.answers = [Reply(200, b"")]
    await got(
        client.casjobs.query(
            "select @a",
            "Sky",
            parameters={"a": 1, "b": None},
            dialect="tsql",
            limit=7,
            on_timeout="queue",
            name="A",
        )
    )
    assert (recorder.last.path, recorder.last.query) == ("/contexts/Sky/query", {"onTimeout": "queue"})
    assert recorder.last.headers["Accept"] == "application/vnd.apache.arrow.stream"
    assert json.loads(recorder.last.body) == {
        "Query": "select @a",
        "TaskName": "A",
        "Parameters": {"a": 1, "b": None},
        "Dialect": "tsql",
        "Limit": 7,
    }
    recorder.answers = [Reply(200, b"7"), of_json(JOB)]
    await got(client.casjobs.submit("select @a", parameters={"a": True}, into="t", minutes=5))
    assert json.loads(recorder.asked[-2].body) == {
        "Query": "select @a",
        "TaskName": "sciserver-client",
        "Parameters": {"a": True},
        "TableName": "t",
        "Estimate": 5,
    }


# -- again


async def test_too_busy(client: Any, recorder: Recorder) -> None:
    """What was refused with Retry-After was not begun: it is sent again, whatever it is."""
    recorder.answers = [
        Reply(503, b"later", {"Retry-After": "0"}),
        Reply(429, b"later", {"Retry-After": "0"}),
        of_json({"statements": []}),
        Reply(503, b"later", {"Retry-After": "0"}),
        Reply(200, b"7"),
        of_json(JOB),
    ]
    await got(client.casjobs.explain("select 1"))
    assert len(recorder.asked) == 3
    assert (await got(client.casjobs.submit("select 1"))).id == 7
    assert [asked.method for asked in recorder.asked[3:]] == ["PUT", "PUT", "GET"]


async def test_too_busy_for_too_long(client: Any, recorder: Recorder) -> None:
    recorder.default = lambda asked: of_json({"error": "Full."}, 503, **{"Retry-After": "3600"})
    with pytest.raises(ServiceUnavailableError, match="Full") as caught:
        await got(client.casjobs.contexts())
    assert caught.value.status == 503
    assert len(recorder.asked) == 1


async def test_not_for_ever(new_client: NewClient, recorder: Recorder) -> None:
    recorder.default = lambda asked: Reply(503, b"", {"Retry-After": "0"})
    client: Any = new_client(settings_for(recorder.url), token=TOKEN, retries=2)
    with pytest.raises(ServiceUnavailableError):
        await got(client.casjobs.contexts())
    assert len(recorder.asked) == 3


@pytest.mark.parametrize("failure", [Reply(is_dropped=True), Reply(502), Reply(503)], ids=["dropped", "502", "503"])
async def test_only_what_does_no_harm_is_sent_again(client: Any, recorder: Recorder, failure: Reply) -> None:
    recorder.answers = [failure, of_json([])]
    assert await got(client.casjobs.contexts()) == []
    assert len(recorder.asked) == 2
    recorder.answers = [failure]
    with pytest.raises(ServiceUnavailableError):
        await got(client.casjobs.submit("drop table x"))
    assert len(recorder.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500, 504, 507])
async def test_refusals_are_not_sent_again(client: Any, recorder: Recorder, status: int) -> None:
    recorder.default = lambda asked: of_json({"error": "No."}, status)
    with pytest.raises(ServiceError, match=r"No\."):
        await got(client.casjobs.contexts())
    assert len(recorder.asked) == 1


# -- where the token does not go


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(client: Any, recorder: Recorder, elsewhere: Recorder, status: int) -> None:
    recorder.default = lambda asked: Reply(status, b"", {"Location": elsewhere.url + "/"})
    for call in (client.casjobs.contexts, client.scidrive.usage):
        with pytest.raises(ServiceError, match="redirect"):
            await got(call())
    with pytest.raises(ServiceError, match="redirect"):
        await got(client.login("ada", "a password"))
    assert not elsewhere.asked


async def test_other_origins_get_no_token(
    new_client: NewClient, recorder: Recorder, elsewhere: Recorder, tmp_path: Path
) -> None:
    """A service that says that files are elsewhere is not believed, unless the settings say so too."""
    recorder.default = lambda asked: of_json([{"name": "Files", "apiEndpoint": elsewhere.url + "/"}])
    elsewhere.default = lambda asked: of_json([])
    client: Any = new_client(settings_for(recorder.url), token=TOKEN)
    with pytest.raises(SettingsError, match="TrustedOrigins"):
        await got(client.files.usage())
    assert not elsewhere.asked
    trusting: Any = new_client(settings_for(recorder.url, trusted_origins=(elsewhere.url,)), token=TOKEN)
    assert await got(trusting.files.usage()) == []
    assert elsewhere.last.headers["X-Auth-Token"] == TOKEN


async def test_the_same_machine_is_not_the_same_origin(new_client: NewClient, recorder: Recorder) -> None:
    port = free_port()
    recorder.default = lambda asked: of_json([{"name": "Files", "apiEndpoint": f"http://127.0.0.1:{port}/"}])
    client: Any = new_client(settings_for(recorder.url), token=TOKEN)
    with pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
        await got(client.files.usage())


# -- what the user is told


async def test_an_error_of_a_query(client: Any, recorder: Recorder) -> None:
    recorder.default = lambda asked: of_json(
        {
            "error": "Line 1, column 8: There is no column raa. Did you mean ra?",
            "line": 1,
            "column": 8,
            "hint": "Did you mean ra?",
            "Error Type": "name",
            "LogMessageID": "abc",
        },
        400,
    )
    with pytest.raises(QueryError) as caught:
        await got(client.casjobs.query("select raa"))
    error = caught.value
    assert (error.message, error.line, error.column) == ("There is no column raa.", 1, 8)
    assert (error.hint, error.kind, error.status, error.request_id) == ("Did you mean ra?", "name", 400, "abc")
    assert str(error) == "Line 1, column 8: There is no column raa. Did you mean ra?"
    recorder.default = lambda asked: of_json({"error": "Over.", "Error Type": "timeout"}, 504)
    with pytest.raises(QueryTimeout, match="Over"):
        await got(client.casjobs.query("select raa"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "Keystone says no."}}', "Keystone says no"),
        (b'{"Error Message": "The old way."}', "The old way"),
        (b"plain words", "plain words"),
        (b"<html><h1>Bad Gateway</h1></html>", "status 500"),
        (b"", "status 500"),
        (b"\xff\xfe", "status 500|\ufffd"),
        (b"[1]", r"\[1\]"),
    ],
)
async def test_the_text_of_an_error(client: Any, recorder: Recorder, body: bytes, said: str) -> None:
    recorder.default = lambda asked: Reply(500, body)
    with pytest.raises(ServiceError, match=said) as caught:
        await got(client.casjobs.contexts())
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", b"", b"{", b"\xff"])
async def test_an_answer_that_is_something_else(client: Any, recorder: Recorder, body: bytes) -> None:
    recorder.default = lambda asked: Reply(200, body)
    with pytest.raises(ServiceError, match=r"sciscript\.json"):
        await got(client.casjobs.contexts())


async def test_rows_that_are_something_else(client: Any, recorder: Recorder) -> None:
    recorder.default = lambda asked: Reply(200, b"<html> this is a page of another program </html>")
    with pytest.raises(ServiceError, match="no Arrow stream"):
        await got(client.casjobs.query("select 1"))


async def test_nobody_listens(new_client: NewClient) -> None:
    client: Any = new_client(settings_for(f"http://127.0.0.1:{free_port()}"), token=TOKEN, retries=1)
    with pytest.raises(ServiceUnavailableError, match=r"cannot be reached.*sciscript\.json.*running"):
        await got(client.casjobs.contexts())
    client = new_client(settings_for("http://no-such-machine.invalid"), token=TOKEN, retries=0)
    with pytest.raises(ServiceUnavailableError, match=r"no-such-machine\.invalid:80 cannot be reached"):
        await got(client.casjobs.contexts())


async def test_a_certificate_that_is_none(new_client: NewClient, recorder: Recorder) -> None:
    """The other side speaks no TLS."""
    client: Any = new_client(settings_for(recorder.url.replace("http:", "https:")), token=TOKEN, retries=0)
    with pytest.raises(ServiceUnavailableError):
        await got(client.casjobs.contexts())
    assert not recorder.asked


async def test_silence(new_client: NewClient, recorder: Recorder) -> None:
    recorder.default = lambda asked: Reply(200, b"[]", pause=20)
    client: Any = new_client(settings_for(recorder.url), token=TOKEN, timeout=0.3)
    with pytest.raises(ServiceUnavailableError, match=r"has sent nothing for 0\.3 s"):
        await got(client.casjobs.contexts())


async def test_a_server_that_takes_connections_and_says_nothing(new_client: NewClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client: Any = new_client(settings_for(f"http://127.0.0.1:{server.getsockname()[1]}"), token=TOKEN, timeout=0.2)
        with pytest.raises(ServiceUnavailableError, match="nothing"):
            await got(client.casjobs.contexts())


# -- secrets


def shown(error: BaseException) -> list[str]:
    """Variables of all frames but this file's, as IPython's ``%xmode Verbose`` prints them."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = []
    while found is not None:
        frames += [frame for frame in found.stack if frame.filename != __file__]
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)  # type: ignore[assignment]
    assert frames
    return [str(frame.locals) for frame in frames]


async def test_the_token_is_nowhere(
    new_client: NewClient, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in what objects show, nor in errors with all their variables, nor in logs of the HTTP library."""
    caplog.set_level(logging.DEBUG)
    tokens.remember(TOKEN)
    client: Any = new_client(settings_for(recorder.url), retries=1)
    texts = [repr(client), repr(vars(client)), repr(client.driver.policy), repr(vars(client.driver))]
    failures = [
        Reply(401, b"no"),
        Reply(500, b"no"),
        Reply(302, b"", {"Location": "/"}),
        Reply(200, b"no JSON"),
        Reply(200, b"x", promised=100),
        Reply(is_dropped=True),
        Reply(is_dropped=True),
    ]
    calls = [lambda: client.casjobs.contexts(), lambda: client.login("ada", PASSWORD)]
    for call in calls:
        recorder.answers = list(failures)
        while recorder.answers:
            with contextlib.suppress(ServiceError):
                try:
                    await got(call())
                except ServiceError as error:
                    texts += [str(error), repr(error), repr(vars(error)), *shown(error)]
                    raise
    recorder.answers = [Reply(200, TOKEN.encode(), {"X-Subject-Token": TOKEN})]
    await got(client.login("ada", PASSWORD))
    recorder.answers = [of_json({"url": recorder.url + "/media/a-secret-link/x", "expires": None}), of_json([])]
    await got(client.scidrive.link("x"))
    for text in (*texts, caplog.text):
        assert TOKEN not in text
        assert PASSWORD not in text
    assert "HTTP Request" in caplog.text
    assert "receive_response_headers" in caplog.text


async def test_no_token_where_none_belongs(client: Any, recorder: Recorder) -> None:
    recorder.answers = [Reply(200, b"new", {"X-Subject-Token": "new"}), of_json([])]
    await got(client.login("ada", "secret"))
    assert "X-Auth-Token" not in recorder.last.headers
    assert recorder.last.headers["Content-Type"] == "application/json"
    assert b'"password": {"user": {"name": "ada", "password": "secret"}}' in recorder.last.body
    await got(client.casjobs.contexts())
    assert recorder.last.headers["X-Auth-Token"] == "new"


async def test_a_sign_in_without_a_token(client: Any, recorder: Recorder) -> None:
    with pytest.raises(ServiceError, match="AuthenticationURL"):
        await got(client.login("ada", "secret"))
    recorder.default = lambda asked: Reply(401, b"no")
    with pytest.raises(NotSignedInError, match="user name or the password is wrong"):
        await got(client.login("ada", "secret"))


def test_time_does_not_stand_still_between_tries() -> None:
    """The pauses grow, and no two clients come back at the same time."""
    policy = Policy(settings_for("http://127.0.0.1"), None, 10, 5)
    request = Request("GET", "http://127.0.0.1", is_repeatable=True)
    pauses = [[policy.pause(request, attempt, httpx.ReadError("")) or 0 for _ in range(50)] for attempt in range(5)]
    assert all(max(before) < min(after) for before, after in itertools.pairwise(pauses))
    assert all(len(set(each)) > 1 for each in pauses)
    assert policy.pause(request, 5, httpx.ReadError("")) is None
