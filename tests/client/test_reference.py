"""The reference names what there is."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest
import SciServer.core
from SciServer.core import client

from sciserver_common.deployment import SOURCE

PAGE = (SOURCE / "docs" / "reference" / "client.md").read_text()


def public(owner: Any) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


@pytest.mark.parametrize("kind", [client.CasJobs, client.Files, client.SciDriveFiles], ids=lambda kind: kind.__name__)
def test_methods_of_the_clients(kind: type) -> None:
    for name in public(kind):
        assert re.search(rf"\b{name}\(", PAGE), name
        method = getattr(kind, name)
        assert method.__doc__, name
        assert next(iter(inspect.signature(method).parameters)) == "self"


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (client.CasJobs, client.AsyncCasJobs),
        (client.Files, client.AsyncFiles),
        (client.SciDriveFiles, client.AsyncSciDriveFiles),
    ],
    ids=lambda kind: kind.__name__,
)
def test_both_clients_have_the_same_methods(kind: type, other: type) -> None:
    assert public(kind) == public(other)
    for name in public(kind):
        assert inspect.iscoroutinefunction(getattr(other, name)), name
        assert inspect.signature(getattr(kind, name)) == inspect.signature(getattr(other, name))


def test_errors() -> None:
    for name in SciServer.core.__all__:
        value = getattr(SciServer.core, name)
        assert value.__doc__, name
        if isinstance(value, type) and issubclass(value, Exception):
            assert f"`{name}`" in PAGE, name


@pytest.mark.parametrize("name", ["Authentication", "Config", "CasJobs", "SciDrive", "Files", "Login", "LoginPortal"])
def test_functions_of_sciscript(name: str) -> None:
    module = importlib.import_module(f"SciServer.{name}")
    functions = [value for value in vars(module).values() if inspect.isfunction(value)]
    own = [value for value in functions if value.__module__ == module.__name__ and not value.__name__.startswith("_")]
    for function in own:
        assert f"`{function.__name__}`" in PAGE, function.__name__
        assert function.__doc__, function.__name__
