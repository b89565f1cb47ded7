"""CasJobs in JupyterLab, on the side of the server: the service's REST interface below the server's own address."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from jupyter_casjobs.extension import CasJobsExtension

    return [{"module": "jupyter_casjobs", "app": CasJobsExtension}]
