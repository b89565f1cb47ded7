"""The matcher that IPython's completer calls (its API of version 2), also for JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

if TYPE_CHECKING:
    from SciServer.magics.casjobs import CasJobsMagics

IDENTIFIER = "SciServer.magics"
"""By which IPython's settings name this matcher."""

FIRST = 1000
"""Priority: asked before the others, which it may keep from being asked."""


def matcher(magics: CasJobsMagics) -> Any:
    """The matcher of a shell."""

    @context_matcher(identifier=IDENTIFIER, priority=FIRST)  # type: ignore[untyped-decorator]
    def sciserver_matcher(context: CompletionContext) -> SimpleMatcherResult:
        if "%casjobs" not in context.full_text and "%scidrive" not in context.full_text:
            return SimpleMatcherResult(completions=[])
        # Comes with the first of our lines.
        from SciServer.magics.completion import Completion

        offer = Completion(magics).offer(context)
        found = offer.fitting()
        return SimpleMatcherResult(
            completions=[SimpleCompletion(text, type=kind) for text, kind in found],
            matched_fragment=offer.prefix,
            # Python's own names do not belong into SQL.
            suppress=bool(found),
            ordered=True,
        )

    return sciserver_matcher
