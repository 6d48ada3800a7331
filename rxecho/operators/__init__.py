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

from rxecho.operators._snapshots import snapshots

__all__ = ["snapshots"]
