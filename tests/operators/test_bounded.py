"""The `bounded` operator, where values come faster than an idle subscriber can begin with the first."""

from __future__ import annotations

import pytest
import reactivex

from rxecho.marbles import expect
from rxecho.operators import BufferOverflow, bounded
from rxecho.operators._overflow import Overflow


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest", "error"])
def test_as_many_may_wait_as_it_says_besides_the_one_that_is_delivered(overflow: Overflow) -> None:
    operator = bounded(2, overflow)
    expect(reactivex.from_marbles("-(a,b,c)-|", 1.0).pipe(operator), "-(a,b,c)-|")
    assert operator.dropped == 0


def test_one_more_than_may_wait_is_one_too_many() -> None:
    error = BufferOverflow()
    values = reactivex.from_marbles("-(a,b,c,d)-|", 1.0).pipe(bounded(2, "error"))
    with pytest.raises(AssertionError, match="BufferOverflow"):
        expect(values, "-(a,b,c,|)", error=error)
    expect(values, "-(a,b,c,#)")
