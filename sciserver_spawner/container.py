"""What a user's container may do and use: plain functions that build the engine's arguments (DESIGN §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Resources of one container.

    Parameters
    ----------
    memory
        Bytes, or None for no limit.
    cpus
        CPUs, fractions allowed, or None for no limit.
    pids
        Processes and threads.
    shm_size
        Size of ``/dev/shm``, e.g. ``512M``; counts against `memory`.
    """

    memory: int | None
    cpus: float | None
    pids: int
    shm_size: str


def host_config(
    *,
    limits: Limits,
    network: str,
    binds: dict[str, dict[str, str]],
    mounts: list[Any],
    port_bindings: dict[int, Any],
    extra: dict[str, Any],
) -> dict[str, Any]:
    """Arguments for docker-py's ``create_host_config``: as few rights as work, then the site's `extra` options."""
    cpu_period = extra.get("cpu_period", 100_000)
    config: dict[str, Any] = {
        "binds": binds,
        "mounts": mounts,
        "network_mode": network,
        "port_bindings": port_bindings,
        # We remove it ourselves, after reading the log of one that died.
        "auto_remove": False,
        # Reaps zombies and passes signals on: Jupyter Server does neither for its kernels' children.
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": limits.pids,
        "shm_size": limits.shm_size,
    }
    if limits.memory is not None:
        # Without swap on top: a container that outgrows its memory ends, rather than slowing its neighbours.
        config |= {"mem_limit": limits.memory, "memswap_limit": limits.memory}
    if limits.cpus is not None:
        config |= {"cpu_period": cpu_period, "cpu_quota": int(limits.cpus * cpu_period)}
    return config | extra


def death_message(record: dict[str, Any] | None, memory_limit: int | None) -> str:
    """Why a container ended before its server answered, from the engine's record of it (None: it has none)."""
    if record is None:
        return "The container was removed while it was starting. Start the server again."
    state = record["State"]
    if state.get("OOMKilled"):
        limit = f" ({memory_limit / 2**30:.3g} GiB)" if memory_limit else ""
        return f"The server needs more memory than it may use{limit} and was ended."
    return f"The server ended with exit code {state['ExitCode']} before it answered."
