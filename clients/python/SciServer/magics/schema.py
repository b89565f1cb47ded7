"""What is known of the databases, for completion: fetched in the background, kept for a minute, waited for shortly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SciServer.core import Client, Column, Context, Function, Table

LIFE = 60.0
"""Seconds for which an answer is believed."""
FAILED_LIFE = 5.0
"""Seconds after which something that has failed is tried again."""
PATIENCE = 0.6
"""Seconds that a completion waits, whatever it needs; what comes later is there for the next one."""
REQUEST_SECONDS = 10.0
"""Seconds that the service may be silent."""

OWN = frozenset({"mydb", "myscratch"})

Key = tuple[str, str, str]


class Schema:
    """Contexts, tables, columns and functions, as far as they can be had at once.

    Nothing here raises an error: what cannot be had is empty. Requests are made by threads, for which nobody waits
    beyond `deadline`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Key, tuple[float, Sequence[Any]]] = {}
        self._coming: dict[Key, threading.Event] = {}
        self._client: Client | None = None
        # Another lock, since making a client takes its time.
        self._making = threading.Lock()

    def deadline(self) -> float:
        """Until when the completion that begins now may wait."""
        return time.monotonic() + PATIENCE

    def contexts(self, deadline: float) -> Sequence[Context]:
        """The databases that may be queried."""
        return self._get(("contexts", "", ""), lambda client: client.casjobs.contexts(), deadline)

    def tables(self, context: str, deadline: float) -> Sequence[Table]:
        """The tables of a database."""
        return self._get(("tables", context.lower(), ""), lambda client: client.casjobs.tables(context), deadline)

    def functions(self, context: str, deadline: float) -> Sequence[Function]:
        """The functions of a database."""
        key = ("functions", context.lower(), "")
        return self._get(key, lambda client: client.casjobs.functions(context), deadline)

    def columns(self, context: str, table: str, deadline: float) -> Sequence[Column]:
        """The columns of a table."""
        key = ("columns", context.lower(), table.lower())
        return self._get(key, lambda client: client.casjobs.table(context, table).columns, deadline)

    def prepare(self, wanted: Sequence[tuple[str, str]]) -> None:
        """Ask for the columns of several tables at once."""
        for context, table in wanted:
            self.columns(context, table, 0.0)

    def forget_own(self) -> None:
        """The user's own tables may have changed."""
        with self._lock:
            for known in (self._known, self._coming):
                for key in [key for key in known if key[1] in OWN]:
                    del known[key]

    def close(self) -> None:
        """End the connections."""
        with self._making:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _get(self, key: Key, fetch: Callable[[Client], Sequence[Any]], deadline: float) -> Sequence[Any]:
        with self._lock:
            until, found = self._known.get(key, (0.0, ()))
            if time.monotonic() < until:
                return found
            coming = self._coming.get(key)
            if coming is None:
                coming = self._coming[key] = threading.Event()
                threading.Thread(target=self._fetch, args=(key, fetch, coming), daemon=True).start()
        coming.wait(max(0.0, deadline - time.monotonic()))
        with self._lock:
            return self._known.get(key, (0.0, ()))[1]

    def _fetch(self, key: Key, fetch: Callable[[Client], Sequence[Any]], coming: threading.Event) -> None:
        life: float
        try:
            found, life = fetch(self._own_client()), LIFE
        except Exception:
            # No token, no service, no such table: there is nothing to offer, and nobody who has asked for an error.
            found, life = (), FAILED_LIFE
        with self._lock:
            # Unless it was forgotten meanwhile.
            if self._coming.get(key) is coming:
                del self._coming[key]
                self._known[key] = (time.monotonic() + life, found)
        coming.set()

    def _own_client(self) -> Client:
        """A client with less patience than the user's."""
        from SciServer.core import Client

        with self._making:
            if self._client is None:
                self._client = Client(timeout=REQUEST_SECONDS, retries=0)
            return self._client
