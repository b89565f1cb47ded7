"""Errors as clients get them: what the storage refuses, and what a request says wrongly."""

from __future__ import annotations

from typing import Any

from scidrive_service.errors import FileError
from sciserver_common.requests import Problem, error_text

__all__ = ["Problem", "text_of"]


def text_of(error: BaseException | None, status: int) -> str:
    """What an error says to the client; valid UTF-8 whatever name is in it."""
    text = str(error) if isinstance(error, FileError) else error_text(error, status)
    return text.encode(errors="replace").decode()


def dropbox(text: str) -> dict[str, Any]:
    """As the Dropbox-style part of SciDrive writes it (contract §4.7)."""
    return {"error": text}


def plain(text: str) -> dict[str, Any]:
    """As the file service and all else write it."""
    return {"status": "error", "error": text}
