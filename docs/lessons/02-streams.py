# %% [markdown]
# # 2. Streams
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - listen with the three functions of an observer;
# - tell a cold observable from a hot one;
# - say what a late subscriber has missed, and choose what to do about it;
# - stop listening, and notice where somebody forgot to.

# %%
import json
import time
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace

import reactivex
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

from rxecho import EchoServer, Live, WebSocketChannel
from rxecho.lessons import check, one_by_one
from rxecho.marbles import Timeline

opened = ExitStack()
server = opened.enter_context(EchoServer())

# %% [markdown]
# ## Three functions
#
# So far you have subscribed with one function, for the values. `subscribe` takes two more, so that there is one for each
# kind of notification. Whoever listens with them is an **observer**. Here is one for the ticker of lesson 1, told here to
# send two quotes and close. (With `seed=1` they are the same each time.)

# %%
notes = []
url = server.url_for("/ticker?interval=0&count=2&seed=1")

with WebSocketChannel.connect(url) as channel:
    channel.stream.subscribe(
        on_next=notes.append,
        on_error=lambda error: notes.append(f"error: {error}"),
        on_completed=lambda: notes.append("completed"),
    )
    channel.sink.done.result(timeout=5)  # a future: done when the channel is closed

notes

# %% [markdown]
# `on_error` was not called: a stream has one end, *completed* or *error*.
#
# A whole quote is too long for a marble. In the pictures we show only its number, its `sequence`:


# %%
def channel_to(path):
    """A channel to a path of the practice server, which the last cell closes."""
    return opened.enter_context(WebSocketChannel.connect(server.url_for(path)))


def numbers(channel):
    """The numbers of the quotes that a channel receives."""
    return channel.stream.pipe(ops.map(lambda quote: json.loads(quote)["sequence"]))


# %% [markdown]
# ## Cold: it begins anew for everyone
#
# Here is one observable with two observers. Ann subscribes at once, Ben half a second later. Before you run it: which
# number does Ben get first?

# %%
timeline = Timeline(resolution=0.1)
counting = reactivex.interval(0.2).pipe(ops.take(5))

with Live(timeline):
    counting.pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.5)
    counting.pipe(timeline.trace("Ben")).run()

# %% [markdown]
# Both get all of it, each from the beginning. `counting` was not a running clock. It only said what is to be done, and
# each **subscription**, each act of subscribing, has it done anew. An observable like that is **cold**: it begins when you
# subscribe, and it begins for you alone.
#
# ## Hot: it goes on, with you or without you
#
# The same two, at a ticker that sends five quotes:

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/ticker?interval=0.3&count=5&seed=1")
    numbers(channel).pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.4)
    numbers(channel).pipe(timeline.trace("Ben")).run()

# %% [markdown]
# One connection, and the server counts once. Subscribing to `channel.stream` starts nothing: you hear what comes
# from then on. An observable like that is **hot**: it goes on whether you listen or not. (`numbers(channel)` is hot too:
# an operator does not change that.) And it is **multicast**: each message comes once, and is handed to all who are
# subscribed at that moment.
#
# The channel makes one exception: what comes before the very first subscription is kept for that *first* subscriber, so
# that nothing is lost between connecting and subscribing. Most hot observables let go what nobody listens to.
#
# ## The late subscriber
#
# Whoever subscribes after a message has gone by is a **late subscriber**, and has missed it. With hot observables this is
# the most frequent mistake, and in the code it looks harmless. Here the server (on `/slow`) answers after 0.3 seconds.
# Ann listens from the beginning. Ben asks, does something else for a while, and then listens for the answer.

# %% tags=["raises-exception"]
timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/slow?delay=0.3")
    channel.stream.pipe(timeline.trace("Ann")).subscribe()

    channel.sink.add("News?")
    time.sleep(0.6)  # something else
    channel.stream.pipe(
        timeline.trace("Ben"),
        ops.first(),
        ops.timeout(1),
    ).run()

# %% [markdown]
# `timeout(1)` gives up after a second; without it, Ben would wait for ever. The answer came at 0.3 s and went to Ann.
# Nothing was kept for Ben, who is not the first to subscribe. Without the `sleep` he is in time on most days, but not on all.
#
# So *subscribe before you send*. `to_future`, at the end of the pipe, helps with that: it subscribes at once, and gives you
# a future of the class that you name. It gets the last value when the observable completes; with `first`, that is when
# the answer comes.

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/slow?delay=0.3")
    channel.stream.pipe(timeline.trace("Ann")).subscribe()

    answer = channel.stream.pipe(
        timeline.trace("Ben"),
        ops.first(),
        ops.to_future(Future),  # subscribes now
    )
    channel.sink.add("News?")
    time.sleep(0.6)  # something else

answer.result(timeout=5)

# %% [markdown]
# (Ben's bar is dashed: his trace stands before `first`, and sees it stop listening.)
#
# ### When you cannot be early
#
# Sometimes you cannot subscribe earlier. Then somebody else has to, and has to remember for you. That is
# `replay`: it keeps the newest values, one here, for those who come late. It makes a **connectable** observable, which
# subscribes to its source, once for everyone, when you call its own `connect` (which is no new WebSocket).

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/ticker?interval=0.3&count=5&seed=1")
    latest = numbers(channel).pipe(ops.replay(buffer_size=1))
    latest.connect()

    latest.pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.4)
    latest.pipe(timeline.trace("Ben")).run()

# %% [markdown]
# Ben gets the 2 at once, at 0.4 s. For prices that is what you want: he need not wait to know the present one. Without a
# `buffer_size`, `replay` keeps everything.
#
# Or each is to have a beginning of their own. That takes a cold observable, which opens a connection for every
# subscription: you meet it in lesson 8.
#
# ## Stop listening
#
# This function listens for some seconds, and returns what it has heard. Its author thought that this was the end of it.
# This ticker sends three quotes in its first second:


# %%
def heard_within(seconds, source):
    heard = []
    source.subscribe(heard.append)
    time.sleep(seconds)
    return heard


channel = channel_to("/ticker?interval=0.4&count=5&seed=1")
ben = heard_within(1, numbers(channel))
channel.sink.done.result(timeout=5)  # we do something else until it is closed

ben

# %% [markdown]
# Five. The function had returned, and `append` went on being called, as long as the channel was open. You meet the same
# thing in notebooks: run a cell twice that subscribes to an open channel, and each message is handled twice.
#
# What `subscribe` returns stands for the subscription. When you **dispose** of it, nothing comes any more. In this cell
# Ann subscribes to the same channel when Ben has left it:


# %%
def heard_within(seconds, source):
    heard = []
    subscription = source.subscribe(heard.append)
    time.sleep(seconds)
    subscription.dispose()
    return heard


timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/ticker?interval=0.4&count=5&seed=1")
    heard_within(1, numbers(channel).pipe(timeline.trace("Ben")))
    numbers(channel).pipe(timeline.trace("Ann")).run()

# %% [markdown]
# Ben got his three, and left at the dashed bar. He was told nothing more, not even *completed*. And nothing was closed:
# the server went on sending, to Ann. To dispose is to stop listening; to close is to end the connection for all.
#
# A `with` block disposes for you at its end, also when something in it raises: `with source.subscribe(heard.append):`.
# And operators that know when they are done, such as `first` and `take`, dispose by themselves.
#
# ## Exercises
#
# ### Exercise 1: two for those who come late
#
# Write `remember`. It is given an observable, and makes another one of it: one that has subscribed to the first, once for
# everyone, and gives the newest *two* values to whoever comes late. In the check, Ben comes after five seconds.


# %% tags=["exercise"]
def remember(source):
    return ...


# %% tags=["solution"]
def remember(source):
    remembered = source.pipe(ops.replay(buffer_size=2))
    remembered.connect()
    return remembered


# %% tags=["check"]
def outcome(function, *arguments):
    """What a function returns, or an error that it raises, or that it takes too long."""
    call = reactivex.start(partial(function, *arguments))
    called = call.pipe(ops.to_future(Future))
    if wait([called], timeout=3).not_done:
        return TimeoutError(f"`{function.__name__}` has not returned within 3 seconds")
    return called.exception() or called.result()


def instead(function, returned, wanted):
    """An error that says what came of a function instead of what was wanted."""
    if isinstance(returned, Exception):
        return returned
    kind = f"{returned!r:.50}"
    if returned is None:
        wanted += " (is a return missing?)"
    elif isinstance(returned, reactivex.Observable):
        kind = "an observable"
    elif isinstance(returned, Future):
        kind = "a future"
    elif hasattr(returned, "dispose"):
        kind = "a subscription"
    elif callable(returned):
        kind = "a function"
    return TypeError(f"`{function.__name__}` returned {kind}, not {wanted}")


def heard(remember):
    scheduler = VirtualTimeScheduler()  # has no need to wait; see lesson 5
    timeline = Timeline(scheduler)
    letters = reactivex.from_marbles("a-b-c-----d|", 1, scheduler=scheduler)
    remembered = outcome(remember, letters)
    if remembered is ...:
        return ...
    if not isinstance(remembered, reactivex.Observable):
        raise instead(remember, remembered, "an observable")
    remembered.pipe(timeline.trace("Ann")).subscribe()
    comes_late = ops.delay_subscription(5.0, scheduler)
    remembered.pipe(comes_late, timeline.trace("Ben")).subscribe()
    scheduler.advance_to(20)
    return timeline


solved_1 = [
    check(
        "Exercise 1, Ann,",
        lambda: heard(remember),
        "a-b-c-----d|",
        lane="Ann",
        hint="connect() begins it. What ops.replay has made is what you return.",
    ),
    check(
        "Exercise 1, Ben,",
        lambda: heard(remember),
        "-----(b,c)d|",  # b and c when he comes, d five seconds later
        lane="Ben",
        hint="Return what ops.replay has made: it keeps as many values as its buffer_size says.",
    ),
]

# %% [markdown]
# ### Exercise 2: ask
#
# Write `ask`. It sends a question with `channel.sink.add(question)` and returns the answer, which is the next message on
# `channel.stream`, as it comes. You will be given a channel that is having a bad day: when its `add` returns, the answer
# has already come and gone.


# %% tags=["exercise"]
def ask(channel, question):
    return ...


# %% tags=["solution"]
def ask(channel, question):
    answer = channel.stream.pipe(ops.first(), ops.to_future(Future))
    channel.sink.add(question)
    return answer.result(timeout=5)


# %% tags=["check"]
def say(channel, message):
    """Send a message, and return when everybody who listens has had its echo."""
    echo = channel.stream.pipe(ops.first(), ops.to_future(Future))
    channel.sink.add(message)
    echo.result(timeout=5)
    channel.ping().result(timeout=5)


def answers(ask):
    questions = ["One", "Two"]
    sent, answered = [], []
    with WebSocketChannel.connect(server.url) as channel:

        def add(question):
            sent.append(question)
            say(channel, question)

        bad_day = SimpleNamespace(
            stream=channel.stream.pipe(ops.map(lambda echo: f"Re: {echo}")),
            sink=SimpleNamespace(add=add),
        )
        for question in questions:
            answer = outcome(ask, bad_day, question)
            if answer is ...:
                return ...
            if not isinstance(answer, str):
                raise instead(ask, answer, "the answer")
            answered.append(answer)
    if sent != questions:
        raise ValueError(f"to ask {questions}, `ask` has sent {sent}")
    return one_by_one(answered)


solved_2 = check(
    "Exercise 2",
    lambda: answers(ask),
    "a-b-|",
    {"a": "Re: One", "b": "Re: Two"},
    hint="Subscribe first, then add, and wait for the result() at the end.\n"
    "ops.to_future(Future), last in the pipe, subscribes at once. And first(): a future "
    "waits for completion.",
)

# %% [markdown]
# ### Exercise 3: a recorder with a stop button
#
# Write `start`. It subscribes to `stream`, so that each message is appended to the list `tape`, and returns a function:
# the stop button. Once that has been called, nothing more gets onto the tape.


# %% tags=["exercise"]
def start(stream, tape):
    return ...


# %% tags=["solution"]
def start(stream, tape):
    subscription = stream.subscribe(tape.append)
    return subscription.dispose


# %% tags=["check"]
def recorded(start, words):
    tape = []
    with WebSocketChannel.connect(server.url) as channel:
        stop = outcome(start, channel.stream, tape)
        if stop is ...:
            return ...
        if not callable(stop):
            raise instead(start, stop, "a function")
        for word in words:
            say(channel, word)
        stop()
        say(channel, "too late")
    return one_by_one(tape)


hint_3 = (
    "The subscription has a method for that. Return it, without calling it.\n"
    "Nothing on the tape? Then it is called too early: a `with` calls it at its end."
)
solved_3 = [
    check(
        "Exercise 3, stopped after two,",
        lambda: recorded(start, ["one", "two"]),
        "a-b-|",
        {"a": "one", "b": "two"},
        hint=hint_3,
    ),
    check(
        "Exercise 3, stopped after three,",
        lambda: recorded(start, ["one", "two", "three"]),
        "a-b-c-|",
        {"a": "one", "b": "two", "c": "three"},
        hint=hint_3,
    ),
]

# %% [markdown]
# ## What to take along
#
# - A cold observable begins anew for each subscription. A hot one goes on by itself, and you get what comes from now on.
# - `channel.stream` is hot and multicast. Only what comes before the very first subscription is kept, for the first.
# - Subscribe before you send. Whoever may be late needs `replay`, or a connection of their own.
# - Each subscription ends somewhere: by `dispose`, by a `with` block, or by an operator such as `first` or `take`.
#
# The last cell closes what we opened. The next lesson is about the other end of the channel: [3. Sinks](03-sinks.ipynb).

# %%
opened.close()
