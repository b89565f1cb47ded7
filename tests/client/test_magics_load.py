"""Loading the magics: cheap, repeatable, and undone without a trace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.client.magics_support import Shell

HEAVY = {"httpx", "pandas", "polars", "pyarrow", "numpy", "astropy", "SciServer.core"}
COST = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "SciServer")
print(sorted(set(sys.modules) - before))
"""


@pytest.fixture
def plain() -> Iterator[Shell]:
    """A shell without a service."""
    opened = Shell()
    yield opened
    opened.close()


def test_loading_imports_nothing_heavy() -> None:
    shown = subprocess.run([sys.executable, "-c", COST], capture_output=True, text=True, check=True).stdout
    loaded = set(eval(shown))  # noqa: S307 - a list of strings
    assert "SciServer.magics.casjobs" in loaded
    assert not loaded & HEAVY
    assert {name.partition(".")[0] for name in loaded} <= {"IPython", "SciServer", *sys.stdlib_module_names}


def test_loading_again_and_unloading(plain: Shell) -> None:
    ip = plain.ip
    assert {"casjobs", "scidrive"} <= set(ip.magics_manager.magics["line"])
    matchers = len(ip.Completer.custom_matchers)
    classes = [type(each).__name__ for each in ip.configurables]
    ip.run_line_magic("reload_ext", "SciServer")
    assert len(ip.Completer.custom_matchers) == matchers
    assert [type(each).__name__ for each in ip.configurables] == classes
    ip.run_line_magic("unload_ext", "SciServer")
    assert not {"casjobs", "scidrive"} & set(ip.magics_manager.magics["line"])
    assert "casjobs" not in ip.magics_manager.magics["cell"]
    assert len(ip.Completer.custom_matchers) == matchers - 1
    assert "CasJobsMagics" not in [type(each).__name__ for each in ip.configurables]
    ip.run_line_magic("load_ext", "SciServer")
    assert plain.complete("%casjobs desc|") == ["describe"]


def test_settings(plain: Shell, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    plain.run("%config CasJobsMagics")
    shown = capsys.readouterr().out
    assert "CasJobsMagics.context" in shown
    assert "CasJobsMagics.on_timeout" in shown
    plain.run("%config CasJobsMagics.format = 'numpy'")
    assert "expected any of ['pandas', 'polars', 'arrow', 'astropy']" in caplog.text
    plain.run("%config CasJobsMagics.format = 'polars'")
    plain.run("%config CasJobsMagics.format")
    assert "'polars'" in capsys.readouterr().out


def test_the_first_use_needs_no_service(plain: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("%casjobs", "%scidrive", "%casjobs help tables"):
        plain.value(line)
        assert capsys.readouterr().out


def test_documentation(plain: Shell) -> None:
    for name in ("casjobs", "scidrive"):
        assert f"%{name} help" in (plain.ip.find_line_magic(name).__doc__ or "")
