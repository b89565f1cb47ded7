"""Other servers of files over HTTP: nginx's WebDAV module, and wsgidav as its documentation has it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.support import wait_until


@dataclass
class Peer:
    """A server.

    Attributes
    ----------
    root
        The directory that it serves.
    process
        The server's first one.
    """

    root: Path
    process: psutil.Process


_NGINX = """
daemon off;
{user}
worker_processes auto;
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 300;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen {host}:{port};
        root {home}/root;
        location / {{
            dav_methods PUT DELETE MKCOL COPY MOVE;
            create_full_put_path on;
        }}
    }}
}}
"""

_WSGIDAV = """
import sys
from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp

host, port, root = sys.argv[1:]
config = {"provider_mapping": {"/": root}, "simple_dc": {"user_mapping": {"*": True}}, "verbose": 1}
Server((host, int(port)), WsgiDAVApp(config), numthreads=10).start()
"""


@contextmanager
def _running(command: list[str], url: str, **options: Any) -> Iterator[psutil.Process]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(url), what=f"{command[0]} answers")
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} did not start.")
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return bool(requests.get(url, timeout=5).status_code)
    except requests.ConnectionError:
        return False


@contextmanager
def nginx(home: Path, host: str, port: int, prefix: str) -> Iterator[Peer]:
    """nginx with its WebDAV module, without passwords, serving a directory below `prefix`."""
    root = home / "root" / prefix.strip("/")
    root.mkdir(parents=True)
    config = home / "nginx.conf"
    config.write_text(_NGINX.format(home=home, host=host, port=port, user="user root;"))
    with _running(["/usr/sbin/nginx", "-c", str(config)], f"http://{host}:{port}/") as process:
        yield Peer(root, process)


@contextmanager
def wsgidav(home: Path, host: str, port: int, prefix: str) -> Iterator[Peer]:
    """wsgidav with its own provider for directories on cheroot, for everybody, serving a directory below `prefix`."""
    root = home / "root" / prefix.strip("/")
    root.mkdir(parents=True)
    program = home / "serve.py"
    program.write_text(_WSGIDAV)
    command = [sys.executable, str(program), host, str(port), str(home / "root")]
    with _running(command, f"http://{host}:{port}/") as process:
        yield Peer(root, process)
