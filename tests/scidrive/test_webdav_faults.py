"""The service ends in the middle of what WebDAV clients do."""

from __future__ import annotations

import socket
import uuid

from tests.scidrive.dav_support import Dav, dav
from tests.scidrive.drive_platform import DrivePlatform

LOCKINFO = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'


def test_killed(platform: DrivePlatform) -> None:
    """What was stored is there, what was on its way is not, and locks are gone: nobody is locked out for ever."""
    carol = Dav(dav(platform), "carol", platform.token("carol"))
    place = f"Storage/carol/persistent/{uuid.uuid4().hex[:8]}"
    assert carol.ask("MKCOL", place).status_code == 201
    assert carol.ask("PUT", f"{place}/whole", data=b"whole").status_code == 201
    lock = carol.ask("LOCK", f"{place}/whole", data=LOCKINFO, Depth="0").headers["Lock-Token"]
    assert carol.ask("PUT", f"{place}/whole", data=b"x").status_code == 423
    uploads = []
    for name in ("new", "other"):
        upload = socket.create_connection((platform.deployment.internal_host, platform.deployment.service_port("dav")))
        head = (
            f"PUT /services/scidrive/dav/{place}/{name} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {platform.token('carol')}"
        )
        upload.sendall(f"{head}\r\nContent-Length: 1000000\r\n\r\n".encode() + bytes(300_000))
        uploads.append(upload)
    assert carol.names(place) == ["whole"]
    platform.kill_service()
    for upload in uploads:
        upload.close()
    platform.start_service()
    carol = Dav(dav(platform), "carol", platform.token("carol"))
    assert carol.names(place) == ["whole"]
    folder = platform.volume("carol") / place.rpartition("/")[2]
    assert [path.name for path in folder.iterdir()] == ["whole"]
    assert carol.ask("PUT", f"{place}/whole", data=b"x", If=f"({lock})").status_code == 412
    assert carol.ask("PUT", f"{place}/whole", data=b"y").status_code == 204
    assert carol.ask("DELETE", place).status_code == 204
