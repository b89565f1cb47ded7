"""An object store that speaks S3: Ceph, as sites run it.

It has one monitor, one daemon that keeps objects in memory, and the gateway.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import s3fs

from tests.support import free_port

CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
keyring = {home}/keyring
run dir = {home}
admin socket = {home}/$name.asok
log file = {home}/$name.log
pid file =
mon data = {home}/mon
mon data avail crit = 1
mon data avail warn = 1
mon allow pool size one = true
paxos propose interval = 0.02
paxos min wait = 0.01
osd data = {home}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
[client.admin]
rgw frontends = beast endpoint=127.0.0.1:{s3_port}
rgw rados pool pg num min = 1
rgw bucket quota ttl = 0
"""

CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}


class Ceph:
    """A cluster of its own, with the bucket ``drive``.

    Attributes
    ----------
    options
        For `objects.ObjectTree`.
    """

    def __init__(self, home: Path) -> None:
        if shutil.which("radosgw") is None:
            raise RuntimeError("The tests of object stores need Ceph. Run: scripts/test-packages.sh")
        self.home = home
        self._environment = {**os.environ, "CEPH_CONF": str(home / "ceph.conf")}
        self._port, self._s3_port = free_port(), free_port()
        self.options = self._user("drive")
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        for name in ("mon", "osd"):
            (self.home / name).mkdir()
        config = CONFIG.format(fsid=fsid, home=self.home, port=self._port, s3_port=self._s3_port)
        (self.home / "ceph.conf").write_text(config)
        (self.home / "keyring").touch()
        for name, capabilities in CAPABILITIES.items():
            caps = [text for kind, caps in capabilities.items() for text in ("--cap", kind, caps)]
            self._run("ceph-authtool", self.home / "keyring", "--gen-key", "-n", name, *caps)
        address = f"[v2:127.0.0.1:{self._port}/0]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, self.home / "monmap")
        self._run(
            "ceph-mon", "--mkfs", "-i", "a", "--monmap", self.home / "monmap", "--keyring", self.home / "keyring"
        )
        self._begin("ceph-mon", "-i", "a", "-f")
        self._run("ceph", "osd", "new", osd, "0")
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd)
        self._begin("ceph-osd", "-i", "0", "-f")
        self._admin("user", "create", "--uid=drive", "--display-name=drive", *_keys("drive"))
        self.start_gateway()
        s3fs.S3FileSystem(**self.options).mkdir("drive")

    def small_user(self, bytes: int) -> dict[str, Any]:
        """The options of a user with a bucket ``small``, who may store so much."""
        self._admin("user", "create", "--uid=small", "--display-name=small", *_keys("small"))
        self._admin("quota", "set", "--uid=small", "--quota-scope=bucket", f"--max-size={bytes}")
        self._admin("quota", "enable", "--uid=small", "--quota-scope=bucket")
        options = self._user("small")
        s3fs.S3FileSystem(**options).mkdir("small")
        return options

    def start_gateway(self) -> None:
        self.gateway = self._begin("radosgw", "-n", "client.admin", "-f", "--keyring", self.home / "keyring")
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self._s3_port}/", timeout=5).close()
            except OSError:
                if time.monotonic() > end or self.gateway.poll() is not None:
                    raise
                time.sleep(0.1)
            else:
                return

    def kill_gateway(self) -> None:
        """As `kill -9` does."""
        self.gateway.kill()
        self.gateway.wait()

    def stop(self) -> None:
        for process in self._processes[::-1]:
            process.kill()
            process.wait()

    def uploads(self) -> int:
        """How many uploads in parts are not finished."""
        answer = s3fs.S3FileSystem(**self.options).call_s3("list_multipart_uploads", Bucket="drive")
        return len(answer.get("Uploads", ()))

    def _user(self, name: str) -> dict[str, Any]:
        return {
            "endpoint_url": f"http://127.0.0.1:{self._s3_port}",
            "key": name,
            "secret": f"{name}-secret",
            "client_kwargs": {"region_name": "default"},
        }

    def _admin(self, *arguments: str) -> Any:
        return json.loads(self._run("radosgw-admin", *arguments) or "null")

    def _run(self, *command: str | Path) -> str:
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}")
        return done.stdout

    def _begin(self, *command: str | Path) -> subprocess.Popen[bytes]:
        with (self.home / f"{command[0]}.out").open("ab") as out:
            process = subprocess.Popen(command, env=self._environment, stdout=out, stderr=out)
        self._processes.append(process)
        return process


def _keys(name: str) -> tuple[str, str]:
    return f"--access-key={name}", f"--secret-key={name}-secret"
