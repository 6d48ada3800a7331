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
# `timeline.trace` changes nothing of what passes, so it may stand in a pipe as often as you like, between any two
# operators. Each has a line of its own, a lane, in the order of the pipe. So we put one wherever a value may have got lost:

# %%
ticker = server.url_for("/ticker?interval=0.2&count=8&seed=1")
timeline = Timeline(resolution=0.2)  # times are rounded to 0.2 s

with Live(timeline), WebSocketChannel.connect(ticker) as channel:
    channel.stream.pipe(
        timeline.trace("message"),
        from_json(),
        timeline.trace("quote"),
        ops.filter(lambda quote: quote["symbol"] == "Dart"),
        timeline.trace("Dart"),
        ops.map(lambda quote: quote["price"]),
        ops.default_if_empty(),
    ).run()

# %% [markdown]
# The messages come, and are decoded; it is `filter` that lets none pass. But what is in them? The marbles are too small
# for a whole quote.
#
# So tell each `trace` what to note of a value, with `keep=`: here its length, its symbol, its price. That is for the
# picture only. What goes down the pipe stays whole.

# %%
timeline = Timeline(resolution=0.2)

with Live(timeline), WebSocketChannel.connect(ticker) as channel:
    channel.stream.pipe(
        timeline.trace("message", keep=len),
        from_json(),
        timeline.trace("quote", keep=lambda quote: quote["symbol"]),
        ops.filter(lambda quote: quote["symbol"] == "DART"),
        timeline.trace("DART", keep=lambda quote: quote["price"]),
    ).run()

# %% [markdown]
# There it is: the symbols are in capital letters. With the filter repaired, the last lane has its prices.
#
# Inner observables have lanes, too: each begins under the marble that it was emitted as. `group_by` makes them, one for
# each group.

# %%
timeline = Timeline(resolution=0.2)

with Live(timeline), WebSocketChannel.connect(ticker) as channel:
    channel.stream.pipe(
        from_json(),
        ops.map(lambda quote: quote["price"]),
        timeline.trace("price"),
        ops.group_by(lambda price: "dear" if price >= 100 else "cheap"),
        timeline.trace("groups"),
        ops.merge_all(),
    ).run()

# %% [markdown]
# ## An operator with a sense of time
#
# Somebody types, and we want to send what they have typed, but only when they pause. `debounce(0.6)` keeps a value until
# 0.6 seconds have gone by with nothing new after it, and then hands it on. If something new comes first, that takes its
# place. `distinct_until_changed` leaves out what is the same as the one before.
#
# To have something typed whenever we like, we use `cold`. It makes an observable of written marbles, which plays them
# anew for each subscriber. How many seconds a character takes is the **timespan**: 1, unless you say otherwise, and 0.2
# here.


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
        settled,
        timeline.trace("settled"),
    ).subscribe(channel.sink)
    channel.stream.pipe(timeline.trace("stream")).run()

# %% [markdown]
# `a` was followed by `b` too soon, so it went no further.
#
# ## Marbles as text
#
# A timeline can be written down, too. This is RxPY's marble syntax, and tests are written in it:

# %%
print(timeline.to_marbles())

# %% [markdown]
# - `-` is time in which nothing happens;
# - `a`, `hello`, `42` are values; digits are read as a number;
# - `(b,c)` are values at the same moment, that of the opening bracket;
# - `|` is *completed*, `#` is *error*.
#
# Every character takes one timespan, the brackets and commas, too.
#
# How many values does this line have? One thing in it surprises nearly everybody.

# %%
MarbleDiagram.parse("-a-(b,c)-de-|")

# %% [markdown]
# Four: letters that touch are a single value, which takes two characters of time. Two values have a `-` between them, or
# stand in brackets with a comma.
#
# ## A test that waits
#
# How do you test that `settled` does what it should? A first idea: feed it, sleep, and look.


# %%
def test_settled(hiccup=0.0):
    received = []
    typed = Subject()
    typed.pipe(settled).subscribe(received.append)

    typed.on_next("a")
    time.sleep(0.1 + hiccup)  # soon after
    typed.on_next("b")
    time.sleep(1.0)  # long enough, we hope
    assert received == ["b"], f"received {received}"


begun = time.perf_counter()
test_settled()
time.perf_counter() - begun > 1

# %% [markdown]
# It passes, and takes more than a second. Nobody likes to run a hundred such tests. And there is worse: a computer is
# busy at times, and then a sleep of 0.1 seconds lasts longer. The parameter `hiccup` plays that.

# %% tags=["raises-exception"]
test_settled(hiccup=0.8)

# %% [markdown]
# Nothing is wrong with `settled`. It is the test that is wrong, on some days: whether it passes depends on the speed of
# the computer, too.
#
# ## A clock of our own
#
# Whatever waits in Rx leaves the waiting to a **scheduler**: an object that tells the time, and does a piece of work
# when its time has come. The usual one goes by the system's clock, and has threads that sleep.
#
# The clock of a `VirtualTimeScheduler` is only a number. It never sleeps: it sets the clock to the time of the next piece
# of work, does that, and goes on to the one after. What goes by on such a clock is **virtual time**. Here is a day of
# it, with a value each hour:

# %%
virtual = VirtualTimeScheduler()
hours = []
reactivex.interval(3600).subscribe(hours.append, scheduler=virtual)

virtual.advance_to(24 * 3600)
hours[-1]

# %% [markdown]
# (They are numbered from 0.) You were not kept waiting. `subscribe` is given the scheduler, and each operator hands it
# on to the one before it. So the whole pipe goes by one clock, and we did not have to change the pipe for that.
#
# `diagram` builds on this. It takes an operator and marbles, runs the operator over them in virtual time, and draws what
# happened.

# %%
diagram(ops.debounce(2), "-a--b----c-|")

# %% [markdown]
# When the source completes, there is nothing to wait for any more: `c` comes at once. A function of your own will do as
# well as one of RxPY's operators:

# %%
diagram(settled, "-a-b-----c----|", timespan=0.2)

# %% [markdown]
# That is the picture from the live socket, and it took no time.
#
# ## Expect
#
# `expect` makes a test of it. It subscribes to an observable in virtual time, and compares what comes with marbles.
# When they agree, it says nothing:

# %%
expect(typed.pipe(settled), "------b-----c-|", timespan=0.2)

# %% [markdown]
# Otherwise it raises an `AssertionError`, with both of them drawn. So it can stand in any test, of pytest or others. Let
# us expect, wrongly, that `a` gets through:

# %% tags=["raises-exception"]
expect(typed.pipe(settled), "----a-b-----c-|", timespan=0.2)

# %% [markdown]
# ## Operators with a clock of their own
#
# All this works as long as every operator asks the scheduler that the subscription gives it. Here is one that does not.
# It was told to go by the system's clock, whoever subscribes:

# %%
stubborn = ops.delay(0.5, scheduler=TimeoutScheduler.singleton())

diagram(stubborn, "-a-b-|", timespan=0.5)

# %% [markdown]
# Nothing came. The virtual time was over before the first thread had woken up. And here is one that asks no scheduler
# at all:


# %%
def sleepy(source):
    return source.pipe(ops.do_action(lambda _: time.sleep(0.5)))


diagram(sleepy, "-a-b-|", timespan=0.5)

# %% [markdown]
# This time you had to wait, but the virtual clock stood still meanwhile, so nothing is late. In both pictures a test
# would see something else than a user does. The right way is to name no scheduler, and so to leave the choice to whoever
# subscribes:

# %%
diagram(ops.delay(0.5), "-a-b-|", timespan=0.5)

# %% [markdown]
# ## Record once, test ever after
#
# Marbles that you make up test what you have thought of. What a real server does is worth recording. `record(path)` is
# given a channel, and writes all that this sends and receives into a file, until it is closed.

# %%
session = folder / "session.jsonl"
session.unlink(missing_ok=True)  # record never overwrites a file
timeline = Timeline(resolution=0.2)

with (
    Live(timeline),
    record(session)(WebSocketChannel.connect(server.url)) as channel,
):
    typed.pipe(timeline.trace("sink")).subscribe(channel.sink)
    channel.stream.pipe(timeline.trace("stream")).run()

# %% [markdown]
# From now on we need no server. `to_marbles` shows what is in the file:

# %%
print(to_marbles(session, timespan=0.2))

# %% [markdown]
# `replay` is an observable of what was received, each message at its time. It goes by the scheduler of its subscription,
# so it can be tested like `cold`:

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
# Somebody has typed `a`, `b` and `c`, and of that `ops.debounce(2)` has made `-----b--(c,|)`. Write the marbles of what
# was typed. There is more than one right answer.

# %% tags=["exercise"]
written = ...

# %% tags=["solution"]
written = "-a-b---c|"

# %% tags=["check"]
solved_1 = check(
    "Exercise 1 (what comes out)",
    lambda: cold(written).pipe(ops.debounce(2)),
    "-----b--(c,|)",
    hint="b came out two seconds after it was typed; c when the source completed.",
) and check(
    "Exercise 1 (what was typed)",
    lambda: cold(written).pipe(ops.to_list()),
    "--------(x,|)",
    {"x": ["a", "b", "c"]},
    hint="All three were typed. The one that did not come out was followed too soon.",
)

# %% [markdown]
# ### Exercise 2: a test that finds the fault
#
# Write `test`. It is given an operator that should do what `settled` does, and fails with an `AssertionError` if it does
# not. Two wrong ones are waiting: one does not debounce, the other lets the same pass twice in a row. Use `cold` and
# `expect`.


# %% tags=["exercise"]
def test(operator):
    return ...


# %% tags=["solution"]
def test(operator):
    typed = cold("-a-b-----b-----c-----|", timespan=0.2)
    expect(typed.pipe(operator), "------b-----------c--|", timespan=0.2)


# %% tags=["check"]
operators = {
    "settled": settled,
    "no debounce": ops.distinct_until_changed(),
    "twice": ops.debounce(0.6),
}


def verdicts(test):
    """What `test` says of each operator: whether it passes."""
    said = []
    for name, operator in operators.items():
        try:
            if test(operator) is ...:
                return ...
            said.append(f"{name}: passed")
        except AssertionError:
            said.append(f"{name}: failed")
    return reactivex.from_iterable(said)


solved_2 = check(
    "Exercise 2",
    lambda: verdicts(test),
    "(a,b,c,|)",
    {"a": "settled: passed", "b": "no debounce: failed", "c": "twice: failed"},
    hint="Let two letters be typed quickly, and after a pause the second one again. "
    "diagram(settled, …, timespan=0.2) shows what is right.",
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
def kept(keep_session):
    """The symbols in what was recorded, without the pauses between them."""
    path = folder / "kept.jsonl"
    path.unlink(missing_ok=True)
    url = server.url_for("/ticker?interval=0.1&count=4&seed=1")
    if keep_session(url, path) is ...:
        return ...
    return replay(path, speed=float("inf")).pipe(
        from_json(),
        ops.map(lambda quote: quote["symbol"]),
    )


solved_3 = check(
    "Exercise 3",
    lambda: kept(keep_session),
    "(DART,RXPY,ECHO,RICH,|)",
    hint="record(path) takes the channel as soon as it is made. "
    "Wait for the end of the stream, with run(), or the with block closes too early.",
)

# %% [markdown]
# ## What to take along
#
# - `timeline.trace(name, keep=…)` shows any place of a running pipe, and changes nothing there.
# - A test that sleeps is slow, and depends on the computer. In virtual time it takes none, and the result is always the
#   same.
# - That works for operators that leave the choice of the scheduler to the subscription. Nothing in a pipe should sleep.
# - `diagram` draws an operator, and `expect` tests it. `record` and `replay` bring a live session into a test.
#
# Marbles are for those who write the program. The next lesson is about those who use it:
# [6. From stream to screen](06-from-stream-to-screen.ipynb).

# %%
opened.close()
