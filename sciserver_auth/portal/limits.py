"""How often a password may be wrong: failures of the last minutes, counted per account, per address and per both.

Somebody who guesses is stopped early at one account from one address. The limit of an account as a whole is much
larger, so that it takes many addresses to keep its owner out; and then the owner still gets in with a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

# Keys that a window remembers; the one that failed longest ago makes room. Each takes about a kilobyte.
MAX_KEYS = 20_000

# Attempts that wait for others to end. More than these would wait longer than their clients do.
MAX_WAITING = 200

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LimitReachedError(Exception):
    """Too many failures.

    Attributes
    ----------
    seconds
        When the next attempt is worth making, at least 1.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(1, math.ceil(seconds))

    def __str__(self) -> str:
        if self.seconds < 90:
            return f"Too many attempts have failed. Try again in {self.seconds} seconds."
        return f"Too many attempts have failed. Try again in {math.ceil(self.seconds / 60)} minutes."


@dataclass
class Attempt:
    """How one attempt ended: True, False, or None when nobody can tell."""

    succeeded: bool | None = None


class Window:
    """Failures of each key within the last `seconds`; at most `limit` are allowed, 0 means any number."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.seconds = seconds
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._pending: dict[str, int] = {}

    def wait(self, key: str) -> float:
        """Seconds until the oldest failure that stands in the way is forgotten; 0 if none does."""
        failures = self._recent(key)
        if not self.limit or len(failures) < self.limit:
            return 0.0
        return max(failures[0] + self.seconds - self._clock(), 0.001)

    def is_open(self, key: str) -> bool:
        """Whether one more attempt may begin, should all that are under way fail."""
        return not self.limit or len(self._recent(key)) + self._pending.get(key, 0) < self.limit

    def begin(self, key: str) -> None:
        self._pending[key] = self._pending.get(key, 0) + 1

    def end(self, key: str) -> None:
        self._pending[key] -= 1
        if not self._pending[key]:
            del self._pending[key]

    def fail(self, key: str) -> None:
        if not self.limit:
            return
        self._failures.setdefault(key, deque(maxlen=self.limit)).append(self._clock())
        self._failures.move_to_end(key)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        failures = self._failures.get(key)
        if failures is None:
            return deque()
        while failures and failures[0] + self.seconds <= self._clock():
            failures.popleft()
        if not failures:
            del self._failures[key]
        return failures

    def __len__(self) -> int:
        return len(self._failures)


class Limits:
    """The three windows together. All methods belong to one event loop.

    Parameters
    ----------
    per_pair, per_account, per_address
        Allowed failures, and within how many seconds.
    """

    def __init__(
        self,
        per_pair: tuple[int, float],
        per_account: tuple[int, float],
        per_address: tuple[int, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pairs = Window(*per_pair, clock)
        self.accounts = Window(*per_account, clock)
        self.addresses = Window(*per_address, clock)
        self._waiting = 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def attempt(self, account: str | None, address: str) -> AsyncIterator[Attempt]:
        """Let an attempt happen, and count it by what the caller sets in the `Attempt`.

        As many may be under way as may fail; more wait. So guessing in parallel gains nothing, and twenty programs
        of one person that start at once all get in.

        Parameters
        ----------
        account
            The name as it was typed; None where it is not known: then only the address counts.
        address
            IP address of the client.

        Raises
        ------
        LimitReachedError
            There were too many failures.
        """
        keys = self._keys(account, address)
        if self._waiting >= MAX_WAITING:
            raise LimitReachedError(1)
        self._waiting += 1
        try:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: _longest(keys) or all(window.is_open(key) for window, key in keys)
                )
                if seconds := _longest(keys):
                    raise LimitReachedError(seconds)
                for window, key in keys:
                    window.begin(key)
        finally:
            self._waiting -= 1
        attempt = Attempt()
        try:
            yield attempt
        finally:
            for window, key in keys:
                window.end(key)
                if attempt.succeeded is False:
                    window.fail(key)
            if attempt.succeeded and account is not None:
                self.pairs.forget(keys[-1][1])
            async with self._changed:
                self._changed.notify_all()

    def _keys(self, account: str | None, address: str) -> list[tuple[Window, str]]:
        origin = group_of(address)
        keys = [(self.addresses, origin)]
        if account is not None:
            # Long ones are no accounts, but take memory.
            name = account.strip().lower()[:255]
            keys += [(self.accounts, name), (self.pairs, f"{origin} {name}")]
        return keys


def _longest(keys: Iterable[tuple[Window, str]]) -> float:
    return max(window.wait(key) for window, key in keys)


def group_of(address: str) -> str:
    """What counts as one address: of IPv6 a network of 64 bits, which one person usually has to oneself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def client_address(peer: str, forwarded: Iterable[str], trusted: Iterable[Network]) -> str:
    """IP address of the client, which proxies have written into ``X-Forwarded-For``.

    Each proxy appends the address that it was asked from. So the list is read from its end, as long as the one who
    wrote an entry is trusted; what stands further left may be the client's invention.

    Parameters
    ----------
    peer
        Who has connected to us.
    forwarded
        Values of the header, in order.
    trusted
        The proxies.
    """
    networks = list(trusted)
    entries = [entry.strip() for value in forwarded for entry in value.split(",") if entry.strip()]
    address = _plain(peer)
    while entries and address is not None and any(address in network for network in networks):
        candidate = _plain(entries.pop())
        if candidate is None:
            break
        address = candidate
    return str(address) if address is not None else peer


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; an IPv4 one that an IPv6 socket has reported becomes what it is."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
