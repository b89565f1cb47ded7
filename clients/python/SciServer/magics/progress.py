"""What a long query is doing, while it does it: one line that changes, and goes away at the end."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from IPython.display import DisplayHandle, display

from SciServer.magics.tables import duration, size

if TYPE_CHECKING:
    from SciServer.core import Progress

FIRST = 1.0
"""Seconds; what ends before is not talked about."""
EVERY = 0.5
"""Seconds between two lines."""


def can_answer(shell: Any) -> bool:
    """Whether somebody sits in front of this shell and can be asked.

    Notebook servers allow a cell to ask its user; nbclient, nbconvert and papermill, which run notebooks by
    themselves, do not.
    """
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()


class _Line:
    """A line of an output."""

    def show(self, line: str) -> None:
        """Show this instead of what is there."""

    def clear(self) -> None:
        """Show nothing any more."""


class _Cell(_Line):
    """In a notebook: an output that is replaced. It needs no widgets."""

    def __init__(self) -> None:
        self.handle: DisplayHandle | None = None

    def show(self, line: str) -> None:
        if self.handle is None:
            self.handle = display({"text/plain": line}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self.handle.update({"text/plain": line}, raw=True)  # type: ignore[no-untyped-call]

    def clear(self) -> None:
        if self.handle is not None:
            self.handle.update({"text/plain": ""}, raw=True)  # type: ignore[no-untyped-call]


class _Terminal(_Line):
    def __init__(self) -> None:
        self.width = 0

    def show(self, line: str) -> None:
        self.write(line[:78].ljust(self.width))
        self.width = max(self.width, len(line[:78]))

    def clear(self) -> None:
        if self.width:
            self.write(" " * self.width)
            self.write("")

    def write(self, line: str) -> None:
        sys.stderr.write("\r" + line)
        sys.stderr.flush()


class Reporter:
    """Shows how far something has come, as long as the block lasts.

    A thread of its own does it, so that the time goes on while nothing comes from the service, and the thread that
    waits can be interrupted. Where nobody watches, nothing is shown.

    Parameters
    ----------
    shell
        IPython's.
    what
        At the beginning of the line, e.g. ``Query in Stripe82``.
    """

    def __init__(self, shell: Any, what: str) -> None:
        self.what = what
        self._latest: Progress | None = None
        self._begun = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._line = _line_for(shell)

    def __call__(self, progress: Progress) -> None:
        """For the ``progress`` of the client's functions."""
        self._latest = progress

    def __enter__(self) -> Reporter:
        if self._line is not None:
            # The kernel finds the cell that an output belongs to in the context.
            context = contextvars.copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._work, self._line), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self, line: _Line) -> None:
        if self._stop.wait(FIRST):
            return
        while True:
            line.show(self.text())
            if self._stop.wait(EVERY):
                break
        line.clear()

    def text(self) -> str:
        """The line."""
        parts = [duration(time.monotonic() - self._begun)]
        if (latest := self._latest) is not None:
            parts += _said(latest)
        return f"{self.what}: {', '.join(parts)}"


def _said(progress: Progress) -> list[str]:
    parts = [progress.state] if progress.state in {"waiting", "running"} else []
    if progress.position is not None:
        parts.append(f"place {progress.position} in the queue")
    if progress.rows:
        parts.append(f"{progress.rows:,} rows")
    if progress.bytes:
        total = f" of {size(progress.total_bytes)}" if progress.total_bytes else ""
        parts.append(size(progress.bytes) + total)
    if progress.fraction and progress.fraction < 1:
        parts.append(f"{progress.fraction:.0%} of the statement")
    return parts


def _line_for(shell: Any) -> _Line | None:
    if getattr(shell, "kernel", None) is not None:
        return _Cell() if can_answer(shell) else None
    return _Terminal() if sys.stderr is not None and sys.stderr.isatty() else None
