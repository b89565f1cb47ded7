"""Places for quick queries: few at once, in turn between users."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict, deque

from casjobs_service.errors import Kind, QueryError


class Busy(QueryError):
    """There is no place, and no use in waiting for one.

    Attributes
    ----------
    status
        HTTP: 429 if the user has too many of their own, 503 if everybody together has.
    retry_after
        Seconds.
    """

    def __init__(self, message: str, status: int, retry_after: int) -> None:
        super().__init__(message, Kind.UNAVAILABLE, hint="Try again later, or submit it to the long queue.")
        self.status = status
        self.retry_after = retry_after

    # `QueryError` restores by its own fields.
    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.status, self.retry_after))


class Places:
    """Hands out places: to the user with the fewest first, among those to the one served longest ago.

    Parameters
    ----------
    total, per_user
        Places at once.
    waiting, waiting_per_user
        So many may wait; who comes then is refused.
    seconds
        Nobody waits longer.
    """

    def __init__(self, total: int, per_user: int, waiting: int, waiting_per_user: int, seconds: float) -> None:
        self.total = total
        self.per_user = per_user
        self.waiting = waiting
        self.waiting_per_user = waiting_per_user
        self.seconds = seconds
        self._taken: defaultdict[int, int] = defaultdict(int)
        self._queues: dict[int, deque[asyncio.Future[None]]] = {}
        self._served: dict[int, int] = {}
        self._clock = itertools.count(1)

    @property
    def taken(self) -> int:
        """How many places are in use."""
        return sum(self._taken.values())

    @property
    def queued(self) -> int:
        """How many wait."""
        return sum(len(queue) for queue in self._queues.values())

    def free(self, user: int) -> bool:
        """Whether `user` would get a place without waiting."""
        return self.taken < self.total and self._taken[user] < self.per_user and user not in self._queues

    def refusal(self, user: int) -> Busy | None:
        """Why `user` can neither have a place nor wait for one."""
        if self.free(user):
            return None
        if len(self._queues.get(user, ())) >= self.waiting_per_user:
            return Busy(f"{self.waiting_per_user} quick queries of yours wait already.", 429, 5)
        if self.queued >= self.waiting:
            return Busy("Too many quick queries wait already.", 503, 30)
        return None

    def take_free(self, user: int) -> bool:
        """Take a place if there is one just now; `give` must follow."""
        if self.free(user):
            self._seat(user)
            return True
        return False

    async def take(self, user: int) -> None:
        """Wait for a place as long as is allowed; `give` must follow.

        Raises
        ------
        Busy
        """
        if self.take_free(user):
            return
        refusal = self.refusal(user)
        if refusal is not None:
            raise refusal
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(user, deque()).append(turn)
        try:
            async with asyncio.timeout(self.seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give(user)  # it became ours in this very moment
            else:
                self._leave(user, turn)
            if isinstance(error, TimeoutError):
                raise Busy("The query waited for its turn until its time was over.", 503, 30) from None
            raise

    def give(self, user: int) -> None:
        """Return a place."""
        self._taken[user] -= 1
        if not self._taken[user]:
            del self._taken[user]
        self._next()

    def _seat(self, user: int) -> None:
        self._taken[user] += 1
        self._served[user] = next(self._clock)

    def _leave(self, user: int, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(user, deque())
        with contextlib.suppress(ValueError):  # `_next` has come across it since it was cancelled
            queue.remove(turn)
        if not queue:
            self._queues.pop(user, None)

    def _next(self) -> None:
        while self.taken < self.total:
            able = [user for user in self._queues if self._taken.get(user, 0) < self.per_user]
            if not able:
                break
            user = min(able, key=lambda user: (self._taken.get(user, 0), self._served.get(user, 0)))
            turn = self._queues[user][0]
            self._leave(user, turn)
            # Who waited may have been cancelled, and only not have run yet.
            if not turn.done():
                self._seat(user)
                turn.set_result(None)
        if not self._taken and not self._queues:
            # Only the order among those who are here matters.
            self._served.clear()
