"""Who may open which file: one writer or many readers, in the order in which they asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

READ, WRITE = "read", "write"


@dataclass
class _File:
    readers: set[object] = field(default_factory=set)
    writer: object | None = None
    waiting: deque[_Wish] = field(default_factory=deque)


@dataclass(eq=False)
class _Wish:
    holder: object
    mode: str
    granted: asyncio.Future[None]


class LockTable:
    """Locks on files by name, for holders that are told apart by identity.

    DuckDB admits one process that writes a file, or many that read it, and refuses all others at once: whoever wants
    a file waits here instead. First come, first served, so that readers cannot starve a writer; neighbouring readers
    go together.
    """

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    async def acquire(self, holder: object, wishes: Mapping[str, str]) -> None:
        """Wait until `holder` has all the files, each for ``read`` or ``write``.

        A holder gives back what it has before it asks anew, and files are taken in one order: nobody waits for
        somebody who waits for them.
        """
        for name in sorted(wishes):
            await self._acquire(holder, name, wishes[name])

    async def _acquire(self, holder: object, name: str, mode: str) -> None:
        file = self._files.setdefault(name, _File())
        wish = _Wish(holder, mode, asyncio.get_running_loop().create_future())
        file.waiting.append(wish)
        self._grant(name)
        try:
            await wish.granted
        except asyncio.CancelledError:
            if wish in file.waiting:
                file.waiting.remove(wish)
                self._grant(name)
            raise

    def release(self, holder: object, names: list[str] | None = None) -> None:
        """Give back these files, or all; harmless for what `holder` does not have."""
        for name in list(self._files) if names is None else names:
            file = self._files.get(name)
            if file is None:
                continue
            file.readers.discard(holder)
            if file.writer is holder:
                file.writer = None
            self._grant(name)

    def busy(self, name: str) -> bool:
        """Whether anybody has the file, or waits for it."""
        return name in self._files

    def _grant(self, name: str) -> None:
        file = self._files[name]
        while file.waiting:
            wish = file.waiting[0]
            if file.writer is not None or (wish.mode == WRITE and file.readers):
                break
            file.waiting.popleft()
            if wish.granted.done():
                continue
            if wish.mode == WRITE:
                file.writer = wish.holder
            else:
                file.readers.add(wish.holder)
            wish.granted.set_result(None)
        if not file.waiting and not file.readers and file.writer is None:
            del self._files[name]
