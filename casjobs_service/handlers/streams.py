"""Results on their way to the client: the answer begins with the first rows, and ends with the last."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

from casjobs_service import negotiate
from casjobs_service.handlers.base import Handler
from casjobs_service.results import FORMATS

WITHOUT_PARAMETERS = {"text/plain": "text/plain; charset=utf-8"}
"""``Content-Type`` where a client has asked for a format by a media type that is not the format's own."""


def output(handler: Handler, form: negotiate.Form) -> dict[str, Any]:
    """What a worker is told of the form that a client wants."""
    return {
        "format": form.format,
        "compression": negotiate.encoding(handler.request.headers.get("Accept-Encoding"), form.format),
        "result": handler.number("result", 0, lowest=0, highest=10_000) or None,
    }


async def send(
    handler: Handler, events: AsyncGenerator[dict[str, Any] | bytes, None], form: negotiate.Form, name: str
) -> None:
    """Send what a worker writes.

    Parameters
    ----------
    events
        A worker's. It is closed in every case, also when the client has gone.
    name
        Of the file in which a browser keeps it, without extension.

    Raises
    ------
    QueryError
        Before the first byte, so that the answer can have a status; after it, the connection is closed.
    """
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, bytes):
                handler.write(event)
                # Waits for a slow client: the worker writes no faster than this is read.
                await handler.flush()
            elif event["event"] == "begin":
                _headers(handler, form, event.get("encoding", "identity"), name)
            elif event["event"] == "queued":
                address = f"{handler.parts.public_url}/RestApi/jobs/{event['job']}"
                handler.set_header("Location", address)
                handler.answer({"JobID": event["job"], "Status": 0, "Location": address}, 202)
                return
    await handler.finish()


def _headers(handler: Handler, form: negotiate.Form, encoding: str, name: str) -> None:
    writer = FORMATS[form.format]
    own = writer.media_type.partition(";")[0].strip().lower() == form.media_type
    handler.set_header(
        "Content-Type", writer.media_type if own else WITHOUT_PARAMETERS.get(form.media_type, form.media_type)
    )
    if encoding != "identity":
        handler.set_header("Content-Encoding", encoding)
    handler.set_header("Vary", "Accept, Accept-Encoding")
    file = f"{name}.{writer.extension}"
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in file)
    extended = "" if plain == file else f"; filename*=UTF-8''{quote(file, safe='')}"
    handler.set_header("Content-Disposition", f'attachment; filename="{plain}"{extended}')
