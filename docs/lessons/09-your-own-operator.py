# %% [markdown]
# # 9. Your own operator
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - make an operator of others, which is the cheap way and often the best;
# - write one from the ground up, with `Observable(subscribe)`;
# - name the four faults that nearly every first version has, and see what they do;
# - give your operator types, and test it in virtual time.

# %%
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TypeVar

import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import TimeoutScheduler

from rxecho import EchoServer, Live, WebSocketChannel
from rxecho.lessons import check, one_by_one
from rxecho.marbles import MarbleDiagram, Timeline, cold, diagram, expect
from rxecho.operators import from_json

opened = ExitStack()
server = opened.enter_context(EchoServer())

# %% [markdown]
# ## The cheap way
#
# What stands in a pipe is a function from one observable to another. To give it an argument as well, such as a symbol
# whose prices are to pass, put it into a second function:


# %%
def prices(symbol):
    def operator(source):
        return source.pipe(
            from_json(),
            ops.filter(lambda quote: quote["symbol"] == symbol),
            ops.map(lambda quote: quote["price"]),
        )

    return operator


# %% [markdown]
# `prices` is an **operator function**, as `ops.take` is: it takes the arguments, and returns a function that takes the
# source. If you forget to call it, the wrong one of the two meets the source:

# %% tags=["raises-exception"]
diagram(prices, "-a-b-|")

# %% [markdown]
# (In a real pipe it says that a function has no `subscribe`.) Called with its argument, it works:

# %%
timeline = Timeline(resolution=0.2)
ticker = server.url_for("/ticker?interval=0.2&count=13&seed=1")

with Live(timeline), WebSocketChannel.connect(ticker) as channel:
    channel.stream.pipe(
        prices("DART"),
        timeline.trace("DART"),
    ).run()

# %% [markdown]
# Little can go wrong in this way. `prices` hands on errors, ends when its source does, and disposes of it when nobody
# listens any more, all because the operators in it do. So try this first.
#
# ## From the ground up
#
# Now to an operator that has to remember something. `changes(threshold, number)` hands on the first value, and after that
# only a value whose number has moved by more than `threshold` since *the last one handed on*. The function `number` gives
# the number of a value.
#
# `Observable(subscribe)` is made from one function. Rx calls it for each subscriber, with their observer and their scheduler
# (`None` where they gave none). It subscribes to the source above, and tells the observer below what is to pass. A first
# version, such as most of us would write:


# %%
def changes(threshold, number):
    last = None

    def operator(source):
        def subscribe(observer, scheduler=None):
            def on_next(value):
                nonlocal last
                if last is None or abs(number(value) - last) > threshold:
                    last = number(value)
                    observer.on_next(value)

            source.subscribe(on_next)

        return Observable(subscribe)

    return operator


diagram(changes(2, float), "-5-6-8-7-5-|")

# %% [markdown]
# The values are right: 6 is too close to 5, and 7 to 8. But there are four faults. The first shows at the right end: the
# source has completed, and the lower line goes on for ever, so a `run()` would never return. We listen to values only,
# neither to *completed* nor to *error*.
#
# The second shows when somebody leaves, as `ops.take(1)` does after one value:

# %%
diagram([changes(2, float), ops.take(1)], "-5-6-8-7-5-|")

# %% [markdown]
# The middle line was disposed of (the dashed bar), and the source goes on all the same: nobody could stop a ticker.
# `subscribe` has to return a subscription, or there is nothing to dispose of.
#
# For the third, let Ann and Ben listen to an echo channel through the same operator:


# %%
def ann_and_ben(operator):
    timeline = Timeline(resolution=0.2)
    numbers = cold("-5-6-8-7-5-|", timespan=0.2).pipe(ops.map(str))

    with Live(timeline), WebSocketChannel.connect(server.url) as channel:
        moved = channel.stream.pipe(operator)
        moved.pipe(timeline.trace("Ann")).subscribe()
        moved.pipe(timeline.trace("Ben")).subscribe()
        numbers.subscribe(channel.sink)
        channel.stream.pipe(timeline.trace("echo")).run()


ann_and_ben(changes(2, float))

# %% [markdown]
# Ben gets nothing. (And both go on for ever, which is the first fault.) Whatever passes for Ann sets `last`; when it comes
# to Ben, it is no change any more. A **side effect** is whatever a function does beside returning its result: it prints, it sends, it changes a
# variable outside of itself. Here, Ann's `on_next` has one that reaches Ben, because both share one `last`. What belongs
# to a subscription has to be made inside of `subscribe`, which runs once for each.
#
# The fourth has to do with `number`, which others write. What if it raises? (Only the last line matters.)

# %% tags=["raises-exception"]
diagram(changes(2, float), "-5-x-9-|")

# %% [markdown]
# The exception went the wrong way: to whoever had emitted the value, which on a live socket is the channel's own thread.
# The observer heard nothing. In Rx, what such a function raises is an *error* of the stream. So we catch it, around that
# one call, and tell the observer.
#
# ## Repaired, and with types
#
# The comments count the faults. We also hand on the scheduler: without it, a `cold` or an `ops.delay` above us would keep
# still in virtual time.

# %%
T = TypeVar("T")


def changes(
    threshold: float, number: Callable[[T], float]
) -> Callable[[Observable[T]], Observable[T]]:
    """Hand on a value when its number has moved by more than `threshold`."""

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer, scheduler=None):
            last = None  # 3: begins anew for each subscription

            def on_next(value):
                nonlocal last
                try:
                    now = number(value)
                except Exception as error:
                    observer.on_error(error)  # 4: the observer is told
                    return
                if last is None or abs(now - last) > threshold:
                    last = now
                    observer.on_next(value)

            return source.subscribe(  # 2: can be disposed of
                on_next,
                observer.on_error,  # 1: all three notifications
                observer.on_completed,
                scheduler=scheduler,
            )

        return Observable(subscribe)

    return operator


diagram(changes(2, float), "-5-x-9-|")

# %% [markdown]
# The error comes out below, and the source is disposed of: the hollow 9 never came. And Ben gets what Ann gets, up to
# *completed*:

# %%
ann_and_ben(changes(2, float))

# %% [markdown]
# Now to the types. `T` is a **type variable**: a name that stands for any type, but for the same one wherever it is
# written. So whatever values go in, such values come out, and `number` has to take them. `subscribe` and
# `on_next` go without types, since only Rx calls them.
#
# A type checker such as mypy then finds, before anything runs, the call that is missing in `.pipe(changes)`, and in
# `changes(2, str.upper)` a function that gives no number.
#
# ## Tested
#
# Here is a test of the values, the ends, the errors and a second subscription:


# %%
def test_changes(changes):
    def moved(marbles):
        return cold(marbles).pipe(changes(2, float))

    expect(moved("-5-6-8-7-5-|"), "-5---8---5-|")  # values, and completed
    expect(moved("-5-#"), "-5-#")  # the source's error
    expect(moved("-5-x-9-|"), "-5-#")  # the function's error

    again = moved("-5-6|")  # two subscriptions, one after the other
    expect(reactivex.concat(again, again), "-5---5--|")


test_changes(changes)

# %% [markdown]
# It passes. (It would without the second repair, too: for that, draw it with `take(1)` again.)
#
# Now see how little it takes. `distinct_until_changed` compares each value with the last one that passed. `number` says what
# of them to compare, and `are_close` when two numbers count as the same:


# %%
def changes_composed(threshold, number):
    def are_close(last, now):
        return abs(now - last) <= threshold

    return ops.distinct_until_changed(number, are_close)


test_changes(changes_composed)

# %% [markdown]
# It passes the same test, and had no room for any of the four faults. What cannot be composed, you can now write from the
# ground up.
#
# ## Exercises
#
# ### Exercise 1: the cheap way
#
# Write the operator function `symbols`. It takes no arguments, but is called all the same, as `ops.distinct()` is. Of the
# ticker's messages it makes their symbols, each one only the first time that it comes. (`ops.distinct()` leaves out what has come before.)


# %% tags=["exercise"]
def symbols():
    return ...


# %% tags=["solution"]
def symbols():
    def operator(source):
        return source.pipe(
            from_json(),
            ops.map(lambda quote: quote["symbol"]),
            ops.distinct(),
        )

    return operator


# %% tags=["check"]
def result(future):
    """What a future has, if it comes soon."""
    try:
        return future.result(timeout=5)
    except TimeoutError:
        raise TimeoutError("waited 5 seconds in vain") from None


def on_ticker(operator):
    """What comes out on a live ticker, without the pauses."""
    url = server.url_for("/ticker?interval=0.02&count=9&seed=1")
    with WebSocketChannel.connect(url) as channel:
        values = channel.stream.pipe(
            operator,
            ops.take(10),
            ops.to_list(),
            ops.to_future(Future),
        )
        return one_by_one(result(values))


solved_1 = check(
    "Exercise 1",
    lambda: on_ticker(symbols()),
    "d-x-e-r-|",
    {"d": "DART", "x": "RXPY", "e": "ECHO", "r": "RICH"},
    hint="As in prices, a function in a function, and a return in each: decode, map, leave out "
    "what is known.",
)

# %% [markdown]
# ### Exercise 2: one in n
#
# Write `every(n)`, with `Observable(subscribe)`. It hands on the n-th value, the 2n-th, the 3n-th, and so on. (A copy of
# `changes` is a good beginning.)


# %% tags=["exercise"]
def every(n):
    return ...


# %% tags=["solution"]
def every(n):
    def operator(source):
        def subscribe(observer, scheduler=None):
            count = 0

            def on_next(value):
                nonlocal count
                count += 1
                if count % n == 0:
                    observer.on_next(value)

            return source.subscribe(
                on_next,
                observer.on_error,
                observer.on_completed,
                scheduler=scheduler,
            )

        return Observable(subscribe)

    return operator


# %% tags=["check"]
def subscribed_twice(operator):
    """Two subscriptions to the same observable, one after the other."""
    once = cold("-a-b-c-|").pipe(operator)
    return reactivex.concat(once, once)


def source_before(operator):
    """What the source does when everybody has left after the first value."""
    run = diagram([operator, ops.take(1)], "-a-b-c-d-|")
    return MarbleDiagram(run.lanes[:1], end=run.end)


solved_2 = (
    check(
        "Exercise 2 (values and completed)",
        lambda: cold("-a-b-c-d-e-|").pipe(every(2)),
        "---b---d---|",
        hint="Count in on_next. Does it hear the end? Is the scheduler handed on?",
    )
    and check(
        "Exercise 2 (error)",
        lambda: cold("-a-b-#").pipe(every(2)),
        "---b-#",
        hint="The source has three kinds of notifications.",
    )
    and check(
        "Exercise 2 (two subscriptions)",
        lambda: subscribed_twice(every(2)),
        "---b------b---|",
        hint="Where does the count begin anew?",
    )
    and check(
        "Exercise 2 (the source, when everybody has left)",
        lambda: source_before(every(2)),
        "-a-b",
        hint="What has subscribe to return?",
    )
)

# %% [markdown]
# ### Exercise 3: what, and when
#
# Write `stamped(label)`. For each value it emits a tuple: the seconds since the subscription, and what the function
# `label` makes of the value. What `label` raises is an error of the stream.
#
# The clock is the scheduler; where none is given, take RxPY's own: `clock = scheduler or TimeoutScheduler.singleton()`. It
# tells the time as `clock.now`, and the difference of two times has `.total_seconds()`.


# %% tags=["exercise"]
def stamped(label):
    return ...


# %% tags=["solution"]
def stamped(label):
    def operator(source):
        def subscribe(observer, scheduler=None):
            clock = scheduler or TimeoutScheduler.singleton()
            begun = clock.now

            def on_next(value):
                seconds = (clock.now - begun).total_seconds()
                try:
                    labelled = label(value)
                except Exception as error:
                    observer.on_error(error)
                    return
                observer.on_next((seconds, labelled))

            return source.subscribe(
                on_next,
                observer.on_error,
                observer.on_completed,
                scheduler=scheduler,
            )

        return Observable(subscribe)

    return operator


# %% tags=["check"]
def stamped_twice():
    """Two subscriptions to the same observable, one after the other."""
    once = cold("-a--b|").pipe(stamped(str.upper))
    return reactivex.concat(once, once)


def echoed():
    """What it makes of an echo, subscribed to without a scheduler."""
    with WebSocketChannel.connect(server.url) as channel:
        first = channel.stream.pipe(
            stamped(len),
            ops.first(),
            ops.to_future(Future),
        )
        channel.sink.add("hello")
        seconds, labelled = result(first)
    return reactivex.of("in time" if 0 <= seconds < 5 else seconds, labelled)


solved_3 = (
    check(
        "Exercise 3 (in virtual time)",
        stamped_twice,
        "-a--b-a--b|",
        {"a": (1, "A"), "b": (4, "B")},
        hint="Read clock.now in subscribe, and again in on_next. Whose clock is it? Are the "
        "scheduler and the end handed on?",
    )
    and check(
        "Exercise 3 (label raises)",
        lambda: cold("-a-1-b-|", {"a": "a", "b": "b", 1: 1}).pipe(stamped(str.upper)),
        "-x-#",
        {"x": (1, "A")},
        hint="Catch what label raises, tell the observer, and go no further.",
    )
    and check(
        "Exercise 3 (the source's error)",
        lambda: cold("-a-#").pipe(stamped(str.upper)),
        "-x-#",
        {"x": (1, "A")},
        hint="The source has three kinds of notifications.",
    )
    and check(
        "Exercise 3 (the source, when everybody has left)",
        lambda: source_before(stamped(str.upper)),
        "-a",
        hint="What has subscribe to return?",
    )
    and check(
        "Exercise 3 (on a live socket)",
        echoed,
        "(a,b,|)",
        {"a": "in time", "b": 5},
        hint="Nobody has given a scheduler here, so it is None.",
    )
)

# %% [markdown]
# ## What to take along
#
# - Compose what there is, wherever that will do.
# - From the ground up it is `Observable(subscribe)`. What it remembers is made inside of `subscribe`.
# - Hand on all three notifications and the scheduler, and return the subscription.
# - What somebody else's function raises becomes an *error* of the stream.
# - Test what an operator does, and the test outlives the way in which it is written.
#
# This was the last lesson. If you would like to read on: `docs/marbles.md` in this repository draws 66 operators. Look
# there first when you miss one.
#
# You can connect, listen, send and close, and when you miss an operator, you write it, draw it and test it. Thank you for
# the time and thought that you have given this course. May your messages arrive, your connections last, and your marbles
# fall where you expect them.

# %%
opened.close()
