"""Marble diagrams of streams: of those that are running, of any operator, and of what somebody wrote.

>>> import reactivex
>>> from reactivex import operators as ops
>>> from rxecho.marbles import Timeline
>>> timeline = Timeline()
>>> reactivex.of("a", "b").pipe(timeline.trace("source"), ops.map(str.upper), timeline.trace("map(upper)")).run()
'B'

Printed by Rich, that timeline is a drawing in the terminal; as the last value of a notebook's cell it is SVG; and
`timeline.to_marbles()` is the text that RxPY's marble tests read. `diagram` runs an operator over written sources in
virtual time, `MarbleDiagram.parse` reads a written diagram, and `expect` compares, for tests.
"""

from __future__ import annotations

from rxecho.marbles.expectation import Mismatch, expect
from rxecho.marbles.model import Kind, Lane, MarbleDiagram, Notification, Operator
from rxecho.marbles.text import MarbleLane, MarbleLine, MarbleText
from rxecho.marbles.timeline import Timeline
from rxecho.marbles.virtual import cold, diagram

__all__ = [
    "Kind",
    "Lane",
    "MarbleDiagram",
    "MarbleLane",
    "MarbleLine",
    "MarbleText",
    "Mismatch",
    "Notification",
    "Operator",
    "Timeline",
    "cold",
    "diagram",
    "expect",
]
