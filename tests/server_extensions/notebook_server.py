"""A Jupyter server in a process of its own, with one extension, for what is measured or killed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil
import requests

from tests.auth.auth_platform import Process
from tests.support import free_port

TOKEN = "of-the-jupyter-server"


class NotebookServer:
    """A server.

    Parameters
    ----------
    home
        Where its files are.
    extension
        The package.
    options
        More of its command line.
    token
        For the service.
    debug
        It logs all that it can.
    """

    def __init__(self, home: Path, extension: str, options: list[str], token: str, *, debug: bool = True) -> None:
        self.port = free_port()
        self.log = home / "jupyter.log"
        home.mkdir(parents=True, exist_ok=True)
        (home / "keystone.token").write_text(token)
        command = [
            sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", *(["--debug"] if debug else []),
            f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={home}", f"--ServerApp.jpserver_extensions={extension}=True",
            f"--ServiceExtension.token_path={home / 'keystone.token'}", *options,
        ]  # fmt: skip
        environment = {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
        self._process = Process(command, self.log, environment)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"token {TOKEN}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process.start(f"{self.url}/api")

    def stop(self) -> None:
        self.session.close()
        self._process.stop()

    @property
    def process(self) -> psutil.Process:
        assert self._process.popen is not None
        return psutil.Process(self._process.popen.pid)

    def call(self, method: str, path: str, **options) -> requests.Response:
        """A request below the server's address."""
        return self.session.request(method, f"{self.url}/{path}", **({"timeout": 300} | options))


class Peak:
    """How much more memory a process takes during the block, at most: ``with Peak(process) as peak: … peak.bytes``."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = self._highest = process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._highest = max(self._highest, self._process.memory_info().rss)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        return self._highest - self._before
