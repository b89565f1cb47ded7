"""Keep tokens out of the logs.

The client libraries send a token as a part of the path (contract §2.2), and JupyterHub writes addresses, and the
headers of requests that failed, into its log. `proxy/redact.js` does the same for the proxy.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any

REPLACEMENT = "[secret]"

# Slashes and the like may be percent-encoded once or more: the proxy passes the address of a failed request on as a
# parameter of another one.
_SLASH = r"(?:/|%(?:25)*2F)+"
_MARK = r"(?:[?&]|%(?:25)*(?:3F|26))"
_EQUALS = r"(?:=|%(?:25)*3D)"

_SECRETS = [
    re.compile(rf"(keystone{_SLASH}v[\d.]+{_SLASH}tokens{_SLASH})[^\s/?&#\"'<>]+", re.IGNORECASE),
    # Addresses that open a file without a token.
    re.compile(rf"(scidrive{_SLASH}media{_SLASH})[^\s/?&#\"'<>%]+", re.IGNORECASE),
    re.compile(rf"({_MARK}(?:\w*token|ident|password|code|state){_EQUALS})[^\s&#\"'<>%]+", re.IGNORECASE),
    # Tornado's word about a header with control characters in it; it does not say which header.
    re.compile(r"(Invalid header value )\S.*"),
    re.compile(r"(X-(?:Auth|Subject)-Token[\"']?\s*[:=]\s*[\"']?)[^\s\"',][^\"'\r\n]*", re.IGNORECASE),
]


def redact(text: str) -> str:
    """`text` without the tokens in addresses and headers."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{REPLACEMENT}", text)
    return text


class Redaction(logging.Filter):
    """Lets every record pass, without the tokens in its message and its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            # A formatter uses this text and makes none of its own.
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True


LOGGING_CONFIG: dict[str, Any] = {
    "filters": {"redaction": {"()": "sciserver_auth.redaction.Redaction"}},
    "handlers": {"console": {"filters": ["redaction"]}},
}
"""For `Application.logging_config` of hub and portal."""
