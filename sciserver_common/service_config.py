"""Options of a service, which are in the hub's configuration file."""

from __future__ import annotations

from pathlib import Path

from traitlets.config import Application, PyFileConfigLoader


def read_config(application: Application, config_file: str | None, error: type[Exception]) -> None:
    """Read an application's options; without a file its defaults hold.

    Parameters
    ----------
    error
        What is raised, with a text that says what to do, if the file is not there or fails.
    """
    if not config_file:
        return
    path = Path(config_file).expanduser().resolve()
    if not path.is_file():
        raise error(f"{path}: no such configuration file.")
    try:
        application.update_config(PyFileConfigLoader(path.name, path=str(path.parent)).load_config())
        # What is on the command line wins over the file.
        application.update_config(application.cli_config)
    except Exception as problem:
        raise error(f"{path} cannot be read: {type(problem).__name__}: {problem}") from problem
