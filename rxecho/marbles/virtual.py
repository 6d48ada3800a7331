"""Diagrams of operators: any operator, run over written sources in virtual time, which takes none.

Nothing here is drawn from a prepared example. A `Timeline` records what the operator really does, its subscribing and
disposing included.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import reactivex
from reactivex import Observable, abc
from reactivex.scheduler import VirtualTimeScheduler

from rxecho.marbles.model import Kind, Lane, MarbleDiagram, Notification, Operator
from rxecho.marbles.text import notifications
from rxecho.marbles.timeline import LIMIT, Timeline

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["cold", "diagram", "parts", "record"]

Step = Callable[..., Any]
"""An operator, or a function of several observables."""

SLACK = 10
"""Characters that an operator is given beyond twice its longest source, to come to an end."""

_running: ContextVar[Timeline | None] = ContextVar("_running", default=None)


def diagram(
    operator: Step | Sequence[Step] | Observable[Any],
    *sources: str,
    lookup: Mapping[str | float, Any] | None = None,
    error: Exception | None = None,
    label: str | Sequence[str] | None = None,
    timespan: float = 1.0,
    until: float | None = None,
) -> MarbleDiagram:
    """Run an operator over marbles in virtual time, and return the diagram of what happened.

    >>> from reactivex import operators as ops
    >>> print(diagram(ops.debounce(2), "-a--b----c-|"))
    -a--b----c-|
    [ ops.debounce(2) ]
    ---a--b----(c,|)

    Where a source is disposed of before its end, the values that it still had are drawn as missed. Observables that the
    result emits are subscribed to, and drawn as inner lanes; so are those of `cold` that an operator subscribes to,
    such as `ops.flat_map(lambda x: cold("1-2|"))`. Operators run on the virtual time as long as they leave the choice
    of a scheduler to the subscription, as RxPY's do unless they are given one.

    Args:
        operator: RxPY's or your own: a function from an observable to an observable. Several in a list get a box and
            a lane each. With several sources, a function of all of them, such as `reactivex.merge`, or one that makes
            an operator of the others, such as `ops.merge`. Without a source, an observable.
        sources: In RxPY's marble syntax, each subscribed to when the operator does so.
        lookup: What a marble stands for, where that is not the text or the number itself.
        error: What `#` stands for; `Exception("error")` unless given.
        label: What is written into the box, or the boxes; the operator's source text unless given.
        timespan: Seconds that a character takes.
        until: When to stop, in seconds: twice the longest source and ten characters more, unless given.

    Raises:
        ValueError: A source is not in RxPY's syntax, or there were more than 10,000 notifications.
        TypeError: The operator is none.
    """
    if label is None:
        label = _source_text(operator, sys._getframe(1))
    labels = [label] if isinstance(label, str) else label
    if not timespan > 0:
        raise ValueError(f"a timespan is more than 0 seconds, not {timespan!r}")
    written = [_read(number, source, lookup, error, timespan) for number, source in enumerate(sources, 1)]
    longest = max((len(source.replace(" ", "")) for source in sources), default=0) * timespan
    until = 2 * longest + SLACK * timespan if until is None else until

    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    # The lanes that they have are found again by the numbers of their blocks, which are their names until then.
    inputs = [
        _source(source, lookup, error, timespan, scheduler).pipe(timeline.trace(str(number)))
        for number, source in enumerate(sources)
    ]
    others = len(sources)  # the block of each `cold` that no value brought
    results = list(_results(operator, inputs, timeline, others + 1))
    token = _running.set(timeline)
    try:
        _run(results[-1], scheduler, until)
    finally:
        _running.reset(token)
    recorded = timeline.diagram()

    blocks: list[list[Lane | Operator]] = [[] for _ in range(others + 1 + len(results))]
    for text, result in zip(labels, blocks[others + 1 :], strict=False):
        result.append(Operator(text))
    block = blocks[0]
    for lane in recorded.lanes:
        if lane.depth:
            block.append(lane)
            continue
        number = int(lane.name or others)
        block, unnamed = blocks[number], replace(lane, name="")
        block.append(_with_missed(unnamed, written[number]) if number < others else unnamed)
    ends = [moments[-1].time for lane in recorded.lanes if (moments := lane.notifications)]
    return MarbleDiagram(tuple(chain.from_iterable(blocks)), end=max([longest - timespan, *ends]))


def record(observable: Observable[Any], until: float) -> Timeline:
    """Subscribe to an observable in virtual time, for so many seconds of it.

    >>> import reactivex
    >>> record(reactivex.timer(1), 5).diagram().lanes[0].notifications[1]
    Notification(time=1.0, kind=<Kind.NEXT: 0>, value=0)
    """
    scheduler = VirtualTimeScheduler()
    timeline = Timeline(scheduler)
    _run(observable.pipe(timeline.trace()), scheduler, until)
    return timeline


def cold(
    marbles: str,
    lookup: Mapping[str | float, Any] | None = None,
    *,
    error: Exception | None = None,
    timespan: float = 1.0,
) -> Observable[Any]:
    """An observable of marbles, which begin anew for each subscription: `reactivex.cold`, seen by `diagram`.

    Subscribed to while a `diagram` runs, it becomes an inner lane under the value that caused it.

    Raises:
        ValueError: The marbles are not in RxPY's syntax.

    >>> from reactivex import operators as ops
    >>> print(diagram(ops.flat_map(lambda x: cold("-x-x|", {"x": x})), "-a---b--|"))
    -a---b--|
     -a-a|
         -b-b|
    [ ops.flat_map(lambda x: cold("-x-x|", {"x": x})) ]
    --a-a-b-b|
    """
    tuple(notifications(marbles, lookup, error=error))
    source = _source(marbles, lookup, error, timespan)

    return _Cold(source)


class _Cold(Observable[Any]):
    """Traced by the diagram that runs, if one does, by whoever it is subscribed to."""

    def __init__(self, untraced: Observable[Any]) -> None:
        super().__init__()
        self.untraced = untraced

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        timeline = _running.get()
        source = self.untraced if timeline is None else self.untraced.pipe(timeline.trace())
        return source.subscribe(observer, scheduler=scheduler)


def _source(
    marbles: str,
    lookup: Mapping[str | float, Any] | None,
    error: Exception | None,
    timespan: float,
    scheduler: abc.SchedulerBase | None = None,
) -> Observable[Any]:
    return reactivex.from_marbles(marbles, timespan, lookup=lookup, error=error, scheduler=scheduler)


def _read(
    number: int, source: str, lookup: Mapping[str | float, Any] | None, error: Exception | None, timespan: float
) -> list[Notification]:
    try:
        return list(notifications(source, lookup, "", error=error, timespan=timespan))
    except ValueError as fault:
        raise ValueError(f"source {number}, {source!r}: {fault}") from None


def _results(
    operator: Step | Sequence[Step] | Observable[Any],
    inputs: Sequence[Observable[Any]],
    timeline: Timeline,
    first: int,
) -> Iterator[Observable[Any]]:
    """What comes out of each operator, traced by a name that is its number."""
    for block, step in enumerate(operator if isinstance(operator, Sequence) else [operator], first):
        observable = _apply(step, inputs)
        if not isinstance(observable, Observable):
            number = f"{len(inputs)} source{'s' * (len(inputs) != 1)}"
            raise TypeError(
                f"called with {number}, the operator returned a {type(observable).__name__} instead of an observable"
            )
        inputs = [observable.pipe(timeline.trace(str(block)))]
        yield inputs[0]


def _apply(step: Step | Observable[Any], inputs: Sequence[Observable[Any]]) -> object:
    if isinstance(step, Observable):
        return step
    if not callable(step):
        raise TypeError(f"an operator is a function from an observable to an observable, not a {type(step).__name__}")
    if not inputs and not _takes(step, 0):
        raise TypeError("the operator takes a source, and none is given: write one such as '-a-b-|'")
    if len(inputs) > 1 and _takes(step, len(inputs) - 1):
        made = step(*inputs[1:])
        if not isinstance(made, Observable) and callable(made):
            return made(inputs[0])
    return step(*inputs)


def _takes(step: Step, number: int) -> bool:
    try:
        inspect.signature(step).bind(*range(number))
    except (TypeError, ValueError):
        return False
    return True


class _TooMuchError(Exception):
    pass


def _run(observable: Observable[Any], scheduler: VirtualTimeScheduler, until: float) -> None:
    left = LIMIT

    def listen(source: Observable[Any]) -> abc.DisposableBase:
        return source.subscribe(on_next, lambda _: None, scheduler=scheduler)

    def on_next(value: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooMuchError
        if isinstance(value, Observable):
            listen(value)

    with suppress(_TooMuchError):
        listen(observable)
        scheduler.advance_to(until)
    if left < 0:  # also where an operator caught what was raised, as `repeat` does
        raise ValueError(f"the operator emitted more than {LIMIT:,} values; end it earlier, with ops.take or until=")


def _with_missed(lane: Lane, written: Sequence[Notification]) -> Lane:
    """A source, with the values that it was not asked for."""
    happened = lane.notifications
    if happened and happened[-1].kind is not Kind.DISPOSED:
        return lane
    last = happened[-1].time if happened else -1.0
    begin = next((one.time for one in reversed(happened) if one.kind is Kind.SUBSCRIBED), 0.0)
    missed = (one._replace(time=begin + one.time, kind=Kind.MISSED) for one in written if one.kind is Kind.NEXT)
    return replace(lane, notifications=(*happened, *(one for one in missed if one.time > last + 1e-7)))


# What is written into the boxes.


def parts(text: str, operator: object) -> list[str]:
    r"""The text of an operator, or of each where it is a list that is written out, on one line.

    Raises:
        SyntaxError: It is no expression.

    >>> parts("[ops.first(),\n ops.map(str)]", [1, 2])
    ['ops.first()', 'ops.map(str)']
    """
    text = f"({text}\n)"  # as an argument, it may go on in the next line
    node = ast.parse(text, mode="eval").body
    nodes = [node]
    if isinstance(operator, Sequence) and isinstance(node, ast.List | ast.Tuple) and len(node.elts) == len(operator):
        nodes = node.elts
    return [_on_one_line(ast.get_source_segment(text, each) or "", each) for each in nodes]


def _on_one_line(text: str, node: ast.expr) -> str:
    """As it was written, but for comments and where the lines of a text or its spaces count."""
    line = " ".join(text.split())
    try:
        meant = ast.dump(ast.parse(line, mode="eval").body)
    except SyntaxError:
        meant = ""
    return line if meant == ast.dump(node) else ast.unparse(node)


def _source_text(operator: Step | Sequence[Step] | Observable[Any], caller: FrameType) -> list[str]:
    """The operator as the caller's source has it, or its name where there is no source."""
    if (argument := _first_argument(caller)) is not None:
        return parts(argument, operator)
    steps = operator if isinstance(operator, Sequence) else [operator]
    return [_name(step) for step in steps]


def _name(step: Step | Observable[Any]) -> str:
    if inspect.isfunction(step):  # what RxPY curries is called as the operator is, but inside
        step = inspect.getclosurevars(step).nonlocals.get("fun", step)
    return str(getattr(step, "__name__", "")).strip("_") or "operator"


def _first_argument(caller: FrameType) -> str | None:
    """The text of the first argument of the call that the caller is in."""
    first, last, start, end = next(islice(caller.f_code.co_positions(), caller.f_lasti // 2, None))
    if first is None or last is None or start is None or end is None:
        return None
    lines = [
        line.encode() for line in linecache.getlines(caller.f_code.co_filename, caller.f_globals)[first - 1 : last]
    ]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        text = b"".join(lines).decode()
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):  # the file has changed since it was read
        return None
    if not isinstance(call, ast.Call) or not call.args or isinstance(call.args[0], ast.Starred):
        return None
    return ast.get_source_segment(text, call.args[0])
