"""Magics for IPython and notebooks: ``%casjobs``, ``%%casjobs``, ``%scidrive``.

``%load_ext SciServer`` adds them. Registering them costs next to nothing: the client, httpx, pandas and pyarrow come
when a magic is first used.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load", "unload"]

_JOB = ("SciServer.core.models", "Job")
_NAMES = (("line", "casjobs"), ("cell", "casjobs"), ("line", "scidrive"))


def load(ip: Any) -> None:
    """Add the magics, their completion, and how jobs are shown, to an IPython shell; again is no error."""
    from SciServer.magics.casjobs import CasJobsMagics
    from SciServer.magics.matcher import matcher
    from SciServer.magics.scidrive import SciDriveMagics
    from SciServer.magics.session import Session

    unload(ip)
    session = Session(ip)
    casjobs = CasJobsMagics(ip, session)
    ip.register_magics(casjobs)
    ip.register_magics(SciDriveMagics(ip, session))
    ip.Completer.custom_matchers.append(matcher(casjobs))
    formatters = ip.display_formatter.formatters
    formatters["text/html"].for_type_by_name(*_JOB, _job_html)
    formatters["text/plain"].for_type_by_name(*_JOB, _job_text)


def unload(ip: Any) -> None:
    """Remove what `load` has added, if it has."""
    from SciServer.magics.matcher import IDENTIFIER

    for kind, name in _NAMES:
        ip.magics_manager.magics[kind].pop(name, None)
    for magics in ("CasJobsMagics", "SciDriveMagics"):
        found = ip.magics_manager.registry.pop(magics, None)
        if found is not None:
            ip.configurables[:] = [each for each in ip.configurables if each is not found]
            found.session.close()
    matchers = ip.Completer.custom_matchers
    matchers[:] = [each for each in matchers if getattr(each, "matcher_identifier", "") != IDENTIFIER]
    for kind in ("text/html", "text/plain"):
        ip.display_formatter.formatters[kind].pop(".".join(_JOB), None)


def _job_html(job: Any) -> str:
    from SciServer.magics.shown import jobs

    return jobs([job])._repr_html_()


def _job_text(job: Any, printer: Any, cycle: bool) -> None:
    from SciServer.magics.shown import jobs

    printer.text(repr(jobs([job])))
