"""Failures of a start, told to the person who waits for it: what happened and what to do."""

from __future__ import annotations

from html import escape

from docker.errors import APIError, ImageNotFound
from jupyterhub.spawner import SpawnException

from sciserver_spawner.engine import UNREACHABLE

REASONS = ("capacity", "image", "node", "server", "timeout", "volume", "option")
"""Every `reason` a start can fail with: a label of the hub's metrics, so the list is fixed."""


def failure(message: str, *, reason: str, log_lines: list[str] | None = None, status: int = 500) -> SpawnException:
    """A failed start with a text for people and, where there are some, the container's last log lines."""
    assert reason in REASONS  # noqa: S101 - a programming error, not a user's
    html = f"<p>{escape(message)}</p>"
    if log_lines:
        html += (
            '<p>The last lines that the server wrote:</p><pre class="sciserver-log">'
            + escape("\n".join(log_lines))
            + "</pre>"
        )
    # The log keeps the lines as well: the page is gone at the next attempt.
    log_message = "\n".join([message, *(log_lines or [])])
    error = SpawnException(message, reason=reason, message_html=html, log_message=log_message, status_code=status)
    # The page that shows the progress knows only these names (JupyterHub 6.1); without them it shows the log's text.
    error.jupyterhub_message, error.jupyterhub_html_message = message, html
    return error


def from_engine(error: Exception) -> SpawnException:
    """What an engine's error means for the person who started a server."""
    if isinstance(error, UNREACHABLE):
        return failure(
            "The Docker Engine that runs the notebooks does not answer. Your files are safe. Try again in a minute; "
            "if it stays so, tell the operator to run `sciserver doctor`.",
            reason="node",
            status=503,
        )
    if isinstance(error, ImageNotFound):
        return failure(
            "The image of this server is not on the machine. Choose another image, or ask the operator to run "
            "`sciserver image build`.",
            reason="image",
        )
    text = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    if "no space left" in str(text).lower():
        return failure(
            "The disk of the machine that runs the notebooks is full, so no server can start. Tell the operator.",
            reason="capacity",
            status=507,
        )
    return failure(f"The Docker Engine refused to start the server: {text}", reason="node")
