"""Keeps secrets out of the logs of the HTTP library, whatever level somebody sets."""

from __future__ import annotations

import logging
import re

_SECRET = re.compile(r"(/media/)[^/\s\"']+|(x-(?:auth|subject)-token['\"]?\s*,\s*b?['\"])[^'\"]*", re.IGNORECASE)


class SecretsFilter(logging.Filter):
    """Takes tokens in headers and public links' ids out of the text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; all go on."""
        text = record.getMessage()
        if (kept := _SECRET.sub(r"\1\2…", text)) != text:
            record.msg, record.args = kept, None
        return True


_FILTER = SecretsFilter()


def keep_secrets() -> None:
    """Have the loggers of httpx and httpcore leave secrets out; may be called often."""
    for name in ("httpx", "httpcore.http11", "httpcore.http2", "httpcore.connection", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_FILTER)
