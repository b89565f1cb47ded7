"""How much one query may use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MEGABYTE = 1_000_000
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits of one session; the worker and the kernel enforce them.

    Attributes
    ----------
    seconds
        Wall time.
    memory
        Bytes of memory that the engine may use; what is more goes to temporary files.
    temp
        Bytes of temporary files.
    result
        Bytes of one result, as Arrow.
    rows
        Rows of one result; 0 is unlimited. What is more is an error, never a cut.
    quota
        Bytes of the user's MyDB.
    scratch
        Bytes of the user's MyScratch.
    threads
        Threads of the engine.
    nice
        Added to the process's niceness: long queries leave the processor to quick ones.
    """

    seconds: float = 60.0
    memory: int = 2 * GIGABYTE
    temp: int = 4 * GIGABYTE
    result: int = 1 * GIGABYTE
    rows: int = 0
    quota: int = 500 * MEGABYTE
    scratch: int = 5 * GIGABYTE
    threads: int = 1
    nice: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
