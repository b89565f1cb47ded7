"""Files and folders as Jupyter's contents interface describes them."""

from __future__ import annotations

import base64
import binascii
import datetime
import mimetypes
from http import HTTPStatus
from typing import Any

import nbformat
from SciServer.server.problems import Problem

from jupyter_scidrive.drive import Entry

Model = dict[str, Any]


def kind_of(entry: Entry, wanted: str | None) -> str:
    """``directory``, ``notebook`` or ``file``.

    Parameters
    ----------
    wanted
        What the client takes it for.

    Raises
    ------
    Problem
        400: it is something else.
    """
    if entry.is_folder:
        if wanted not in (None, "directory"):
            raise _refused(f"{entry.path} is a folder, not a {wanted}.")
        return "directory"
    if wanted == "directory":
        raise _refused(f"{entry.path} is a file, not a folder.")
    return wanted or ("notebook" if entry.name.endswith(".ipynb") else "file")


def bare(entry: Entry, kind: str) -> Model:
    """The model without content."""
    model = {
        "name": entry.name,
        "path": entry.path,
        "type": kind,
        # The service does not tell when something was made.
        "created": entry.modified,
        "last_modified": entry.modified,
        "size": None if entry.is_folder else entry.size,
        "writable": True,
        "mimetype": mimetypes.guess_type(entry.name)[0] if kind == "file" else None,
        "content": None,
        "format": None,
        "hash": None,
        "hash_algorithm": None,
    }
    if entry.tag and not entry.is_folder:
        algorithm, separator, digest = entry.tag.partition("-")
        is_digest = bool(separator) and algorithm == "sha256"
        model["hash"] = digest if is_digest else entry.tag
        model["hash_algorithm"] = "sha256" if is_digest else "etag"
    return model


def with_text(model: Model, data: bytes, wanted: str | None) -> Model:
    """The model of a file with its content.

    Parameters
    ----------
    wanted
        ``text``, ``base64``, or None: text if it is UTF-8.
    """
    if wanted != "base64":
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            if wanted == "text":
                raise _refused(f"{model['path']} is not UTF-8 text.") from error
        else:
            return model | {"content": text, "format": "text", "mimetype": model["mimetype"] or "text/plain"}
    encoded = base64.b64encode(data).decode()
    mimetype = model["mimetype"] or "application/octet-stream"
    return model | {"content": encoded, "format": "base64", "mimetype": mimetype}


def notebook(data: bytes, path: str, problems: dict[str, Any]) -> nbformat.NotebookNode:
    """A notebook out of a file; what is invalid in it comes into `problems`.

    Raises
    ------
    Problem
        400: it is none.
    """
    try:
        return nbformat.reads(data.decode(), as_version=4, capture_validation_error=problems)
    except Exception as error:
        # nbformat lets all kinds of exceptions through for what is no notebook.
        raise _refused(f"{path} is not a notebook that can be read: {error}") from error


def node(model: Model) -> nbformat.NotebookNode:
    """The notebook that a client sends. Raises Problem 400 if it is none."""
    content = model["content"]
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) and "cell_type" in cell for cell in cells):
        raise _refused("The content is not a notebook.")
    return nbformat.from_dict(content)


def data_of(model: Model, problems: dict[str, Any]) -> bytes:
    """What a file or notebook that the client sends has in it; what is invalid in it comes into `problems`.

    Raises
    ------
    Problem
        400: it cannot be understood.
    """
    if model["type"] == "notebook":
        try:
            text = nbformat.writes(node(model), version=nbformat.NO_CONVERT, capture_validation_error=problems)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _refused(f"The notebook cannot be saved: {error}") from error
        return f"{text}\n".encode()
    content, form = str(model["content"]), model.get("format")
    try:
        if form == "text":
            return content.encode()
        if form == "base64":
            return base64.b64decode(content.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _refused(f"The content is not {form}.") from error
    raise _refused("The format of the content must be text or base64.")


def coming(path: str) -> Entry:
    """A file of which not all pieces have come."""
    return Entry(path, False, 0, datetime.datetime.now(datetime.UTC))


def _refused(text: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, text, "contents")
