# %% [markdown]
# # 5. Marbles and virtual time
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - draw any place of a running pipeline, and find the operator that is at fault;
# - read and write marble diagrams as text;
# - test an operator that waits, without waiting;
# - tell which operators cannot be tested in this way, and why;
# - record a session from a live socket once, and test against it ever after.

# %%
import time
from concurrent.futures import Future, wait
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import reactivex
from reactivex import Subject
from reactivex import operators as ops
from reactivex.scheduler import TimeoutScheduler, VirtualTimeScheduler

from rxecho import EchoServer, Live, WebSocketChannel
from rxecho.lessons import check
from rxecho.marbles import MarbleDiagram, Timeline, cold, diagram, expect
from rxecho.operators import from_json
from rxecho.recording import record, replay, to_marbles

opened = ExitStack()
server = opened.enter_context(EchoServer())
folder = Path(opened.enter_context(TemporaryDirectory()))

# %% [markdown]
# ## Follow a message through the pipe
#
# Here is a pipeline for the ticker. It is to give the prices of DART, and it gives none, without any error. Did the
# server send nothing? Did an operator lose them, and which one?
#
# `timeline.trace` changes nothing of what passes, so it may stand in a pipe as often as you like. Each trace has a
# line of its own, a lane, in the order of the pipe. A whole quote is too long for a marble, so `keep` says what to show.


# %%
def symbol(quote):
    return quote["symbol"]


def prices(wanted):
    timeline = Timeline(resolution=0.2)  # times are rounded to 0.2 s
    ticker = server.url_for("/ticker?interval=0.2&count=8&seed=1")
    with Live(timeline), WebSocketChannel.connect(ticker) as channel:
        channel.stream.pipe(
            from_json(),
            timeline.trace("quote", keep=symbol),
            ops.filter(lambda quote: symbol(quote) == wanted),
            timeline.trace("chosen", keep=symbol),
            ops.map(lambda quote: quote["price"]),
            timeline.trace("price"),
            ops.default_if_empty(),  # without a value, run() would raise
        ).run()


prices("Dart")

# %% [markdown]
# The quotes come, and are decoded. After `filter` there is nothing, so it is `filter` that lets none pass. And the first
# lane shows why: the symbols are in capital letters.

# %%
prices("DART")

# %% [markdown]
# ## An operator with a sense of time
#
# Somebody types, and we want to send what they have typed, but only when they pause. `debounce(0.6)` keeps a value until
# 0.6 seconds have gone by with nothing new after it, and then hands it on. If something new comes first, that takes its
# place. `distinct_until_changed` leaves out what is the same as the one before.
#
# `cold` does the typing for us. It makes an observable of written marbles, which plays them anew for each subscriber. How
# many seconds a character takes is the **timespan**: 1, unless you say otherwise, and 0.2 here.


# %%
def settled(source):
    """What was typed, whenever there was a pause; not the same twice in a row."""
    return source.pipe(
        ops.debounce(0.6),
        ops.distinct_until_changed(),
    )


timeline = Timeline(resolution=0.2)
typed = cold("-a-b-----c----|", timespan=0.2)

with Live(timeline), WebSocketChannel.connect(server.url) as channel:
    typed.pipe(
        timeline.trace("typed"),
        settled,  # a function of ours is an operator, too
        timeline.trace("settled"),
    ).subscribe(channel.sink)
    channel.stream.pipe(timeline.trace("stream")).run()

# %% [markdown]
# `a` was followed by `b` too soon, so it went no further.
#
# ## Marbles as text
#
# A timeline can be written as text, too. This is RxPY's marble syntax, in which tests are written:

# %%
print(timeline.to_marbles())

# %% [markdown]
# - `-` is time in which nothing happens;
# - `a`, `hello`, `42` are values; digits are read as a number;
# - `|` is *completed*, `#` is *error*;
# - `(b,c)` or `(c,|)` come at the same moment, that of the opening bracket.
#
# Every character takes one timespan, the brackets and commas, too. How many values does this line have?

# %%
MarbleDiagram.parse("-a-(b,c)-de-|")

# %% [markdown]
# Four, which surprises nearly everybody: letters that touch are a single value. Two values have a `-` between them, or
# stand in brackets with a comma.
#
# ## A test that waits
#
# How do you test that `settled` does what it should? A first idea: feed it, sleep, and look.


# %%
def test_settled(hiccup=0.0):
    received = []
    keys = Subject()
    keys.pipe(settled).subscribe(received.append)

    keys.on_next("a")
    time.sleep(0.1 + hiccup)  # soon after
    keys.on_next("b")
    time.sleep(1.0)  # long enough, we hope
    assert received == ["b"], f"received {received}"


test_settled()

# %% [markdown]
# It passes, after more than a second. Think of a hundred such tests. And there is worse: a computer is busy at times, and
# then a sleep of 0.1 seconds lasts longer. The parameter `hiccup` plays that.

# %% tags=["raises-exception"]
test_settled(hiccup=0.8)

# %% [markdown]
# Nothing is wrong with `settled`. It is the test that is wrong: it depends not only on `settled`, but also on the speed of
# the computer.
#
# ## A clock of our own
#
# Whatever waits in Rx leaves the waiting to a **scheduler**: an object that tells the time, and does a piece of work
# when its time has come. The usual one goes by the system's clock, and has threads that sleep.
#
# The clock of a `VirtualTimeScheduler` is only a number. It never sleeps: it sets the clock to the time of the next piece
# of work, does that, and goes on to the one after. What goes by on such a clock is **virtual time**. Here it is advanced
# by a day, with a value each hour (they are numbered from 0):

# %%
virtual = VirtualTimeScheduler()
hours = []
reactivex.interval(3600).subscribe(hours.append, scheduler=virtual)

virtual.advance_to(24 * 3600)
hours[-1]

# %% [markdown]
# You were not kept waiting. Each operator subscribes to the one before it, and hands on the scheduler that `subscribe` was
# given. So the whole pipe has one clock, and need not be changed for that.
#
# `diagram` builds on this. It runs an operator, RxPY's or your own, over marbles in virtual time, and draws what happened:

# %%
diagram(settled, "-a-b-----b----c-|", timespan=0.2)

# %% [markdown]
# This time `b` was typed again. It comes out of `debounce`, but `distinct_until_changed` leaves it out. And `c` comes as
# soon as the source completes, since there is nothing more to wait for. Live, all this would have taken 3.2 seconds.
#
# ## Expect
#
# `expect` makes a test of it. It subscribes to an observable in virtual time, and checks that what comes is what the
# marbles say, each within half a timespan. When they agree, it says nothing; it needs no `assert`. `typed`, from above, has
# its timespan, and the marbles that you expect need theirs:

# %%
expect(typed.pipe(settled), "------b-----c-|", timespan=0.2)

# %% [markdown]
# Otherwise it raises a `Mismatch`, which is an `AssertionError`, so it can stand in any test. Let us expect, wrongly,
# that `a` gets through:

# %% tags=["raises-exception"]
expect(typed.pipe(settled), "----a-b-----c-|", timespan=0.2)

# %% [markdown]
# ## Operators with a clock of their own
#
# All this works as long as every operator asks the scheduler that the subscription gives it. Here is one that was told to
# go by RxPY's usual scheduler, whatever the subscription says:

# %%
stubborn = ops.delay(0.5, scheduler=TimeoutScheduler.singleton())
diagram(stubborn, "-a-b-|", timespan=0.5)

# %% [markdown]
# Nothing came: the virtual time was over before the first thread had woken up. So name no scheduler, and leave the choice
# to whoever subscribes:

# %%
diagram(ops.delay(0.5), "-a-b-|", timespan=0.5)

# %% [markdown]
# A function that sleeps asks no scheduler at all, as in `ops.do_action(lambda _: time.sleep(0.5))`. (`do_action` calls it
# with each value, and hands the value on.) A test then makes you wait, but the virtual clock stands still meanwhile,
# so the test does not notice the delay.
#
# ## Record once, test ever after
#
# Made-up marbles test only what you have thought of. What a real server does is worth recording. `record(path)` makes a
# function. Call it with a new channel, at once: it returns the channel, and from then on all that is sent and received
# goes into the file. `to_marbles` shows what is in there, with its times rounded to the timespan:

# %%
session = folder / "session.jsonl"
session.unlink(missing_ok=True)  # record never overwrites a file

with record(session)(WebSocketChannel.connect(server.url)) as channel:
    typed.subscribe(channel.sink)
    channel.stream.run()

print(to_marbles(session, timespan=0.2))

# %% [markdown]
# `replay` is an observable of what was received, each message at its time. (The operator `ops.replay` is something else.)
# It goes by the scheduler of its subscription, so it can be tested like `cold`. That `expect` rounds is of use here: a
# message that came some milliseconds late does not matter.

# %%
expect(replay(session), "-a-b-----c----|", timespan=0.2)
expect(replay(session).pipe(settled), "------b-----c-|", timespan=0.2)

# %% [markdown]
# Put such a file beside your tests, and they run against a real session: on any computer, with no network, in no time.
#
# ## Exercises
#
# ### Exercise 1: what was typed?
#
# Somebody has typed `a`, `b` and `c`, and of that `ops.debounce(3)` has made `------b--(c,|)`. Write the marbles of what
# was typed. There is more than one right answer.

# %% tags=["exercise"]
written = ...  # a text in quotes

# %% tags=["solution"]
written = "-a-b---c-|"

# %% tags=["check"]
solved_1 = check(
    "Exercise 1 (what comes out)",
    lambda: cold(written).pipe(ops.debounce(3)),
    "------b--(c,|)",
    hint="b came out three seconds after it was typed, and before c was typed; c came out when "
    "the source completed. `written` is a text in quotes; the check makes cold(…) of it.",
) and check(
    "Exercise 1 (what was typed)",
    lambda: cold(written).pipe(ops.to_list()),
    "---------(x,|)",
    {"x": ["a", "b", "c"]},
    hint="All three were typed, one after the other. The one that did not come out was "
    "followed by another before its three seconds were over.",
)

# %% [markdown]
# ### Exercise 2: a test that finds the fault
#
# Write `test`. It is given an operator that should do what `settled` does, and fails with an `AssertionError` if it does
# not. Two wrong ones are waiting: one does not debounce, the other lets the same pass twice in a row. Use `cold` and
# `expect`. What `diagram` drew for `settled` is enough for both, and `print(diagram(…).to_marbles())` writes it.


# %% tags=["exercise"]
def test(operator):
    return ...


# %% tags=["solution"]
def test(operator):
    typed = cold("-a-b-----b----c-|", timespan=0.2)
    expect(typed.pipe(operator), "------b---------(c,|)", timespan=0.2)


# %% tags=["check"]
def of_the_right_one(test):
    """What `test` says of `settled`. Where it raises a Mismatch, `check` draws that."""
    return ... if test(settled) is ... else reactivex.of("passed")


def of_the_wrong_ones(test):
    """What `test` says of each: whether it passes."""
    said = []
    wrong_ones = {
        "no debounce": ops.distinct_until_changed(),
        "twice": ops.debounce(0.6),
    }
    for name, operator in wrong_ones.items():
        try:
            test(operator)
            said.append(f"{name}: passed")
        except AssertionError:
            said.append(f"{name}: failed")
    return reactivex.from_iterable(said)


solved_2 = check(
    "Exercise 2 (settled passes)",
    lambda: of_the_right_one(test),
    "(a,|)",
    {"a": "passed"},
    hint="settled is right, so test(settled) has to pass. Do cold and expect both have timespan=0.2?",
) and check(
    "Exercise 2 (the wrong ones fail)",
    lambda: of_the_wrong_ones(test),
    "(a,b,|)",
    {"a": "no debounce: failed", "b": "twice: failed"},
    hint="A test that only returns or draws never fails, nor one that does not use `operator`.\n"
    "Let two letters be typed quickly, and after a pause the second one again.",
)

# %% [markdown]
# ### Exercise 3: your own recording
#
# Write `keep_session`. It is given a URL and the path of a file. It connects, records into the file until the server
# closes, and returns nothing. It is checked on a real ticker.


# %% tags=["exercise"]
def keep_session(url, path):
    return ...


# %% tags=["solution"]
def keep_session(url, path):
    with record(path)(WebSocketChannel.connect(url)) as channel:
        channel.stream.run()


# %% tags=["check"]
def outcome(function, *arguments):
    """What a function returns, or an error where it takes too long."""
    called = reactivex.start(lambda: function(*arguments)).pipe(ops.to_future(Future))
    if wait([called], timeout=5).not_done:
        raise TimeoutError("it has not returned within 5 seconds")
    return called.result()


def kept(keep_session):
    """The symbols in what was recorded, without the pauses between them."""
    path = folder / "kept.jsonl"
    path.unlink(missing_ok=True)
    url = server.url_for("/ticker?interval=0.1&count=4&seed=1")
    if outcome(keep_session, url, path) is ...:
        return ...
    return replay(path, speed=float("inf")).pipe(
        from_json(),
        ops.map(lambda quote: quote["symbol"]),
    )


solved_3 = check(
    "Exercise 3",
    lambda: kept(keep_session),
    "(DART,RXPY,ECHO,RICH,|)",
    hint="Connect to `url`. record(path) takes the channel as soon as it is made. "
    "Wait for the end of the stream, with run(), or the with block closes too early.",
)

# %% [markdown]
# ## What to take along
#
# - `timeline.trace(name, keep=…)` shows any place of a running pipe, and changes nothing there.
# - A test that sleeps is slow, and depends on the computer. In virtual time it is quick, and always
#   says the same.
# - That works for operators that leave the choice of the scheduler to the subscription. Nothing in a pipe should sleep.
# - `diagram` draws an operator, and `expect` tests it. `record` and `replay` bring a live session into a test.
#
# Marbles are for those who write the program. The next lesson is about those who use it:
# [6. From stream to screen](06-from-stream-to-screen.ipynb).

# %%
opened.close()
