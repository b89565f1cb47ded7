"""The two files that client libraries read inside a container (contract §0.1, §0.2)."""

from __future__ import annotations

import io
import json
import tarfile
import time

from sciserver_spawner.volumes import USER_ID

TOKEN_PATH = "home/idies/keystone.token"  # noqa: S105 - a path
CONFIG_PATH = "etc/sciserver/sciscript.json"


def archive(token: str, settings: dict[str, str]) -> bytes:
    """Both files as a tar archive for the engine to unpack at ``/`` of a container.

    The token is readable by the container's account only. It comes as a file of the container's own layer, so it
    goes when the container goes, and never lies on the shared storage.
    """
    buffer = io.BytesIO()
    now = int(time.time())
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        directory = tarfile.TarInfo("etc/sciserver")
        directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o755, now
        tar.addfile(directory)
        for path, content, mode, owner in (
            (CONFIG_PATH, json.dumps(settings, indent=2) + "\n", 0o644, 0),
            (TOKEN_PATH, token, 0o600, USER_ID),
        ):
            data = content.encode()
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(data), mode, now
            info.uid = info.gid = owner
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
