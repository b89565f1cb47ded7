"""Which process runs a job, so that another one can tell whether it still lives."""

from __future__ import annotations

from pathlib import Path

import psutil


def _machine() -> str:
    # Process ids mean something within one boot and one PID namespace (container).
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"


def identity() -> str:
    """Name of this process that no other one has, here or elsewhere, now or later."""
    process = psutil.Process()
    return f"{_machine()}:{process.pid}:{process.create_time():.2f}"


def gone(owner: str) -> bool:
    """Whether the process of that `identity` has certainly ended. False where it cannot be seen from here."""
    machine, _, process = owner.rpartition(":")
    machine, _, pid = machine.rpartition(":")
    if machine != _machine():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != process
    except psutil.NoSuchProcess:
        return True
