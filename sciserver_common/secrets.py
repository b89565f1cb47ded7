"""Secrets of a deployment: made once, kept in files that only the operator's account can read."""

from __future__ import annotations

import os
import secrets as random
import tempfile
from collections.abc import Callable

from sciserver_common.deployment import Deployment


def _random() -> str:
    return random.token_hex(32)


def secret(deployment: Deployment, name: str, make: Callable[[], str] = _random) -> str:
    """The secret called `name`, made at the first call: 64 hexadecimal digits (256 random bits), or what `make` gives.

    Two processes that ask at once get the same value: the file appears complete or not at all, and the first wins.
    """
    directory = deployment.secrets_dir
    path = directory / name
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # NamedTemporaryFile creates with mode 0600, whatever the umask.
        with tempfile.NamedTemporaryFile("w", dir=directory) as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
            try:
                os.link(file.name, path)
            except FileExistsError:
                pass
    return path.read_text().strip()
