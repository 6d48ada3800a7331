"""The `heartbeat` operator, where its seconds are not what a float can say."""

from __future__ import annotations

import reactivex

from rxecho.marbles import expect
from rxecho.operators import heartbeat


def test_silence_is_over_in_time_although_a_float_says_that_some_is_left() -> None:
    assert 0.1 + 0.2 - 0.3 > 0
    values = reactivex.from_marbles("-a-------|", 0.1).pipe(heartbeat(0.2, "…"))
    expect(values, "-a-…-…-…-|", timespan=0.1)
