"""A kernel that has project quotas: this one, or Debian's User-Mode Linux, which runs as a process.

The kernel of a test machine need not have them (CONFIG_QFMT_V2). User-Mode Linux sees this machine's files, runs
`quota_guest` as its first process, and gives it an ext4 file system with project quotas of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2]
PACKAGE = "user-mode-linux"


def run(scratch: Path) -> str:
    """Run `quota_guest` where project quotas are; what it has printed."""
    program = shutil.which("linux.uml")
    assert program, f"install Debian's package {PACKAGE}: scripts/test-packages.sh does"
    (modules,) = Path("/usr/lib/uml/modules").glob("*/kernel/fs/quota")
    image, init = scratch / "image", scratch / "init"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "quota,project", image], check=True)
    init.write_text(f"#!/bin/sh\ncd {SOURCE}\nexec {sys.executable} -m tests.scidrive.quota_guest {modules}\n")
    init.chmod(0o755)
    command = [program, "mem=512M", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}", f"ubda={image}"]
    command += ["con=null", "con0=null,fd:1", "quiet"]
    # It leaves a file for its memory in TMPDIR, and a directory in HOME.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch)}
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    return ended.stdout + ended.stderr
