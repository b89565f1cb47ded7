"""Files in a bucket of an object store that speaks S3.

A folder is an object of no bytes whose key ends in a slash. Folders that other programs have made without, by their
files alone, are seen as well, and get theirs before their last file is removed.

An object store has no renaming: a move copies on the server and removes then. If the process is killed in between,
there are both, and nothing is lost. It cannot keep what is being read either, unless the bucket has versions: a reader
whose file is replaced ends with CHANGED, and never mixes two contents.

The service must be the only one that writes below the prefix at the same time: names are locked in this process. Where
the store knows conditional writes, others are kept off as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from scidrive_service import paths
from scidrive_service.errors import FileError, Kind
from scidrive_service.object_store import Found, Store, Stream
from scidrive_service.object_write import ObjectWriter, locked
from scidrive_service.paths import Path, shown
from scidrive_service.tree import Entry, Reader, Usage, Writer

_LONGEST_KEY = 1024
"""Bytes, of S3."""

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What stores' answers cannot hold."""


def entry(path: Path, found: Found) -> Entry:
    """What the doors show of an object that is a file."""
    return Entry(path, False, found.size, found.modified, found.modified, found.etag)


def folder(path: Path, found: Found | None) -> Entry:
    """What the doors show of a folder; its time is that of the object that stands for it, or of its first one."""
    modified = found.modified if found else 0.0
    return Entry(path, True, 0, modified, modified, "")


class ObjectReader:
    """A file that is read in one stream as long as each read goes on where the last one ended."""

    def __init__(self, store: Store, path: Path, found: Found) -> None:
        self._store = store
        self._found = found
        self._stream: Stream | None = None
        self._position = 0
        self.entry = entry(path, found)

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.entry.size - offset)
        if length <= 0:
            return b""
        try:
            return self._take(offset, length)
        except FileError as error:
            if error.kind is not Kind.UNAVAILABLE:
                raise
        return self._take(offset, length)  # the connection was idle for too long, for one thing: once more

    def _take(self, offset: int, length: int) -> bytes:
        try:
            if self._stream is None or self._position != offset:
                self.close()
                self._stream = self._store.stream(self._found, offset)
            data = self._stream.take(length)
        except FileError:
            self.close()
            raise
        self._position = offset + length
        return data

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class ObjectTree:
    """A `tree.Tree` in a bucket.

    Parameters
    ----------
    url
        ``s3://<bucket>/<prefix>``. The bucket must exist; the prefix may be empty.
    storage_options
        As for `s3fs.S3FileSystem`: ``endpoint_url``, ``key``, ``secret``, ``client_kwargs``, and so on.

    Notes
    -----
    Names must be UTF-8, and a path with the prefix may have 1024 bytes: S3 has no others.
    """

    def __init__(self, url: str, **storage_options: Any) -> None:
        scheme, _, place = url.partition("://")
        bucket, _, prefix = place.partition("/")
        if scheme != "s3" or not bucket:
            raise FileError("The address of an object store is s3://<bucket>/<prefix>. Correct it.", Kind.UNAVAILABLE)
        self._store = Store(bucket, storage_options)
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""

    def stat(self, path: Path) -> Entry:
        if not path:
            return folder((), self._store.head(self._prefix) if self._prefix else None)
        found = self._store.head(self._key(path))
        if found is not None:
            return entry(path, found)
        first = self._store.first(self._below(path))
        if first is None:
            raise _missing(path)
        return folder(path, first)

    def list(self, path: Path) -> list[Entry]:
        below = self._below(path)
        entries: dict[bytes, Entry] = {}
        is_there = not path
        folders = []
        for found in self._store.each(below, "/"):
            is_there = True
            name = found.key[len(below) :]
            if name.endswith("/"):
                if _is_name(name[:-1]):
                    folders.append(found.key)
            elif name and _is_name(name):
                entries[name.encode()] = entry((*path, name), found)
        if not is_there:
            if self._store.head(self._key(path)) is not None:
                raise FileError(f"{shown(path)} is a file and not a folder.", Kind.NOT_A_FOLDER)
            raise _missing(path)
        for key, first in zip(folders, self._store.firsts(folders), strict=True):
            name = key[len(below) : -1]
            if first is not None:  # else it was removed since
                entries.setdefault(name.encode(), folder((*path, name), first))
        return [entries[name] for name in sorted(entries)]

    def open(self, path: Path) -> Reader:
        found = self._store.head(self._key(path)) if path else None
        if found is None:
            self.stat(path)
            raise FileError(f"{shown(path)} is a folder: give the name of a file.", Kind.NOT_A_FOLDER)
        return ObjectReader(self._store, path, found)

    def create(
        self,
        path: Path,
        *,
        overwrite: bool = True,
        parents: bool = True,
        check: Callable[[Entry | None], None] | None = None,
    ) -> Writer:
        """What can be refused without `check` is, as soon as the first part of a large file is sent."""
        self._needs_name(path)

        def prepare(is_last: bool) -> dict[str, str]:
            seen = self._seen(path)
            if is_last and check is not None:
                check(seen)
            if seen is None:
                self._needs_folder(path[:-1], can_make=parents)
                if is_last:
                    self._make(path[:-1])
                return {"IfNoneMatch": "*"} if not overwrite or check is not None else {}
            if seen.is_folder:
                raise FileError(f"{shown(path)} is a folder: give the name of a file.", Kind.NOT_A_FOLDER)
            if not overwrite:
                raise _exists(path)
            # Without the quotes that HTTP wants: older stores compare them too, and AWS takes both.
            return {"IfMatch": seen.etag} if check is not None else {}

        return ObjectWriter(self._store, self._key(path), prepare, lambda: self.stat(path))

    def make_folder(self, path: Path, *, parents: bool = True) -> bool:
        if not path:
            return False
        seen = self._seen(path)
        if seen is not None:
            if not seen.is_folder:
                raise FileError(f"{shown(path)} is a file. Choose another name for the folder.", Kind.EXISTS)
            return False
        self._needs_folder(path[:-1], can_make=parents)
        self._make(path)
        return True

    def _make(self, path: Path) -> None:
        for end in range(len(path), 0, -1):
            if self._store.first(self._below(path[:end])) is not None:
                break
            self._store.put(self._below(path[:end]), b"")

    def remove(self, path: Path) -> None:
        """A folder goes in steps: if the process is killed, a part of it is left, and can be removed."""
        self._needs_name(path)
        seen = self.stat(path)
        self._keep(path[:-1])
        if not seen.is_folder:
            with locked(self._key(path)):
                return self._store.delete([self._key(path)])
        keys = [found.key for found in self._store.each(self._below(path))]
        self._store.delete(keys)

    def move(self, source: Path, target: Path, *, overwrite: bool = True, parents: bool = True) -> Entry:
        """Not in one step, as the module says."""
        self._needs_name(source)
        self._needs_name(target)
        if len(target) > len(source) and target[: len(source)] == source:
            raise FileError(f"{shown(source)} cannot be moved into itself. Choose another folder.", Kind.NAME)
        seen = self.stat(source)
        if source[: len(target)] == target:
            if not overwrite:
                raise _exists(target)
            if source != target:
                raise FileError(f"{shown(source)} cannot replace the folder that it is in.", Kind.NAME)
            return seen
        with locked(self._key(source), self._key(target)):
            there = self._seen(target)
            if there is not None and not overwrite:
                raise _exists(target)
            if there is None:
                self._needs_folder(target[:-1], can_make=parents)
                self._make(target[:-1])
            self._keep(source[:-1])
            copies = self._copies(source, target, seen)
            old = self._keys(target) if there is not None else set()
            for key, found in copies.items():
                self._store.copy(found, key)
            if seen.is_folder:
                self._make(target)
                old.discard(self._below(target))
            self._store.delete(old - copies.keys())
            self._store.delete([found.key for found in copies.values()])
        return self.stat(target)

    def _keys(self, path: Path) -> set[str]:
        """A file, and whatever is below it as if it were a folder."""
        return {self._key(path), *(found.key for found in self._store.each(self._below(path)))}

    def _copies(self, source: Path, target: Path, seen: Entry) -> dict[str, Found]:
        """What is to be copied, by the keys that it gets."""
        if seen.is_folder:
            below, new = self._below(source), self._below(target)
            return {new + found.key[len(below) :]: found for found in self._store.each(below)}
        found = self._store.head(self._key(source))
        if found is None:
            raise _missing(source)
        return {self._key(target): found}

    def walk(self, path: Path) -> Iterator[Entry]:
        if not self.stat(path).is_folder:
            raise FileError(f"{shown(path)} is a file and not a folder.", Kind.NOT_A_FOLDER)
        below = self._below(path)
        inside: Path = ()  # the folder whose children are coming
        for found in self._store.each(below):
            *names, name = found.key[len(below) :].split("/")
            if not all(map(_is_name, names)) or (name and not _is_name(name)):
                continue
            common = 0
            while common < min(len(names), len(inside)) and names[common] == inside[common]:
                common += 1
            for end in range(common + 1, len(names) + 1):
                yield folder((*path, *names[:end]), found)
            inside = tuple(names)
            if name:
                yield entry((*path, *names, name), found)

    def usage(self, path: Path = ()) -> Usage:
        seen = self.stat(path)
        if not seen.is_folder:
            return Usage(seen.size, 1)
        total, count = 0, 0
        for item in self.walk(path):
            total += item.size
            count += 1
        return Usage(total, count)

    def free(self) -> int | None:
        return None

    def clear(self) -> None:
        """Remove everything in it."""
        self._store.delete([found.key for found in self._store.each(self._prefix)])

    def sweep(self, seconds: float = 86_400.0) -> int:
        """Drop the parts of uploads that processes killed so long ago have left behind; how many there were."""
        return self._store.sweep(self._prefix, seconds)

    def close(self) -> None:
        """Connections are shared by all trees of a store, and stay."""

    def _seen(self, path: Path) -> Entry | None:
        try:
            return self.stat(path)
        except FileError as error:
            if error.kind is Kind.MISSING:
                return None
            raise

    def _needs_folder(self, path: Path, *, can_make: bool) -> None:
        """Raise FileError unless a path is a folder, or could become one."""
        for end in range(len(path), 0, -1):
            if self._store.first(self._below(path[:end])) is not None:
                if end < len(path) and not can_make:
                    break
                return
            if self._store.head(self._key(path[:end])) is not None:
                raise FileError(f"{shown(path[:end])} is a file and not a folder.", Kind.NOT_A_FOLDER)
        if path and not can_make:
            raise _missing(path)

    def _keep(self, path: Path) -> None:
        """See that a folder stays when its last file goes."""
        if path and self._store.head(self._below(path)) is None:
            self._store.put(self._below(path), b"")

    def _key(self, path: Path) -> str:
        for name in path:
            paths.check(name)
        key = self._prefix + "/".join(path)
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise FileError("Names in this storage must be UTF-8. Choose another one.", Kind.NAME) from error
        if _NO_XML.search(key):
            raise FileError("Names in this storage have no control characters. Choose another one.", Kind.NAME)
        if size >= _LONGEST_KEY:  # the folder's has a slash more
            raise FileError("The path is too long for this storage. Choose shorter names.", Kind.NAME)
        return key

    def _below(self, path: Path) -> str:
        return self._key(path) + "/" if path else self._prefix

    def _needs_name(self, path: Path) -> None:
        if not path:
            raise FileError(
                "This cannot be done with the volume itself: give the path of something in it.", Kind.FORBIDDEN
            )


def _is_name(name: str) -> bool:
    """Whether others can be shown a name that is in the bucket."""
    try:
        paths.check(name)
    except FileError:
        return False
    return True


def _missing(path: Path) -> FileError:
    return FileError(f"{shown(path)} does not exist. Look at what its folder has.", Kind.MISSING)


def _exists(path: Path) -> FileError:
    return FileError(f"{shown(path)} exists. Choose another name, or allow to replace it.", Kind.EXISTS)
