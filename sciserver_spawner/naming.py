"""Names and labels of what the spawner makes on an engine; nobody else spells them."""

from __future__ import annotations

import hashlib
import re

LABEL = "org.sciserver"

_SAFE_USER = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SAFE_SERVER = re.compile(r"[a-z][a-z0-9-]*")


def container_name(deployment_id: str, user: str, server: str) -> str:
    """Name of a user's container: readable, unique on an engine that several deployments share.

    Docker allows ``[a-zA-Z0-9_.-]``. A name with other characters, or with the separator, keeps its readable part and
    gets a digest. The digest starts with a digit, as no server's name does: nobody can name a server so that it takes
    the place of another user's container.
    """
    name = f"sciserver-{deployment_id}-{_part(user, _SAFE_USER)}"
    return f"{name}--{_part(server, _SAFE_SERVER)}" if server else name


def _part(text: str, safe: re.Pattern[str]) -> str:
    if safe.fullmatch(text) and "--" not in text:
        return text
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    # 80 bits: whoever chooses a user name cannot search for one with another user's digest.
    return f"{readable}--0{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def container_labels(deployment_id: str, user: str, server: str) -> dict[str, str]:
    """Labels by which a container is found again without the hub's database."""
    return {
        f"{LABEL}.deployment": deployment_id,
        f"{LABEL}.user": user,
        f"{LABEL}.server": server,
    }
