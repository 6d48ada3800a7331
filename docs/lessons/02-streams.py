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
from threading import Event
from types import SimpleNamespace

import reactivex
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

from rxecho import EchoServer, Live, WebSocketChannel, open_channel
from rxecho.lessons import check, one_by_one
from rxecho.marbles import Timeline

opened = ExitStack()
server = opened.enter_context(EchoServer())

# %% [markdown]
# ## Three functions
#
# So far you have subscribed with one function, for the values. `subscribe` takes two more, so that there is one for each
# kind of notification. Whoever listens with them is an **observer**.
#
# The practice server has a ticker for us to observe: on `/ticker` it sends a *quote*, the price of something, every
# so many seconds, and closes after `count` of them. (With `seed=1` they are the same quotes each time.)

# %%
notes = []
url = server.url_for("/ticker?interval=0&count=2&seed=1")

with WebSocketChannel.connect(url) as channel:
    channel.stream.subscribe(
        on_next=notes.append,
        on_error=lambda error: notes.append(f"error: {error}"),
        on_completed=lambda: notes.append("completed"),
    )
    channel.sink.done.result(timeout=5)  # wait until it is closed

notes

# %% [markdown]
# (`sink.done` is a future: done when the channel is closed, whoever closed it.)
#
# A whole quote is too long for a marble. In the pictures we show its number only, 1 for the first quote of a ticker, 2
# for the second, and so on:


# %%
def channel_to(path):
    """A channel to a path of the practice server, which the last cell closes."""
    return opened.enter_context(WebSocketChannel.connect(server.url_for(path)))


def numbers(channel):
    """The numbers of the quotes that a channel receives."""
    return channel.stream.pipe(
        ops.map(json.loads),
        ops.map(lambda quote: quote["sequence"]),
    )


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
# Both get all of it, each from the beginning. `counting` was no running clock. It only said what is to be done, and
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
# There is one connection, and the server counts once. Subscribing to `channel.stream` starts nothing: you hear what comes
# from then on. An observable like that is **hot**: it goes on whether you listen or not. (`numbers(channel)` is hot too:
# an operator does not change that.) And it is **multicast**: each message comes once, and is handed to all who are
# subscribed at that moment.
#
# A hot observable and nobody there: what becomes of the messages? Here nobody listens for 0.7 seconds.

# %%
timeline = Timeline(resolution=0.1)
channel = channel_to("/ticker?interval=0.3&count=6&seed=1")
time.sleep(0.7)

with Live(timeline):
    numbers(channel).pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.3)
    numbers(channel).pipe(timeline.trace("Ben")).run()

# %% [markdown]
# The channel kept them. What comes before the first subscription is kept for the *first* subscriber, so that
# nothing is lost between connecting and subscribing. That is a courtesy of this library; most hot observables let go what
# nobody listens to. And Ben, who is the second, gets nothing of it.
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
# `first` takes one value and is done. `timeout(1)` gives up after a second; without it, Ben would wait for ever. The
# answer came at 0.3 s, when he was not there yet. It does not help to leave out the `sleep`: then he is in time on most
# days, and on others he is not.
#
# So *subscribe before you send*. `to_future` helps with that: it subscribes at once, and gives you a future. The future
# gets the last value when the observable completes; `first` makes it complete at once. `Future` says which kind of
# future. (In the next picture Ben's bar is dashed, because `first` has stopped listening.)

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
    news = answer.result(timeout=5)

news

# %% [markdown]
# ### When you cannot be early
#
# Sometimes you cannot subscribe earlier. Then somebody else has to, and has to remember for you. That is
# `replay`: it keeps the newest values, one here, for those who come late. It makes a **connectable** observable, which
# subscribes to its source when you call its `connect`, once for everyone.

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
# Ben gets the 2 when he comes. For prices that is what you want: he need not wait to know the present one.
#
# Or everyone is to have their own from the beginning. Then you want a cold observable that connects anew for each
# subscription. `open_channel(url)` is one. Its only value is the channel, which it closes when the subscription ends.
# `flat_map` calls `numbers` with the channel, and hands on all that the observable which it gets back says.

# %%
timeline = Timeline(resolution=0.1)
quotes = open_channel(server.url_for("/ticker?interval=0.3&count=4&seed=1")).pipe(
    ops.flat_map(numbers),
)

with Live(timeline):
    quotes.pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.5)
    quotes.pipe(timeline.trace("Ben")).run()

# %% [markdown]
# Two subscriptions, two connections, and the server counts for each. That is what it costs, too.
#
# ## Stop listening
#
# What `subscribe` returns stands for the subscription. When you **dispose** of it, nothing comes any more. Ann has heard
# enough after 0.7 seconds:

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/ticker?interval=0.3&count=5&seed=1")
    ann = numbers(channel).pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.4)
    numbers(channel).pipe(timeline.trace("Ben")).subscribe()
    time.sleep(0.3)
    ann.dispose()
    channel.sink.done.result(timeout=5)

# %% [markdown]
# The dashed bar is where she left. She was told nothing more, not even *completed*. And nothing was closed: the channel
# is as open as before, the server goes on sending, and Ben goes on listening. To dispose is to stop listening; to close
# is to end the connection for all.
#
# ### Forgotten
#
# This function waits for a number, and returns. Its author thought that this was the end of it.


# %%
def wait_for(wanted, source):
    here = Event()

    def look(number):
        if number == wanted:
            here.set()

    source.subscribe(look)
    here.wait(timeout=5)


timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/ticker?interval=0.3&count=5&seed=1")
    numbers(channel).pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.4)
    wait_for(3, numbers(channel).pipe(timeline.trace("look")))
    # it has returned, at 0.6 s
    channel.sink.done.result(timeout=5)

# %% [markdown]
# After the 3 has been found, `look` goes on being called, as long as the channel is open. Call `wait_for` a
# thousand times, and each message is looked at a thousand times. You meet the same thing in notebooks: run a cell with
# a `subscribe` twice, and from then on everything happens twice.
#
# A subscription works in a `with` block, which disposes of it at its end:


# %%
def wait_for(wanted, source):
    here = Event()

    def look(number):
        if number == wanted:
            here.set()

    with source.subscribe(look):
        here.wait(timeout=5)


timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/ticker?interval=0.3&count=5&seed=1")
    numbers(channel).pipe(timeline.trace("Ann")).subscribe()
    time.sleep(0.4)
    wait_for(3, numbers(channel).pipe(timeline.trace("look")))
    channel.sink.done.result(timeout=5)

# %% [markdown]
# Operators that know when they are done, such as `first` and `take`, dispose of their subscription by themselves.
#
# ## One who fails fails alone
#
# What if a function that you subscribed with raises? Ann's function raises at the second word. Ben listens to the same
# channel.

# %% tags=["traceback"]
ann = []


def fragile(word):
    ann.append(word)
    if word == "two":
        raise ValueError("two is too much")


channel = channel_to("/echo")
channel.stream.subscribe(fragile)
ben = channel.stream.pipe(
    ops.take(3),
    ops.to_list(),  # one list of all three
    ops.to_future(Future),
)

for word in ["one", "two", "three"]:
    channel.sink.add(word)

ben.result(timeout=5), ann

# %% [markdown]
# The error is reported, as for any thread. Ann's subscription ends there. Ben has noticed nothing, and the channel is
# open.
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
        hint="ops.replay remembers, and begins when you call connect().",
    ),
    check(
        "Exercise 1, Ben,",
        lambda: heard(remember),
        "-----(b,c)d|",  # b and c when he comes, d five seconds later
        lane="Ben",
        hint="ops.replay keeps as many values as its buffer_size says.",
    ),
]

# %% [markdown]
# ### Exercise 2: ask
#
# Write `ask`. It sends a question with `channel.sink.add(question)` and returns the answer, which is the next message on
# `channel.stream`. You will be given a channel that is having a bad day: when its `add` returns, the answer has already
# come and gone.


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
    "ops.to_future(Future) subscribes at once. And first(): a future waits for "
    "completion.",
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


a_method = "The subscription has a method for that. Return it, without calling it."
solved_3 = [
    check(
        "Exercise 3, stopped after two,",
        lambda: recorded(start, ["one", "two"]),
        "a-b-|",
        {"a": "one", "b": "two"},
        hint=a_method,
    ),
    check(
        "Exercise 3, stopped after three,",
        lambda: recorded(start, ["one", "two", "three"]),
        "a-b-c-|",
        {"a": "one", "b": "two", "c": "three"},
        hint=a_method,
    ),
]

# %% [markdown]
# ## What to take along
#
# - A cold observable begins anew for each subscription. A hot one goes on by itself, and you get what comes from now on.
# - `channel.stream` is hot and multicast. Only what comes before the very first subscription is kept, for the first.
# - Subscribe before you send. Whoever may be late needs `replay`, or a connection of their own from `open_channel`.
# - Each subscription ends somewhere: by `dispose`, by a `with` block, or by an operator such as `first` or `take`.
#
# The last cell closes what we opened. The next lesson is about the other end of the channel: [3. Sinks](03-sinks.ipynb).

# %%
opened.close()
