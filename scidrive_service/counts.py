"""What is known of what a volume holds, and whether more fits into it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Volume
from scidrive_service.paths import Path
from scidrive_service.policy import RootPolicy
from scidrive_service.tree import Usage


@dataclass
class Count:
    """What is known of one volume.

    Attributes
    ----------
    used
        At the last count, and what doors have done since.
    taken_bytes, taken_files
        Reserved by writes under way.
    began, took
        The last count: `time.monotonic`, and seconds.
    is_rough
        Something happened whose size nobody has measured.
    grown_bytes, grown_files, writes
        What was written while a count was going on: it may or may not have been seen.
    """

    used: Usage = field(default_factory=lambda: Usage(0, 0))
    taken_bytes: int = 0
    taken_files: int = 0
    began: float = -math.inf
    took: float = 0.0
    is_rough: bool = False
    is_queued: bool = False
    grown_bytes: int = 0
    grown_files: int = 0
    writes: int = 0
    finishing: int = 0
    folders: dict[Path, bool] = field(default_factory=dict)
    counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_known(self) -> bool:
        return self.began != -math.inf


def refusal(
    volume: Volume, policy: RootPolicy, own: Count, family: Iterable[Count], bytes: int, files: int
) -> FileError | None:
    """Why so much more does not fit into a volume; None: it does.

    Parameters
    ----------
    own
        The volume's count.
    family
        Counts of all volumes whose limits are one; none of them: there are no limits.
    """
    counts = list(family)
    if not counts:
        return None
    all_bytes = sum(count.used.bytes + count.taken_bytes for count in counts)
    all_files = sum(count.used.files + count.taken_files for count in counts)
    own_bytes, own_files = own.used.bytes + own.taken_bytes, own.used.files + own.taken_files
    together = f"All volumes of {volume.owner} in {policy.name}"
    alone = f"The volume {policy.name}/{volume.name}" if volume.name else policy.name
    for more, used, limit, unit, scope in (
        (bytes, all_bytes, policy.user_bytes, "bytes", together),
        (files, all_files, policy.user_files, "files", together),
        (bytes, own_bytes, policy.volume_bytes, "bytes", alone),
        (files, own_files, policy.volume_files, "files", alone),
    ):
        if more > 0 and limit and used + more > limit:
            return FileError(
                f"{scope} may hold {limit:,} {unit}; {used:,} are taken, {more:,} more do not fit. Remove what "
                "is no longer needed, or ask the operators for more room.",
                Kind.FULL,
            )
    return None
