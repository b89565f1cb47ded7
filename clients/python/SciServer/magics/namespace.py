"""The variables of a cell, for the expressions in it."""

from __future__ import annotations

import sys
from typing import Any

from SciServer.magics.arguments import Given, Word
from SciServer.magics.errors import MagicError, said
from SciServer.magics.sqltext import template_end


class Namespace:
    """Where a magic was called.

    Parameters
    ----------
    shell
        IPython's.
    local
        Variables of the function that has called it; in a cell they are the shell's.
    """

    def __init__(self, shell: Any, local: dict[str, Any] | None = None) -> None:
        self.shell = shell
        self._local = local

    @property
    def variables(self) -> dict[str, Any]:
        """All that an expression may use."""
        user: dict[str, Any] = self.shell.user_ns
        # One dictionary, because inner scopes such as comprehensions see only the global one.
        return user if self._local is None or self._local is user else {**user, **self._local}

    def evaluate(self, expression: str) -> object:
        """The value of an expression.

        Raises
        ------
        Exception
            Whatever it raises.
        """
        return eval(compile(expression, "<template>", "eval"), self.variables)  # noqa: S307 - the user's own code

    def given(self, word: Word) -> str:
        """A word with the values of its templates."""
        if "{{" not in word.text:
            return word.text
        pieces: list[object] = []
        position = 0
        while (start := word.text.find("{{", position)) != -1:
            end = template_end(word.text, start)
            pieces += [word.text[position:start], self._value(word.text[start:end])]
            position = end
        pieces.append(word.text[position:])
        if len(pieces) == 3 and word.text.startswith("{{") and word.text.endswith("}}"):
            return Given.of(word.text, pieces[1])
        text = "".join(map(str, pieces))
        # What was typed as an option stays one; what came from a value does not become one.
        return text if word.text.startswith("-") else Given.of(word.text, text)

    def _value(self, template: str) -> object:
        expression = template.removeprefix("{{").removesuffix("}}").strip()
        try:
            return self.evaluate(expression)
        except Exception as error:
            raise MagicError(f"{template} cannot be evaluated: {type(error).__name__}: {said(error)}") from error

    def object_of(self, word: str) -> object:
        """The value of a template, or of a variable of this name, or the word itself."""
        if isinstance(word, Given):
            return word.value
        variables = self.variables
        return variables.get(word, word) if word.isidentifier() else word

    def say(self, line: str) -> None:
        """A line for the user."""
        print(line)

    def warn(self, line: str) -> None:
        """A line that tells of something to look at."""
        print(line, file=sys.stderr)
