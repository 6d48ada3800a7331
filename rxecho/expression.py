"""Operators that somebody wrote on the command line, and what is wrong with them.

The expression is the user's own Python, evaluated as they would evaluate it themselves; nothing from the network gets
here.
"""

from __future__ import annotations

import ast
import builtins
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import reactivex
from reactivex import Observable, operators

from rxecho.marbles.labels import label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["ExpressionError", "Pipe", "evaluate", "pipe"]

_FILE = "<expression>"
_OF_A_VALUE = "; a function of a value goes into ops.map(…)"


class ExpressionError(ValueError):
    """An expression is wrong; the text is one sentence that points at what is."""


class Pipe(NamedTuple):
    """An operator and its source text.

    Attributes:
        text: As it was written.
        operator: From an observable to an observable.
    """

    text: str
    operator: Callable[[Observable[Any]], Observable[Any]]


def pipe(text: str) -> Pipe:
    """The operator that an expression makes, with `ops` and `rx` in reach.

    Raises:
        ExpressionError: It is not Python, it raises, or what it makes is no operator.

    >>> pipe("ops.map(str.upper)").text
    'ops.map(str.upper)'
    """
    operator = evaluate(text)
    what = f"{text!r} is no operator"
    if isinstance(operator, Observable) or not callable(operator):
        raise ExpressionError(f"{what}, it is {_a(operator)}; write one such as ops.map(str.upper)")
    try:
        result = operator(reactivex.never())
    except Exception as error:
        advice = _OF_A_VALUE if isinstance(error, AttributeError | TypeError) else ""
        raise ExpressionError(f"{what}, called with an observable it raises {_said(error)}{advice}") from error
    if not isinstance(result, Observable):
        advice = "; call it, with its arguments" if callable(result) else _OF_A_VALUE
        raise ExpressionError(f"{what}, called with an observable it returns {_a(result)}{advice}")
    return Pipe(" ".join(text.split()), operator)


def evaluate(text: str, names: Mapping[str, Any] | None = None) -> Any:
    """What an expression gives, with `ops`, `rx` and some more names in reach.

    Raises:
        ExpressionError: It is not Python, or it raises.

    >>> evaluate("ops.mpa(str)")
    Traceback (most recent call last):
        ...
    rxecho.expression.ExpressionError: at 'ops.mpa' in 'ops.mpa(str)': module 'reactivex.operators' has no attribute ...
    """
    text = text.strip()
    try:
        code = compile(text, _FILE, "eval")
    except SyntaxError as error:
        where = f" at character {error.offset}" if text and error.offset else ""
        raise ExpressionError(f"{text!r} is not a Python expression{where}: {error.msg}") from error
    except ValueError as error:  # null characters, before Python 3.12
        raise ExpressionError(f"{text!r} is not a Python expression: {error}") from error
    try:
        return eval(code, {"ops": operators, "rx": reactivex, **(names or {})})  # noqa: S307 - it is the user's own
    except Exception as error:
        raise ExpressionError(f"{_where(text, error.__traceback__)}: {_said(error)}") from error


def _where(text: str, trace: TracebackType | None) -> str:
    """The innermost part of the expression that was being evaluated."""
    part = text
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            positions = next(islice(trace.tb_frame.f_code.co_positions(), trace.tb_lasti // 2, None))
            part = _segment(text, *positions) or part
        trace = trace.tb_next
    return f"at {part!r} in {text!r}" if part != text else f"in {text!r}"


def _segment(text: str, line: int | None, last: int | None, start: int | None, end: int | None) -> str | None:
    if line is None or last is None or start is None or end is None:
        return None
    node = ast.Constant(None, lineno=line, end_lineno=last, col_offset=start, end_col_offset=end)
    return ast.get_source_segment(text, node)


def _said(error: Exception) -> str:
    """What an error says, and which name may have been meant."""
    if not isinstance(error, NameError | AttributeError):
        return label(error).removesuffix(".")
    known = dir(error.obj) if isinstance(error, AttributeError) else dir(builtins)
    name = error.name or ""
    close = get_close_matches(name, ["ops", "rx", *known], 5)
    close.sort(key=lambda meant: sorted(meant) != sorted(name))  # two letters in each other's place first
    return str(error) + (f", did you mean {close[0]!r}?" if close else "")


def _a(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
