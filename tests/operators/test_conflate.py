"""The `conflate` operator, where values come faster than an idle subscriber can begin with the first."""

from __future__ import annotations

import reactivex

from rxecho.marbles import expect
from rxecho.operators import conflate


def test_an_idle_subscriber_gets_the_first_of_what_comes_at_once_and_the_newest() -> None:
    operator = conflate()
    expect(reactivex.from_marbles("--(a,b,c,d)-|", 1.0).pipe(operator), "--(a,d)-----|")
    assert operator.dropped == 2


def test_an_idle_subscriber_gets_the_first_of_what_comes_at_once_and_the_rest_merged() -> None:
    operator = conflate(lambda kept, newest: kept + newest)
    expect(reactivex.from_marbles("--(a,b,c,d)-|", 1.0).pipe(operator), "--(a,bcd)---|")
