"""How much people may store: counted exactly, and reserved before it is written.

A count is what walking the volume finds, kept in the process and changed by every write of a door. Containers write
without asking: so counts are made anew when they are old, and always before somebody is refused. Nothing is kept on
disk: a service that was killed counts again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from scidrive_service.counts import Count, refusal
from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Volume
from scidrive_service.paths import Path
from scidrive_service.policy import RootPolicy
from scidrive_service.tree import Usage

log = logging.getLogger(__name__)

_PATIENCE = 2.0
"""Seconds for which it is counted again before a refusal, while others write at the same time and disturb that."""

_LONG = 0.25
"""Seconds for a walk that is not made for every refusal."""

_WALKS = 3
"""Walks through a volume for one count, if others write meanwhile."""


class Reservation:
    """Room for a write under way; given back when the block ends, if it was not used.

    `Quotas.reserve` makes it. One thread uses it at a time.
    """

    def __init__(self, quotas: Quotas, volume: Volume, policy: RootPolicy) -> None:
        self._quotas, self._volume, self._policy = quotas, volume, policy
        self._count = quotas._count(volume)
        self.bytes = 0
        self.files = 0
        self._is_finishing = False

    def fit(self, bytes: int, files: int, *, insist: bool = True) -> None:
        """Make it this large.

        Parameters
        ----------
        insist
            Count anew before it is refused.

        Raises
        ------
        FileError
            FULL: it would have to grow, and there is no room. It stays as it was.
        """
        bytes, files = max(bytes, 0), max(files, 0)
        if bytes > self.bytes or files > self.files:
            self._quotas._resize(self, bytes, files, insist)
        elif bytes < self.bytes or files < self.files:
            self._quotas._shrink(self, bytes, files)

    def finishing(self) -> None:
        """The write is about to be seen by those who count, and still reserved: they wait for the end."""
        if not self._is_finishing:
            self._quotas._finishing(self)

    def use(self, bytes: int, files: int) -> None:
        """A part of the write has happened: so much of this is no longer reserved but held."""
        self._quotas._use(self, min(bytes, self.bytes), min(files, self.files), bytes, files)

    def settle(self, bytes: int, files: int) -> None:
        """The write has happened, and changed what the volume holds by so much; either may be negative."""
        self._quotas._use(self, self.bytes, self.files, bytes, files, ends=True)

    def release(self) -> None:
        """Give it back; nothing if that was done."""
        if self.bytes or self.files or self._is_finishing:
            self._quotas._shrink(self, 0, 0, ends=True)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Quotas:
    """Counts of all volumes.

    Parameters
    ----------
    count
        Walks a volume.
    siblings
        All volumes of the same owner and root volume, this one among them.
    seconds
        Counts are made anew after so long, or after twenty times as long as counting takes.
    """

    def __init__(
        self, count: Callable[[Volume], Usage], siblings: Callable[[Volume], list[Volume]], seconds: float = 60.0
    ) -> None:
        self._walk, self._siblings, self._seconds = count, siblings, seconds
        self._counts: dict[int, Count] = {}
        self._changed = threading.Condition()
        self._background = ThreadPoolExecutor(1, thread_name_prefix="scidrive-count")

    def close(self) -> None:
        """Stop counting."""
        self._background.shutdown(cancel_futures=True)

    def reserve(self, volume: Volume, policy: RootPolicy, bytes: int, files: int) -> Reservation:
        """Room for a write.

        Raises
        ------
        FileError
            FULL: a limit would be passed.
        """
        reservation = Reservation(self, volume, policy)
        reservation.fit(bytes, files)
        return reservation

    def reserve_new(self, volume: Volume, policy: RootPolicy, bytes: int) -> Reservation | None:
        """Room for one file more, whose write is `Reservation.finishing` already.

        Returns
        -------
        Reservation, optional
            None: it does not fit by the count that there is. Whoever insists takes `reserve`.
        """
        reservation = Reservation(self, volume, policy)
        family = self._limited_together(volume, policy)
        if not all(self._is_fresh(self._count(member)) for member in family):
            self._count_all(family, reservation, anew=False)
        with self._changed:
            if refusal(volume, policy, reservation._count, map(self._count, family), bytes, 1):
                return None
            self._take(reservation, bytes, 1)
            reservation._is_finishing = True
            reservation._count.finishing += 1
        return reservation

    @contextlib.contextmanager
    def changing(self, volume: Volume) -> Iterator[None]:
        """A door changes a volume, and says how by `changed` before this ends: who counts meanwhile sees the one
        without the other."""
        with self._changed:
            self._count(volume).finishing += 1
        try:
            yield
        finally:
            with self._changed:
                self._count(volume).finishing -= 1
                self._changed.notify_all()

    def changed(self, volume: Volume, bytes: int, files: int) -> None:
        """A door has changed what a volume holds by so much."""
        with self._changed:
            self._held(self._count(volume), bytes, files)

    def unclear(self, volume: Volume) -> None:
        """A door has changed a volume, and nobody knows by how much."""
        with self._changed:
            count = self._count(volume)
            count.is_rough = True
            count.writes += 1

    def claim(self, volume: Volume, folders: Iterable[Path]) -> list[Path]:
        """Of folders that a write is going to make those that no other one counts already."""
        with self._changed:
            count = self._count(volume)
            mine = []
            for folder in folders:
                if folder in count.folders:
                    count.folders[folder] = True
                else:
                    count.folders[folder] = False
                    mine.append(folder)
            return mine

    def unclaim(self, volume: Volume, folders: Iterable[Path], *, are_made: bool) -> None:
        """The write that has claimed these folders has ended."""
        with self._changed:
            count = self._count(volume)
            needed = [count.folders.pop(folder, False) for folder in folders]
            if any(needed) and not are_made:
                count.is_rough = True  # somebody else makes them, and does not count them

    def forget(self, volume: Volume) -> None:
        """The volume is gone."""
        with self._changed:
            self._counts.pop(volume.id, None)

    def used(self, volume: Volume) -> Usage:
        """What a volume holds, by a count that is not old."""
        count = self._count(volume)
        if not self._is_fresh(count):
            self._recount(volume, time.monotonic())
        with self._changed:
            return count.used

    def room(self, volume: Volume, policy: RootPolicy) -> tuple[int, int | None]:
        """Bytes that a volume holds, and that still fit into it by its limits; None: there are none."""
        used = self.used(volume).bytes
        left = []
        if policy.volume_bytes:
            left.append(policy.volume_bytes - used)
        if policy.user_bytes:
            left.append(policy.user_bytes - sum(self.used(member).bytes for member in self._siblings(volume)))
        return used, max(min(left), 0) if left else None

    # --

    def _held(self, count: Count, bytes: int, files: int) -> None:
        count.used = Usage(max(count.used.bytes + bytes, 0), max(count.used.files + files, 0))
        count.grown_bytes += max(bytes, 0)
        count.grown_files += max(files, 0)
        count.writes += 1
        self._changed.notify_all()

    def _use(
        self, reservation: Reservation, less_bytes: int, less_files: int, bytes: int, files: int, *, ends: bool = False
    ) -> None:
        with self._changed:
            self._take(reservation, reservation.bytes - less_bytes, reservation.files - less_files)
            if ends:
                self._ended(reservation)
            self._held(reservation._count, bytes, files)

    def _shrink(self, reservation: Reservation, bytes: int, files: int, *, ends: bool = False) -> None:
        with self._changed:
            self._take(reservation, bytes, files)
            if ends:
                self._ended(reservation)
            self._changed.notify_all()

    @staticmethod
    def _ended(reservation: Reservation) -> None:
        """With the lock held."""
        if reservation._is_finishing:
            reservation._is_finishing = False
            reservation._count.finishing -= 1

    def _take(self, reservation: Reservation, bytes: int, files: int) -> None:
        """With the lock held."""
        count = reservation._count
        count.taken_bytes += bytes - reservation.bytes
        count.taken_files += files - reservation.files
        reservation.bytes, reservation.files = bytes, files

    def _count(self, volume: Volume) -> Count:
        count = self._counts.get(volume.id)
        return count if count is not None else self._counts.setdefault(volume.id, Count())

    def _is_fresh(self, count: Count) -> bool:
        return count.is_known and not count.is_rough and not self._is_old(count)

    def _is_old(self, count: Count) -> bool:
        return time.monotonic() - count.began > max(self._seconds, 20 * count.took)

    def _finishing(self, reservation: Reservation) -> None:
        with self._changed:
            reservation._is_finishing = True
            reservation._count.finishing += 1

    def _resize(self, reservation: Reservation, bytes: int, files: int, insist: bool) -> None:
        volume, policy = reservation._volume, reservation._policy
        more_bytes, more_files = bytes - reservation.bytes, files - reservation.files
        family = self._limited_together(volume, policy)
        patience = time.monotonic() + _PATIENCE
        is_anew = False
        while True:
            writes = self._count_all(family, reservation, anew=is_anew)
            with self._changed:
                refused = refusal(
                    volume, policy, self._count(volume), map(self._count, family), more_bytes, more_files
                )
                if refused is None:
                    self._take(reservation, bytes, files)
                    return
                counts = [self._count(member) for member in family]
                is_calm = writes == sum(count.writes for count in counts)  # then the count is exact
                others = sum(count.finishing for count in counts) - reservation._is_finishing
                if not insist or (is_anew and is_calm and not others) or time.monotonic() > patience:
                    raise refused
                if is_anew and others:
                    self._changed.wait(0.05)
                is_anew = True

    def _limited_together(self, volume: Volume, policy: RootPolicy) -> list[Volume]:
        """The volumes whose counts decide."""
        if policy.user_bytes or policy.user_files:
            family = self._siblings(volume)
            return family if any(member.id == volume.id for member in family) else [*family, volume]
        return [volume] if policy.volume_bytes or policy.volume_files else []

    def _count_all(self, family: Iterable[Volume], reservation: Reservation, *, anew: bool) -> int:
        """Have a count of each; returns how many writes had been seen when counting began."""
        now = time.monotonic()
        with self._changed:
            writes = sum(self._count(member).writes for member in family)
        for member in family:
            count = self._count(member)
            own = member.id == reservation._volume.id and reservation._is_finishing
            if not count.is_known:
                self._recount(member, now, own)
            elif anew:
                # A program that tries again and again must not make us walk a large volume all the time.
                margin = min(5 * count.took, 30.0) if count.took > _LONG else 0.0
                self._recount(member, now - margin, own)
            elif (count.is_rough or self._is_old(count)) and not count.is_queued:
                count.is_queued = True
                with contextlib.suppress(RuntimeError):  # the service ends
                    self._background.submit(self._recount_quietly, member)
        return writes

    def _recount_quietly(self, volume: Volume) -> None:
        try:
            self._recount(volume, time.monotonic())
        except FileError as error:
            log.warning("volume %s/%s/%s cannot be counted: %s", volume.root, volume.owner, volume.name, error)
        finally:
            self._count(volume).is_queued = False

    def _recount(self, volume: Volume, since: float, own: int = 0) -> None:
        """Walk the volume, unless that was begun after `since` already; `own` changes are the caller's, not begun."""
        count = self._count(volume)
        with count.counting:
            if count.began >= since and not count.is_rough:
                return
            for attempt in range(_WALKS):
                with self._changed:
                    count.grown_bytes = count.grown_files = 0
                    count.is_rough = False
                    writes, finishing = count.writes, count.finishing
                began = time.monotonic()
                try:
                    found = self._walk(volume)
                except FileError as error:
                    if error.kind is not Kind.MISSING:
                        count.is_rough = True
                        raise
                    found = Usage(0, 0)
                with self._changed:
                    is_disturbed = count.writes != writes or max(finishing, count.finishing) > own
                    if is_disturbed and count.is_known and attempt < _WALKS - 1:
                        continue  # what was counted before is better
                    if is_disturbed:
                        # What was written meanwhile may have been seen or not: rather too much than too little.
                        found = Usage(
                            max(found.bytes + count.grown_bytes, count.used.bytes),
                            max(found.files + count.grown_files, count.used.files),
                        )
                    count.used = found
                    count.began, count.took = began, time.monotonic() - began
                    count.is_rough = count.is_rough or is_disturbed
                    return
