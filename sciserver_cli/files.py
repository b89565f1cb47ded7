"""``sciserver files``: what people store."""

from __future__ import annotations

import argparse
import os
from typing import Any

from sciserver_cli import processes
from sciserver_cli.errors import OperatorError
from sciserver_common.deployment import Deployment

Result = dict[str, Any]

_FORGET = (
    "Set the files of a user aside whom the hub has deleted, before somebody else gets the name: directories get "
    "names that no user can have, and shares and links end."
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``files`` and its subcommands; `common` has the options of all commands."""
    files = commands.add_parser("files", help="What people store.").add_subparsers(required=True)
    command = files.add_parser(
        "forget", help="Set the files of a deleted user aside.", description=_FORGET, parents=[common]
    )
    command.set_defaults(run=files_forget)
    command.add_argument("name", metavar="NAME", help="user name")


def files_forget(options: argparse.Namespace) -> Result:
    """`sciserver files forget`."""
    # Imported where it is used: other commands need not wait for the database's libraries.
    from sqlalchemy.exc import SQLAlchemyError

    from scidrive_service.app import SciDrive
    from scidrive_service.errors import FileError
    from scidrive_service.policy import PolicyError
    from sciserver_common.service_app import ServiceError

    deployment = Deployment.load(getattr(options, "home", None))
    if not deployment.scidrive_dir.is_dir():
        raise OperatorError("There are no files: run `sciserver up` first.")
    os.environ["SCISERVER_HOME"] = str(deployment.home)  # for the configuration file
    application = SciDrive()
    try:
        application.read_config(str(processes.CONFIG_FILE))
        files = application.make_files(deployment)
        aside = [str(path) for path in files.forget(options.name)]
        files.close()
    except (ServiceError, PolicyError, FileError, OSError) as error:
        raise OperatorError(str(error)) from error
    except SQLAlchemyError as error:
        raise OperatorError(f"The database of volumes cannot be used ({type(error).__name__}).") from error
    lines = list(aside) or [f"{options.name} had no directories."]
    if aside:
        lines.append("Keep these directories, or remove them. Who gets the name now starts with nothing.")
    if application.drive_url:
        lines.append(f"What was in SciDrive is still in the object store, below {options.name}/: remove it there.")
    return {"name": options.name, "directories": aside, "text": "\n".join(lines)}
