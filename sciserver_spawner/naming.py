"""Names and labels of what the spawner makes on an engine; nobody else spells them."""

from __future__ import annotations

import hashlib
import re

LABEL = "org.sciserver"

_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def container_name(deployment_id: str, user: str, server: str) -> str:
    """Name of a user's container: readable, unique on an engine that several deployments share.

    Docker allows ``[a-zA-Z0-9_.-]``. A user name with other characters, or with the separator, keeps its readable
    part and gets a digest, so that two users never share a container's name.
    """
    safe = user
    if not _SAFE_NAME.fullmatch(user) or "--" in user:
        digest = hashlib.sha256(user.encode()).hexdigest()[:8]
        safe = re.sub(r"[^a-z0-9]+", "-", user.lower()).strip("-") + "--" + digest
    # JupyterHub 6 server names are [a-z0-9-] without a double hyphen: the pair stays unambiguous.
    return f"sciserver-{deployment_id}-{safe}" + (f"--{server}" if server else "")


def container_labels(deployment_id: str, user: str, server: str) -> dict[str, str]:
    """Labels by which a container is found again without the hub's database."""
    return {
        f"{LABEL}.deployment": deployment_id,
        f"{LABEL}.user": user,
        f"{LABEL}.server": server,
    }
