"""The few requests to an object store that `objects` is made of, and what their errors mean.

s3fs keeps the connections and finds credentials; its own view of folders and its caches are not used: they guess, and
they show what was.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import botocore.exceptions
import s3fs
from fsspec.asyn import sync

from scidrive_service.errors import FileError, Kind

_CONFIG = {
    "connect_timeout": 5,
    "read_timeout": 60,
    "max_pool_connections": 64,
    "retries": {"max_attempts": 2},
    # Newer checksums by default would be refused by stores that are a few years old; ours are below.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}

_AT_ONCE = 32
"""Requests at the same time where there are many."""

_sending = threading.BoundedSemaphore(8)
"""What is sent is in memory twice, and more at a time are not faster."""

_LARGEST_COPY = 5 << 30
"""Bytes that the store copies in one request; S3's own limit."""

_CODES = {
    "NoSuchKey": Kind.MISSING,
    "NoSuchVersion": Kind.MISSING,
    "404": Kind.MISSING,
    "PreconditionFailed": Kind.CHANGED,
    "ConditionalRequestConflict": Kind.CHANGED,
    "412": Kind.CHANGED,
    "KeyTooLongError": Kind.NAME,
    "NoSuchUpload": Kind.UNAVAILABLE,
    "EntityTooLarge": Kind.TOO_LARGE,
    "QuotaExceeded": Kind.FULL,
    "InsufficientStorage": Kind.FULL,
    "InsufficientCapacity": Kind.FULL,
    "XMinioStorageFull": Kind.FULL,
}

_TEXTS = {
    Kind.MISSING: "It does not exist, or not any more. Look at what its folder has.",
    Kind.CHANGED: "Somebody else has changed the file meanwhile. Look at it, and try again.",
    Kind.NAME: "The path is too long for the storage. Choose shorter names.",
    Kind.TOO_LARGE: "The file is larger than the storage can keep. Split it.",
    Kind.FULL: "The storage is full. Remove files that you no longer need, or ask the operator for more.",
    Kind.UNAVAILABLE: "The storage does not answer. Try again; if it stays so, tell the operator.",
}

_REFUSED = "The storage refuses the service (its credentials, or its bucket). Tell the operator."


@dataclass(frozen=True, slots=True)
class Found:
    """An object, or (a key that ends in a slash, without an etag) keys that have that prefix in common."""

    key: str
    size: int = 0
    modified: float = 0.0
    etag: str = ""
    version: str | None = None


_stores: dict[str, s3fs.S3FileSystem] = {}


def _connected(options: dict[str, Any]) -> s3fs.S3FileSystem:
    """One set of connections for each store; fsspec's own cache has one for each thread as well."""
    name = repr(sorted(options.items()))
    files = _stores.get(name)
    if files is None:
        config = {**_CONFIG, **options.get("config_kwargs", {})}
        others = {**options, "config_kwargs": config, "use_listings_cache": False, "skip_instance_cache": True}
        files = s3fs.S3FileSystem(**others)
        files.retries = 2  # botocore tries again itself
        files = _stores.setdefault(name, files)
    return files


class Store:
    """A bucket. Use it from threads; `told` explains the errors."""

    def __init__(self, bucket: str, options: dict[str, Any]) -> None:
        self._bucket = bucket
        self._files = _connected(options)
        self.largest_copy = _LARGEST_COPY

    def head(self, key: str) -> Found | None:
        try:
            with told():
                answer = self._call("head_object", Key=key)
        except FileError as error:
            if error.kind is Kind.MISSING:
                return None
            raise
        version = answer.get("VersionId")
        return Found(
            key,
            answer["ContentLength"],
            _time(answer["LastModified"]),
            answer["ETag"].strip('"'),
            None if version == "null" else version,
        )

    def first(self, prefix: str) -> Found | None:
        """The first object with a prefix, in order of keys: the folder's own, if it has one."""
        return self.firsts([prefix])[0]

    def firsts(self, prefixes: Sequence[str]) -> list[Found | None]:
        """The same for several, at once."""

        async def one(prefix: str) -> Found | None:
            async with places:
                answer = await self._files._call_s3(
                    "list_objects_v2", Bucket=self._bucket, Prefix=prefix, MaxKeys=1, FetchOwner=False
                )
            return next(map(_found, answer.get("Contents", ())), None)

        async def all_of_them() -> list[Found | None]:
            return await asyncio.gather(*map(one, prefixes))

        places = asyncio.Semaphore(_AT_ONCE)
        with told():
            return sync(self._files.loop, all_of_them)

    def each(self, prefix: str, delimiter: str = "") -> Iterator[Found]:
        """Objects, page by page and in order of keys; with a delimiter then also common prefixes."""
        more: dict[str, Any] = {}
        while True:
            with told():
                answer = self._call("list_objects_v2", Prefix=prefix, Delimiter=delimiter, **more)
            yield from map(_found, answer.get("Contents", ()))
            yield from (Found(common["Prefix"]) for common in answer.get("CommonPrefixes", ()))
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def stream(self, found: Found, offset: int) -> Stream:
        """The content from an offset on, of exactly what was found."""
        version = {"VersionId": found.version} if found.version else {}
        with told():
            answer = self._call(
                "get_object", Key=found.key, Range=f"bytes={offset}-", IfMatch=f'"{found.etag}"', **version
            )
        return Stream(self._files.loop, answer["Body"])

    def put(self, key: str, data: bytes | bytearray, **conditions: str) -> None:
        """Make or replace an object, whole."""
        with _sending, told():
            self._call("put_object", Key=key, Body=data, ContentMD5=_md5(data), **conditions)

    def begin(self, key: str) -> str:
        """Begin an upload in parts; its id."""
        with told():
            return str(self._call("create_multipart_upload", Key=key)["UploadId"])

    def put_part(self, key: str, upload: str, number: int, data: bytearray) -> dict[str, Any]:
        """Send a part; what `finish` has to know of it."""
        with _sending, told():
            answer = self._call(
                "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=data, ContentMD5=_md5(data)
            )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def finish(self, key: str, upload: str, parts: list[dict[str, Any]], **conditions: str) -> None:
        """Make an object of its parts."""
        with told():
            self._call(
                "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **conditions
            )

    def drop(self, key: str, upload: str) -> None:
        """Forget an upload and its parts."""
        with told():
            self._call("abort_multipart_upload", Key=key, UploadId=upload)

    def copy(self, found: Found, key: str) -> None:
        """Copy on the server."""
        source = {"Bucket": self._bucket, "Key": found.key}
        if found.size <= self.largest_copy:
            with told():
                self._call("copy_object", Key=key, CopySource=source, CopySourceIfMatch=f'"{found.etag}"')
            return
        upload = self.begin(key)
        try:
            parts = []
            for number, begin in enumerate(range(0, found.size, self.largest_copy), 1):
                end = min(begin + self.largest_copy, found.size) - 1
                with told():
                    answer = self._call(
                        "upload_part_copy",
                        Key=key,
                        UploadId=upload,
                        PartNumber=number,
                        CopySource=source,
                        CopySourceRange=f"bytes={begin}-{end}",
                        CopySourceIfMatch=f'"{found.etag}"',
                    )
                parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
            self.finish(key, upload, parts)
        except BaseException:
            self.drop(key, upload)
            raise

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, in no order; those that are gone already do no harm."""
        # Not delete_objects: stores disagree on the checksum that it needs.

        async def one(key: str) -> None:
            async with places:
                await self._files._call_s3("delete_object", Bucket=self._bucket, Key=key)

        async def all_of_them() -> None:
            await asyncio.gather(*map(one, keys))

        places = asyncio.Semaphore(_AT_ONCE)
        with told():
            sync(self._files.loop, all_of_them)

    def sweep(self, prefix: str, seconds: float) -> int:
        """Drop uploads in parts that began so long ago; how many there were."""
        before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
        count = 0
        more: dict[str, Any] = {}
        while True:
            with told():
                answer = self._call("list_multipart_uploads", Prefix=prefix, **more)
            for upload in answer.get("Uploads", ()):
                if upload["Initiated"] < before:
                    self.drop(upload["Key"], upload["UploadId"])
                    count += 1
            if not answer.get("IsTruncated"):
                return count
            more = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._files.call_s3(method, Bucket=self._bucket, **arguments)


class Stream:
    """The body of an answer, read in pieces: what is not asked for stays with the store."""

    def __init__(self, loop: asyncio.AbstractEventLoop, body: Any) -> None:
        self._loop = loop
        self._body = body

    def take(self, length: int) -> bytes:
        """So many bytes.

        Raises
        ------
        FileError
            UNAVAILABLE: it ends too early.
        """

        async def take() -> bytes:
            pieces = []
            rest = length
            while rest and (piece := await self._body.read(rest)):
                pieces.append(piece)
                rest -= len(piece)
            if rest:
                raise aiohttp.ClientPayloadError("too short")
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

        with told():
            return bytes(sync(self._loop, take))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._body.close)


@contextmanager
def told() -> Iterator[None]:
    """Turn the store's errors into the user's."""
    try:
        yield
    except (OSError, botocore.exceptions.BotoCoreError, aiohttp.ClientError, TimeoutError) as error:
        code = _code(error)
        if code is None:
            kind, text = Kind.UNAVAILABLE, _TEXTS[Kind.UNAVAILABLE]
        elif code in _CODES:
            kind = _CODES[code]
            text = _TEXTS[kind]
        else:
            kind, text = Kind.UNAVAILABLE, _TEXTS[Kind.UNAVAILABLE] if code.startswith("5") else _REFUSED
        raise FileError(text, kind) from error


def _code(error: BaseException) -> str | None:
    """The code of the store's answer; None if there was none, or one that only tells of its own troubles."""
    cause = error if isinstance(error, botocore.exceptions.ClientError) else error.__cause__
    if not isinstance(cause, botocore.exceptions.ClientError):
        return None
    status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 507:
        return "InsufficientStorage"
    code = str(cause.response.get("Error", {}).get("Code", ""))
    return None if status >= 500 and code not in _CODES else code


def _found(listed: dict[str, Any]) -> Found:
    return Found(listed["Key"], listed["Size"], _time(listed["LastModified"]), listed["ETag"].strip('"'))


def _time(when: datetime.datetime) -> float:
    """Whole seconds: some answers have no more, and the time of a file must not depend on who asks."""
    return float(int(when.timestamp()))


def _md5(data: bytes | bytearray) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
