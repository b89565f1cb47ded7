"""Which process runs a job, so that another one can tell whether it still lives."""

from __future__ import annotations

import secrets
from pathlib import Path

import psutil


def _machine() -> str:
    # Process ids mean something within one boot and one PID namespace (container).
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"


def identity() -> str:
    """A new name, that says which process has made it."""
    process = psutil.Process()
    return f"{_machine()} {process.pid} {process.create_time():.2f} {secrets.token_hex(4)}"


def gone(name: str) -> bool:
    """Whether the process that has made this `identity` has ended; false where it cannot be seen from here."""
    words = name.split()
    if " ".join(words[:2]) != _machine():
        return False
    try:
        return f"{psutil.Process(int(words[2])).create_time():.2f}" != words[3]
    except psutil.NoSuchProcess:
        return True
