"""Close codes by name: RFC 6455, section 7.4, and the IANA registry that grew out of it.

The counterpart of Dart's `package:web_socket_channel/status.dart`:

>>> from rxecho import status
>>> status.GOING_AWAY
<CloseCode.GOING_AWAY: 1001>
>>> status.describe(1006)
'1006 (abnormal closure)'
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "ABNORMAL_CLOSURE",
    "BAD_GATEWAY",
    "GOING_AWAY",
    "INTERNAL_ERROR",
    "INVALID_PAYLOAD",
    "MANDATORY_EXTENSION",
    "MESSAGE_TOO_BIG",
    "NORMAL_CLOSURE",
    "NO_STATUS_RECEIVED",
    "POLICY_VIOLATION",
    "PROTOCOL_ERROR",
    "SERVICE_RESTART",
    "TLS_HANDSHAKE",
    "TRY_AGAIN_LATER",
    "UNSUPPORTED_DATA",
    "CloseCode",
    "describe",
    "is_valid",
]


class CloseCode(IntEnum):
    """Why a channel was closed. Codes from 3000 to 4999 belong to libraries and applications."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RECEIVED = 1005
    """Never sent: the peer's close frame carried no code."""
    ABNORMAL_CLOSURE = 1006
    """Never sent: no close frame came."""
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015
    """Never sent: the TLS handshake failed."""


NORMAL_CLOSURE = CloseCode.NORMAL_CLOSURE
GOING_AWAY = CloseCode.GOING_AWAY
PROTOCOL_ERROR = CloseCode.PROTOCOL_ERROR
UNSUPPORTED_DATA = CloseCode.UNSUPPORTED_DATA
NO_STATUS_RECEIVED = CloseCode.NO_STATUS_RECEIVED
ABNORMAL_CLOSURE = CloseCode.ABNORMAL_CLOSURE
INVALID_PAYLOAD = CloseCode.INVALID_PAYLOAD
POLICY_VIOLATION = CloseCode.POLICY_VIOLATION
MESSAGE_TOO_BIG = CloseCode.MESSAGE_TOO_BIG
MANDATORY_EXTENSION = CloseCode.MANDATORY_EXTENSION
INTERNAL_ERROR = CloseCode.INTERNAL_ERROR
SERVICE_RESTART = CloseCode.SERVICE_RESTART
TRY_AGAIN_LATER = CloseCode.TRY_AGAIN_LATER
BAD_GATEWAY = CloseCode.BAD_GATEWAY
TLS_HANDSHAKE = CloseCode.TLS_HANDSHAKE

_NEVER_SENT = frozenset({NO_STATUS_RECEIVED, ABNORMAL_CLOSURE, TLS_HANDSHAKE})


_KNOWN = frozenset(map(int, CloseCode))


def is_valid(code: int) -> bool:
    """Whether a close frame may carry this code: 1000-1003, 1007-1014 and 3000-4999.

    >>> is_valid(1000), is_valid(1006), is_valid(4000)
    (True, False, True)
    """
    return 3000 <= code <= 4999 or (code in _KNOWN and code not in _NEVER_SENT)


def describe(code: int) -> str:
    """The code with its name, as a person would read it.

    >>> describe(1001), describe(4000)
    ('1001 (going away)', '4000')
    """
    try:
        return f"{code} ({CloseCode(code).name.lower().replace('_', ' ')})"
    except ValueError:
        return str(code)
