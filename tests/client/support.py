"""Both clients, used by the same tests."""

from __future__ import annotations

import inspect
from typing import Any

from SciServer.core import AsyncClient, Client, Settings

from tests.auth.auth_platform import Platform
from tests.casjobs.casjobs_platform import CasJobsPlatform
from tests.client.recorder import Recorder
from tests.scidrive.drive_platform import DrivePlatform

ENDLESS = "select count(*) as n from Stars a, Stars b, Stars c, Stars d where a.ra + b.ra + c.ra + d.ra > 1"
"""Runs for hours, and has no rows before its end."""

MANY = "select a.objID, b.ra, c.name from Stars a, Stars b, Fields c"
"""10^7 rows."""

AnyClient = Client | AsyncClient


async def got(value: Any) -> Any:
    """What a method of either client gives: the value itself, or what the coroutine gives."""
    return await value if inspect.isawaitable(value) else value


async def batches(result: Any) -> list[Any]:
    """All batches of either client's result."""
    found = result.batches()
    return [batch async for batch in found] if hasattr(found, "__aiter__") else list(found)


def settings_for(url: str, **others: Any) -> Settings:
    """Settings with all services at one place, and no token file."""
    names = ("casjobs_url", "authentication_url", "scidrive_url", "racm_url")
    return Settings(**dict.fromkeys(names, url) | {"token_path": "/nonexistent"} | others)


def casjobs_settings(platform: CasJobsPlatform) -> Settings:
    """Where CasJobs of a test is."""
    return settings_for(platform.url, casjobs_url=platform.rest)


def drive_settings(platform: DrivePlatform) -> Settings:
    """Where SciDrive of a test is."""
    return settings_for(platform.url, racm_url=platform.deployment.service_url("racm"))


def portal_settings(platform: Platform) -> Settings:
    """Where the portal of a test is."""
    return settings_for(f"{platform.deployment.service_url('portal')}/keystone/v3/tokens")


def sent(recorder: Recorder) -> tuple[str, str]:
    """Method and address of the last request; it must have had the token."""
    assert recorder.last.headers["X-Auth-Token"] == "the-token"
    return recorder.last.method, recorder.last.target
