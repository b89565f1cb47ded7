"""Writing to an object store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scidrive_service.errors import FileError, Kind
from scidrive_service.object_store import Store
from scidrive_service.tree import Entry

PART = 5 << 20
"""Bytes that are kept in memory before they are sent; S3 takes no smaller parts."""

_LARGE_PART = 32 << 20
_FIRST_PARTS = 2000
"""So many parts are small; S3 takes 10,000, and with the large ones 260 GiB in all."""


class ObjectWriter:
    """A file that is sent in parts, of which nothing shows before `commit`.

    Parameters
    ----------
    prepare
        Called before the first part is sent, and again right before the file gets its name, while no other writer of
        ours can change it: it raises to refuse, and returns the conditions for the store.
    result
        What to return from `commit`.
    """

    def __init__(
        self, store: Store, key: str, prepare: Callable[[bool], dict[str, str]], result: Callable[[], Entry]
    ) -> None:
        self._store = store
        self._key = key
        self._prepare = prepare
        self._result = result
        self._buffer = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._is_over = False

    def write(self, data: bytes | memoryview) -> None:
        self._needs_life()
        rest = memoryview(data).cast("B")
        try:
            while rest:
                room = self._size - len(self._buffer)
                if room <= 0:
                    if self._upload is None:
                        self._prepare(False)
                        self._upload = self._store.begin(self._key)
                    full, self._buffer = self._buffer, bytearray()
                    self._send(self._upload, full)
                    continue
                self._buffer += rest[:room]
                rest = rest[room:]
        except BaseException:
            self.abort()
            raise

    @property
    def _size(self) -> int:
        return PART if len(self._parts) < _FIRST_PARTS else _LARGE_PART

    def _send(self, upload: str, data: bytearray) -> None:
        self._parts.append(self._store.put_part(self._key, upload, len(self._parts) + 1, data))

    def _needs_life(self) -> None:
        """A request may be given up, also by another thread; what is left of it then must not be taken for a file."""
        if self._is_over:
            raise FileError("This upload was given up, or is over. Begin a new one.", Kind.UNAVAILABLE)

    def commit(self) -> Entry:
        rest = self._buffer
        self._needs_life()
        try:
            if self._upload is not None:
                self._send(self._upload, rest)
            with locked(self._key):
                conditions = self._prepare(True)
                self._needs_life()
                if self._upload is None:
                    self._store.put(self._key, rest, **conditions)
                else:
                    self._store.finish(self._key, self._upload, self._parts, **conditions)
                self._is_over = True
                return self._result()
        finally:
            self.abort()

    def abort(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._buffer = bytearray()
        if self._upload is not None:
            try:
                self._store.drop(self._key, self._upload)
            except FileError as error:
                if error.kind is not Kind.UNAVAILABLE:  # then its parts are swept
                    raise


_LOCKS = [threading.Lock() for _ in range(256)]


@contextmanager
def locked(*keys: str) -> Iterator[None]:
    """Keep other writers of ours off some keys; as `local_place.locked`."""
    taken: list[threading.Lock] = []
    try:
        for number in sorted({hash(key) % len(_LOCKS) for key in keys}):
            _LOCKS[number].acquire()
            taken.append(_LOCKS[number])
        yield
    finally:
        for lock in taken:
            lock.release()
