"""What a file's content is called, how a browser may treat it, and whether it arrived whole.

Nothing that somebody has uploaded may run in our origin: types that browsers run are not named, and every answer is
sandboxed. See `HEADERS`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

from scidrive_service.tree import Entry, Writer
from sciserver_common.requests import Problem

HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""Of every answer with a file's content."""

OCTETS = "application/octet-stream"

_TYPES = mimetypes.MimeTypes(())
for _type, _extensions in {
    "application/fits": ".fits .fit .fts",
    "application/x-votable+xml": ".vot .votable",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-hdf5": ".h5 .hdf5",
    "application/x-ipynb+json": ".ipynb",
    "application/gzip": ".gz .tgz",
    "application/zstd": ".zst",
    "text/plain": ".log .md .py .r .sql .yaml .yml .toml",
    "image/webp": ".webp",
}.items():
    for _extension in _extensions.split():
        _TYPES.add_type(_type, _extension)

_NAMED = {
    "application/fits",
    "application/gzip",
    "application/json",
    "application/pdf",
    "application/vnd.apache.parquet",
    "application/x-hdf5",
    "application/x-ipynb+json",
    "application/x-tar",
    "application/x-votable+xml",
    "application/zip",
    "application/zstd",
    "audio/mpeg",
    "audio/x-wav",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
    "text/csv",
    "text/plain",
    "text/tab-separated-values",
    "video/mp4",
    "video/webm",
}
"""Types that no browser runs. All others are mere bytes."""

INLINE = {"image/gif", "image/jpeg", "image/png", "image/webp", "text/plain"}
"""What a browser may show by itself. Not PDF, which browsers refuse to show in a sandbox."""

_TABLES = {"application/fits", "application/vnd.apache.parquet", "application/x-votable+xml", "text/csv"}


def media_type(name: str) -> str:
    """MIME type of a file by its name, without parameters."""
    guessed, encoding = _TYPES.guess_type(f"file:{quote_from_bytes(os.fsencode(name), safe='')}", strict=True)
    if encoding is not None:
        guessed = {"gzip": "application/gzip"}.get(encoding, OCTETS)
    return guessed if guessed in _NAMED else OCTETS


def is_table(name: str) -> bool:
    """Whether a file is one of data in columns."""
    return media_type(name) in _TABLES


def content_type(name: str) -> str:
    """``Content-Type`` of a file."""
    guessed = media_type(name)
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


def disposition(name: str) -> str:
    """``Content-Disposition`` (RFC 6266): to be kept, but for what a browser may show.

    The name goes twice: as ASCII for old clients, and whole (RFC 8187). A name may have any byte, so nothing of it is
    written as it is but letters, digits and a few signs.
    """
    kind = "inline" if media_type(name) in INLINE else "attachment"
    plain = re.sub(r"[^A-Za-z0-9 ._()+,=@~-]", "_", name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    try:
        text = name.encode()
    except UnicodeEncodeError:
        # A name that is not text: RFC 8187 knows none.
        text = name.encode(errors="replace")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote_from_bytes(text, safe='')}"


# -- digests

_ALGORITHMS = {"md5": "md5", "sha": "sha1", "sha-1": "sha1", "sha-256": "sha256", "sha-512": "sha512"}


@dataclass
class Digest:
    """What the content of an upload must come to, and what has come so far."""

    name: str
    wanted: bytes
    state: Any


class CheckedWriter:
    """A writer whose file appears only if its content is what was promised."""

    def __init__(self, writer: Writer, digests: list[Digest]) -> None:
        self._writer, self._digests = writer, digests

    def write(self, data: bytes | memoryview) -> None:
        for digest in self._digests:
            digest.state.update(data)
        self._writer.write(data)

    def commit(self) -> Entry:
        """Raises Problem 400 if the content is another one."""
        for digest in self._digests:
            if digest.state.digest() != digest.wanted:
                self._writer.abort()
                raise Problem(400, f"The content does not have the {digest.name} digest that was sent with it.")
        return self._writer.commit()

    def abort(self) -> None:
        self._writer.abort()


def digests(headers: Mapping[str, str]) -> list[Digest]:
    """What an upload's ``Content-MD5``, ``Digest``, ``Content-Digest`` and ``Repr-Digest`` promise.

    Algorithms that we do not know are left out, as the RFCs 3230 and 9530 want.

    Raises
    ------
    Problem
        400: a promise cannot be read.
    """
    found = [("md5", value) for value in [headers.get("Content-MD5")] if value is not None]
    for header in ("Digest", "Content-Digest", "Repr-Digest"):
        for item in headers.get(header, "").split(","):
            algorithm, equals, value = item.strip().partition("=")
            if equals:
                # RFC 9530 has colons around what RFC 3230 writes bare.
                found.append((algorithm.strip().lower(), value.strip().removeprefix(":").removesuffix(":")))
    result = []
    for algorithm, value in found:
        if algorithm not in _ALGORITHMS:
            continue
        state = hashlib.new(_ALGORITHMS[algorithm], usedforsecurity=False)
        try:
            wanted = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            wanted = b""
        if len(wanted) != state.digest_size:
            raise Problem(400, f"The {algorithm} digest is not {state.digest_size} bytes in base64.")
        result.append(Digest(algorithm, wanted, state))
    return result


def repr_digest(etag: str) -> str | None:
    """``Repr-Digest`` (RFC 9530) of a file whose entity tag is the digest of its content."""
    if not etag.startswith("sha256-"):
        return None
    return f"sha-256=:{base64.b64encode(bytes.fromhex(etag[7:])).decode()}:"
