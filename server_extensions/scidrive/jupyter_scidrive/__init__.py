"""SciDrive in JupyterLab, on the side of the server: the service's REST interface and a drive for the file browser."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from jupyter_scidrive.extension import SciDriveExtension

    return [{"module": "jupyter_scidrive", "app": SciDriveExtension}]
