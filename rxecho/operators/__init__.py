"""Operators for `Observable.pipe` that RxPY does not have, one file each, beside its own.

>>> import reactivex
>>> from rxecho import operators
>>> reactivex.of("a", "b").pipe(operators.snapshots()).subscribe(print)
AsyncSnapshot(ConnectionState.WAITING)
AsyncSnapshot(ConnectionState.ACTIVE, data='a')
AsyncSnapshot(ConnectionState.ACTIVE, data='b')
AsyncSnapshot(ConnectionState.DONE, data='b')
<...>
"""

from __future__ import annotations

from rxecho.operators._binary import binary
from rxecho.operators._bounded import bounded
from rxecho.operators._conflate import conflate
from rxecho.operators._from_json import from_json
from rxecho.operators._handover import Handover
from rxecho.operators._heartbeat import Quiet, heartbeat
from rxecho.operators._json_error import JsonError
from rxecho.operators._latency import latency
from rxecho.operators._messages import messages
from rxecho.operators._multiplex import multiplex
from rxecho.operators._overflow import BufferOverflow
from rxecho.operators._rate import Rate, rate
from rxecho.operators._reconnect import ReconnectPhase, ReconnectState, reconnect
from rxecho.operators._reconnecting_sink import ReconnectingSink
from rxecho.operators._request import ReplyTimeout, UnknownReply, request
from rxecho.operators._snapshots import snapshots
from rxecho.operators._text import text
from rxecho.operators._to_json import to_json

__all__ = [
    "BufferOverflow",
    "Handover",
    "JsonError",
    "Quiet",
    "Rate",
    "ReconnectPhase",
    "ReconnectState",
    "ReconnectingSink",
    "ReplyTimeout",
    "UnknownReply",
    "binary",
    "bounded",
    "conflate",
    "from_json",
    "heartbeat",
    "latency",
    "messages",
    "multiplex",
    "rate",
    "reconnect",
    "request",
    "snapshots",
    "text",
    "to_json",
]
