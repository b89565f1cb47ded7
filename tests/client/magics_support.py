"""A person in front of IPython: in this process, or in a kernel of their own as a notebook has it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from traitlets.config import Config

from tests.casjobs.casjobs_platform import CasJobsPlatform, Client
from tests.scidrive.drive_platform import DrivePlatform

LIMIT = 120
"""Seconds that only a fault reaches."""

SECONDS = "select count(*) as n from Stars a, Stars b, Stars c where a.ra + b.ra + c.ra > 0.1"
"""Takes some, and misses only one of 10^9."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def environment(home: Path, token: str, **services: str) -> dict[str, str]:
    """Variables of somebody whose settings and token are these.

    Parameters
    ----------
    services
        As `sciscript.json` has them.
    """
    directory = home / "sciserver"
    directory.mkdir(parents=True, exist_ok=True)
    settings = {**services, "KeystoneTokenPath": str(home / "no-such-token")}
    (directory / "sciscript.json").write_text(json.dumps(settings))
    return {"XDG_CONFIG_HOME": str(home), "SCISERVER_TOKEN": token, "IPYTHONDIR": str(home / "ipython")}


class Shell:
    """An IPython shell of this process, with the magics."""

    def __init__(self) -> None:
        self._main = sys.modules["__main__"]
        self.ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        self.ip.run_line_magic("load_ext", "SciServer")

    def close(self) -> None:
        """Leave nothing of it."""
        self.ip.run_line_magic("unload_ext", "SciServer")
        atexit.unregister(self.ip.atexit_operations)
        self.ip.atexit_operations()
        InteractiveShell.clear_instance()
        # The shell has taken its place.
        sys.modules["__main__"] = self._main

    def run(self, code: str) -> ExecutionResult:
        """Run a cell, whatever comes of it."""
        return self.ip.run_cell(code)

    def value(self, code: str) -> Any:
        """The value of a cell that works."""
        result = self.run(code)
        result.raise_error()
        return result.result

    def error(self, code: str) -> list[str]:
        """What is shown of the error of a cell that does not."""
        result = self.run(code)
        assert result.error_in_exec is not None
        # IPython has asked once already, and would get the traceback now.
        return list(result.error_in_exec._render_traceback_.lines)

    def complete(self, code: str) -> list[str]:
        """Completions at the place of the ``|``."""
        before, _, after = code.partition("|")
        with provisionalcompleter():
            return [found.text for found in self.ip.Completer.completions(before + after, len(before))]


@dataclass
class Outcome:
    """What a cell has shown."""

    status: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)
    updates: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ename: str = ""
    traceback: str = ""

    @property
    def text(self) -> str:
        """All texts."""
        parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in self.outputs]
        return "".join(parts)

    def data(self, kind: str) -> list[str]:
        """Everything that was displayed in a form."""
        return [output["data"][kind] for output in self.outputs if kind in output.get("data", {})]


class Kernel:
    """A kernel in a process of its own, and a front end that listens to it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environment)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def start(self, code: str, *, can_ask: bool = True) -> str:
        """Send a cell; its number."""
        return str(self.client.execute(code, allow_stdin=can_ask))

    def run(self, code: str, *, can_ask: bool = True, answer: str = "") -> Outcome:
        """Run a cell to its end."""
        return self.finish(self.start(code, can_ask=can_ask), answer=answer)

    def finish(self, number: str, *, answer: str = "") -> Outcome:
        """All that a cell shows until its end."""
        outcome = Outcome()
        deadline = time.monotonic() + LIMIT
        while not self._take(outcome, number, answer):
            assert time.monotonic() < deadline, outcome
        reply = self.client.get_shell_msg(timeout=LIMIT)
        while reply["parent_header"].get("msg_id") != number:
            reply = self.client.get_shell_msg(timeout=LIMIT)
        outcome.status = reply["content"]["status"]
        return outcome

    def _take(self, outcome: Outcome, number: str, answer: str) -> bool:
        """The next message; whether it was the last one."""
        with contextlib.suppress(queue.Empty):
            question = self.client.get_stdin_msg(timeout=0)
            outcome.asked.append(question["content"]["prompt"])
            self.client.input(answer)
        try:
            message = self.client.get_iopub_msg(timeout=0.1)
        except queue.Empty:
            return False
        if message["parent_header"].get("msg_id") != number:
            return False
        content = message["content"]
        match message["msg_type"]:
            case "stream" | "display_data" | "execute_result":
                outcome.outputs.append(content)
            case "update_display_data":
                outcome.updates.append(content["data"]["text/plain"])
            case "error":
                outcome.ename = content["ename"]
                outcome.traceback = COLOUR.sub("", "\n".join(content["traceback"]))
            case "status":
                return bool(content["execution_state"] == "idle")
        return False

    def complete(self, code: str) -> list[str]:
        """Completions at the place of the ``|``, as a front end puts them in."""
        before, _, after = code.partition("|")
        reply = self.client.complete(before + after, len(before), reply=True, timeout=LIMIT)["content"]
        assert reply["cursor_end"] == len(before)
        return list(reply["matches"])

    def interrupt(self) -> None:
        """The stop button."""
        self.manager.interrupt_kernel()


@contextlib.contextmanager
def kernel(environment: dict[str, str]) -> Iterator[Kernel]:
    """A kernel with the magics."""
    opened = Kernel(environment)
    try:
        assert opened.run("%load_ext SciServer").status == "ok"
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="session")
def maria(casjobs_site: CasJobsPlatform) -> Client:
    """Somebody who queries in a notebook, and by REST sees what became of it."""
    return casjobs_site.client("maria")


@pytest.fixture
def shell(casjobs_site: CasJobsPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Her IPython, with the magics."""
    own = environment(tmp_path, casjobs_site.token("maria"), CasJobsRESTUri=casjobs_site.rest)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    opened = Shell()
    opened.run("%casjobs use Sky")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def notebook(casjobs_site: CasJobsPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Her notebook."""
    home = tmp_path_factory.mktemp("maria")
    own = environment(home, casjobs_site.token("maria"), CasJobsRESTUri=casjobs_site.rest)
    with kernel({**os.environ, **own}) as opened:
        opened.run("%casjobs use Sky")
        yield opened


@pytest.fixture
def drive_shell(drive_site: DrivePlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """An IPython of somebody with files, in an empty directory."""
    own = environment(tmp_path / "home", drive_site.token("maria"), SciDriveHost=drive_site.url)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    opened = Shell()
    yield opened
    opened.close()
