"""``%scidrive``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand

from SciServer.magics import scidrive_commands as declared
from SciServer.magics.arguments import closest, help_text, words
from SciServer.magics.errors import MagicError
from SciServer.magics.namespace import Namespace

if TYPE_CHECKING:
    from SciServer.magics.session import Session


@magics_class
class SciDriveMagics(Magics):
    """The magic."""

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self.session = session

    @no_var_expand
    @needs_local_scope
    @line_magic
    def scidrive(self, line: str, local_ns: dict[str, Any] | None = None) -> Any:
        """List, fetch, send, share and remove your files in SciDrive.

        %scidrive ls results
        %scidrive put *.fits results/
        %scidrive get results/stars.csv

        All of it: %scidrive help
        """
        namespace = Namespace(self.shell, local_ns)
        found = re.match(r"\s*(\S+)", line)
        name = found.group(1) if found else "help"
        command = declared.BY_NAME.get(name)
        if command is None:
            meant = closest(name.lower(), declared.BY_NAME)
            raise MagicError(
                f"There is no command {name}.", f"Did you mean {meant}?" if meant else "See %scidrive help."
            )
        rest = words(line, found.end() if found else 0)
        options = command.parse([namespace.given(word) for word in rest], "%scidrive")
        if command.name == "help":
            print(help_text(options.command, declared.BY_NAME, declared.page(), "%scidrive"))
            return None
        from SciServer.magics.running import act
        from SciServer.magics.scidrive_actions import Actions

        return act(lambda: Actions(self.session, namespace), command.name, options)
