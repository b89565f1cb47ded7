"""Every failure tells the user what happened and what to do, and tells nobody a secret."""

import pytest
import requests
from docker.errors import APIError, ImageNotFound
from jupyterhub.spawner import SpawnException
from jupyterhub.utils import format_exception

from sciserver_spawner.errors import REASONS, failure, from_engine


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_is_a_label_of_the_metrics(reason):
    error = failure("It failed.", reason=reason)
    assert isinstance(error, SpawnException)
    assert (error.reason, error.message, error.status_code) == (reason, "It failed.", 500)


def test_a_reason_that_is_not_on_the_list_is_a_programming_error():
    # Each new label is a new time series for ever.
    with pytest.raises(AssertionError):
        failure("It failed.", reason="user ada")


def test_the_page_shows_the_last_lines_of_the_log_as_text():
    error = failure("a < b", reason="server", log_lines=["<script>alert('x')</script>", "100% & done"])
    assert "<p>a &lt; b</p>" in error.message_html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;\n100% &amp; done</pre>" in error.message_html
    assert "<script>" not in error.message_html


def test_the_hubs_log_keeps_the_lines_also_with_percent_signs():
    # Percent signs are formats to `logging` and to tornado.
    error = failure("It ended.", reason="server", log_lines=["100% done %s %d"])
    assert error.get_message() == "It ended.\n100% done %s %d"
    assert "100% done %s %d" in str(error)


def test_the_progress_page_gets_the_users_text_not_the_logs():
    # That page and the error page ask for different attributes.
    error = failure("It ended.", reason="server", log_lines=["line"])
    assert format_exception(error) == ("It ended.", error.message_html)


def test_without_lines_there_is_no_empty_box():
    assert "<pre" not in failure("It failed.", reason="server", log_lines=[]).message_html


def api_error(status, explanation):
    response = requests.Response()
    response.status_code = status
    return APIError("engine", response=response, explanation=explanation)


@pytest.mark.parametrize(
    ("error", "reason", "status", "said"),
    [
        (requests.exceptions.ConnectionError("refused"), "node", 503, "sciserver doctor"),
        (requests.exceptions.ReadTimeout("slow"), "node", 503, "Your files are safe"),
        (ConnectionError("first contact"), "node", 503, "does not answer"),
        (TimeoutError(), "node", 503, "does not answer"),
        (ImageNotFound("no such image"), "image", 500, "sciserver image build"),
        (api_error(500, "mkdir /var/lib/docker: no space left on device"), "capacity", 507, "Tell the operator"),
        (api_error(500, "No Space Left On Device"), "capacity", 507, "disk"),
        (api_error(500, "driver failed"), "node", 500, "driver failed"),
        (api_error(400, ""), "node", 500, "400 Client Error"),
    ],
)
def test_an_engines_error_becomes_advice(error, reason, status, said):
    failed = from_engine(error)
    assert (failed.reason, failed.status_code) == (reason, status)
    assert said in failed.message


def test_an_engines_words_are_text_on_the_page():
    assert "<b>" not in from_engine(api_error(500, "<b>bold</b>")).message_html
