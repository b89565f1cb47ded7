"""One thread at a time for what is done at once.

Python runs one thread at a time anyway. If several want to, each system call of one lets another one in, and it has to
queue up again: with small files that costs as much as all the rest. So a request that is here, and needs nothing but
files, waits until the one before it is answered.
"""

from __future__ import annotations

import threading

PATIENCE = 0.02
"""Seconds after which a request does not wait any longer: the one before it waits for a disk or for its client."""


class Turns:
    """Who may be at work. It is a matter of speed only: nothing relies on being alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def take(self) -> threading.Lock:
        """Wait for a turn, but not for long; what is returned is to be released."""
        lock = self._lock
        if not lock.acquire(timeout=PATIENCE):
            # Nobody else is to wait for whoever is stuck, so there is a new one.
            lock = threading.Lock()
            lock.acquire()
            self._lock = lock
        return lock
