"""Operators written on the command line: what is evaluated, and how each mistake is told."""

from __future__ import annotations

import pytest
import reactivex

from rxecho.expression import ExpressionError, evaluate, pipe


def test_an_expression_has_ops_and_rx_and_all_of_python_in_reach() -> None:
    shout = pipe("ops.flat_map(lambda text: rx.of(text, ' '.join(map(str, [len(text)]))))")
    received: list[str] = []
    reactivex.of("abc").pipe(shout.operator).subscribe(received.append)
    assert received == ["abc", "3"]


def test_its_text_is_on_one_line() -> None:
    assert pipe("ops.map(\n    str.upper,\n)").text == "ops.map( str.upper, )"


def test_other_names_can_be_put_in_reach() -> None:
    assert evaluate("double(2)", {"double": lambda number: 2 * number}) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ops.map(", r"'ops.map\(' is not a Python expression at character 8: '\(' was never closed"),
        ("", "'' is not a Python expression"),
        ("x = 1", "'x = 1' is not a Python expression at character"),
        ("a\0b", "is not a Python expression"),
        ("ops.mpa(str)", "at 'ops.mpa' in 'ops.mpa.str.': .* has no attribute 'mpa', did you mean 'map'"),
        ("ops.map(sr)", "at 'sr' in 'ops.map.sr.': name 'sr' is not defined, did you mean 'str'"),
        ("ops.map(zzzzqq)", "name 'zzzzqq' is not defined$"),
        ("ops.take(1 / 0)", "at '1 / 0' in 'ops.take.1 / 0.': ZeroDivisionError: division by zero"),
        ("ops.map(\n  sr)", r"at 'sr' in 'ops.map\(\\n  sr\)'"),
        ("ops", "'ops' is no operator, it is a module; write one such as"),
        ("rx.of(1)", "'rx.of.1.' is no operator, it is an Observable"),
        ("ops.map", "'ops.map' is no operator, called with an observable it returns a function; call it"),
        ("str", "'str' is no operator, called with an observable it returns a str; a function of a value goes into"),
        ("lambda m: m.upper()", "it raises 'Observable' object has no attribute 'upper'.*; a function of a value"),
        ("ops.take(-1)", "'ops.take.-1.' is no operator, called with an observable it raises ArgumentOutOfRange"),
        ("lambda: 1", "takes 0 positional arguments but 1 was given; a function of a value goes into ops.map"),
    ],
)
def test_a_mistake_is_one_sentence_that_points_at_it(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said) as raised:
        pipe(text)
    assert "\n" not in str(raised.value)
    assert not str(raised.value).endswith(".")
