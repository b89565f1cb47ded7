"""Errors that users may see."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What went wrong, for programs; `STATUS` has the HTTP status."""

    NAME = "name"
    """A path that cannot be one: a name that is too long, ``..``, a zero byte."""
    FORBIDDEN = "forbidden"
    """It exists, and this person may not do it."""
    UNSAFE = "unsafe"
    """A link that leads out of the volume, a device, a pipe: never served."""
    MISSING = "missing"
    EXISTS = "exists"
    """Something of that name is there, and was not to be replaced."""
    NOT_A_FOLDER = "not a folder"
    """A file where a folder is needed, or the other way round."""
    CHANGED = "changed"
    """The file is not the one that the request speaks of (``If-Match`` and the like)."""
    TOO_LARGE = "too large"
    RANGE = "range"
    """No such part of the file."""
    FULL = "full"
    """A quota or the disk is full."""
    UNAVAILABLE = "unavailable"
    """The storage does not answer; trying again may help."""


STATUS = {
    Kind.NAME: 400,
    Kind.FORBIDDEN: 403,
    Kind.UNSAFE: 403,
    Kind.MISSING: 404,
    Kind.EXISTS: 409,
    Kind.NOT_A_FOLDER: 409,
    Kind.CHANGED: 412,
    Kind.TOO_LARGE: 413,
    Kind.RANGE: 416,
    Kind.FULL: 507,
    Kind.UNAVAILABLE: 503,
}
"""HTTP status of each kind, at every door."""


@dataclass
class FileError(Exception):
    """What a request wanted of files cannot be done; the text says what to do.

    Attributes
    ----------
    message
        One or two sentences, without paths of this machine or tracebacks.
    kind
        For programs.
    """

    message: str
    kind: Kind

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUS[self.kind]
