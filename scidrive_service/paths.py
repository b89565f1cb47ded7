"""Paths inside a volume: tuples of names, as the doors' handlers take them out of addresses."""

from __future__ import annotations

import functools
import os
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from scidrive_service.errors import FileError, Kind

Path = tuple[str, ...]
"""Names from the root of a volume down; ``()`` is the root itself.

A name is text as `os.fsdecode` makes it: a name that is not UTF-8 (a container can make one) has surrogate escapes,
and goes back to the same bytes.
"""

LONGEST_NAME = 255
"""Bytes of one name, on all file systems of Linux that matter."""

LONGEST_PATH = 4000
"""Bytes of a path, a little less than the kernel's PATH_MAX."""

_PLAIN = re.compile(r"/*[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}(/+[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254})*/*")
"""Nearly all paths: no name in them needs to be looked at by itself."""

HIDDEN = ".~sciserver-"
"""Names of our own temporary files begin so, where the file system has no files without a name. Nobody sees them, and
nobody may give such a name."""


def parse(text: str, *, encoded: bool = False) -> Path:
    """A path of an address: empty names are left out, so that double slashes do not matter (contract §0).

    Parameters
    ----------
    encoded
        The text is percent-encoded, as it stands in the address.

    Raises
    ------
    FileError
        NAME: it has ``.`` or ``..``, a NUL, a name that is too long, or one of ours.
    """
    if encoded:
        text = os.fsdecode(unquote_to_bytes(text))
    path = tuple(name for name in text.split("/") if name)
    if len(text) <= LONGEST_PATH and _PLAIN.fullmatch(text):
        return path
    for name in path:
        check(name)
    if sum(len(os.fsencode(name)) + 1 for name in path) > LONGEST_PATH:
        raise FileError(f"The path is longer than {LONGEST_PATH} bytes.", Kind.NAME)
    return path


@functools.lru_cache(4096)
def check(name: str) -> None:
    """Raise FileError if a name cannot be one."""
    try:
        data = os.fsencode(name)
    except UnicodeEncodeError as error:  # half of a surrogate pair, from JSON
        raise FileError("A name in the path is not Unicode text.", Kind.NAME) from error
    if name in {".", ".."}:
        raise FileError("A path may not have the names . and .. in it: give it from the volume's root.", Kind.NAME)
    if b"\x00" in data or b"/" in data or not data:
        raise FileError("A name may be neither empty nor have a slash or a zero byte in it.", Kind.NAME)
    if len(data) > LONGEST_NAME:
        raise FileError(
            f"{shown((name[:40],))}…: a name may have {LONGEST_NAME} bytes at most, this one has {len(data)}.",
            Kind.NAME,
        )
    if name.startswith(HIDDEN):
        raise FileError(f"Names that begin with {HIDDEN} are the service's own: choose another one.", Kind.NAME)


def encoded(path: Path) -> str:
    """The opposite of ``parse(…, encoded=True)``: for addresses."""
    return "/".join(map(_quoted, path))


@functools.lru_cache(4096)
def _quoted(name: str) -> str:
    return quote_from_bytes(os.fsencode(name))


def shown(path: Path) -> str:
    """For people: what is not text of one line is replaced."""
    text = "/".join(path) or "The volume's folder"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
