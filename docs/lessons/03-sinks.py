# %% [markdown]
# # 3. Sinks
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - write an observer, and say what its three methods do when it is the sink of a channel;
# - send what somebody types, with a subject;
# - let several speakers share a sink, and close it at the right time with the right code;
# - say what goes wrong when two threads talk at once, and where you need not care.

# %%
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from threading import Lock

import reactivex
from reactivex import Observer, Subject
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

from rxecho import EchoServer, Live, WebSocketChannel
from rxecho.lessons import check, one_by_one
from rxecho.marbles import Timeline, cold

opened = ExitStack()
server = opened.enter_context(EchoServer())


def channel_to(path):
    """A channel to a path of the practice server, which the last cell closes."""
    return opened.enter_context(WebSocketChannel.connect(server.url_for(path)))


# %% [markdown]
# ## Three methods
#
# In lesson 2 you gave `subscribe` up to three functions. You can also give it one object that has all three of them as
# methods. Such an object is an observer, too, and it can remember what it was told.


# %%
class Diary:
    """An observer that notes what it is told."""

    def __init__(self):
        self.notes = []

    def on_next(self, value):
        self.notes.append(value)

    def on_error(self, error):
        self.notes.append(f"error: {error}")

    def on_completed(self):
        self.notes.append("completed")


diary = Diary()
reactivex.of("one", "two").subscribe(diary)

diary.notes

# %% [markdown]
# (`of` is a cold observable of the values that you give it. And where you have three functions already,
# `Observer(on_next, on_error, on_completed)` makes an observer of them.)
#
# `channel.sink` has these three methods. It is an observer, too, and sends what it is told:
#
# | as an observer | as a sink |
# | --- | --- |
# | `on_next(message)` | `add(message)`: send it |
# | `on_completed()` | `close(1000)`: the work is done |
# | `on_error(error)` | `close(1011)`: something went wrong here |
#
# To **feed** a sink is to have an observable call these methods: `greetings.subscribe(channel.sink)`. You can call them by
# hand, too. Let us be an observable that fails after its first value:

# %%
channel = channel_to("/echo")
channel.sink.on_next("Hello!")
channel.sink.on_error(ValueError("wrong password: 1234"))
channel.sink.done.result(timeout=5)

channel.close_code, channel.close_reason

# %% [markdown]
# The other side is told that something went wrong, but not what: the text of an error may be none of its business.
#
# ## A subject
#
# What somebody types is no observable yet. Some code reads the keyboard and calls you with each line. The line is to go
# to the sink, and maybe into a diary, too. So you need something in between that takes calls like an observer, and that
# others can subscribe to like an observable. That is a **subject**: what it is told, it tells all who are subscribed to it.

# %%
timeline = Timeline(resolution=0.1)
typed = Subject()

with Live(timeline):
    channel = channel_to("/echo")
    typed.pipe(timeline.trace("typed")).subscribe(channel.sink)
    channel.stream.pipe(timeline.trace("stream")).subscribe()

    for line in ["Hello!", "Is it raining?", "Goodbye!"]:
        time.sleep(0.3)  # somebody types
        typed.on_next(line)

    time.sleep(0.3)
    typed.on_completed()
    channel.sink.done.result(timeout=5)

# %% [markdown]
# A subject is hot, and it keeps nothing, not even for its first subscriber. So subscribe the sink first, and call
# `on_next` then.
#
# ## After the end
#
# Every observable in Rx keeps to a **grammar**: *next* as often as it likes, then *completed* or *error*, once, and after
# that nothing. Each observer relies on it, and a subject sees to it. Before you run this cell: of which of
# the four notifications does the diary hear?

# %%
typed = Subject()
diary = Diary()

typed.on_next("Is anybody there?")
typed.subscribe(diary)
typed.on_next("Now there is.")
typed.on_completed()
typed.on_next("One more thing!")

diary.notes

# %% [markdown]
# Not of the first, since it was a late subscriber; and not of the last, which the subject ignored.
#
# As an observer, the sink does the same: after the end it ignores `on_next`, and only counts in `dropped` how often that
# was. But `add` is no notification. You want something sent, and if that cannot be done, you are told. (`channel` is the
# closed one from the picture above.)

# %% tags=["raises-exception"]
channel.sink.on_next("One more thing!")  # ignored
channel.sink.add("One more thing!")

# %% [markdown]
# So use `add` where you send something yourself.
#
# ## Two speakers, one sink
#
# Ann says two things and is done. Ben says four, more slowly. Both feed one sink, and in the code that looks all right.


# %%
def speaker(name, pause, count):
    return reactivex.interval(pause).pipe(
        ops.take(count),
        ops.map(lambda number: f"{name}{number}"),
    )


ann = speaker("A", 0.2, 2)
ben = speaker("B", 0.3, 4)

timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/echo")
    ann.pipe(timeline.trace("Ann")).subscribe(channel.sink)
    ben.pipe(timeline.trace("Ben")).subscribe(channel.sink)
    channel.stream.pipe(timeline.trace("stream")).run()
    time.sleep(1.5)  # the channel is closed, and Ben is still speaking

channel.sink.dropped

# %% [markdown]
# Ann was done, so the sink was told *completed*, and closed the channel. It could not know that there was a Ben.
# Three of his four messages went nowhere, and nobody noticed. (A1 was sent, but closing does not wait for its echo.)
#
# ## You decide when it closes
#
# `add_stream` feeds the sink, too, but leaves it open. It returns a future that is done when the observable is over and the
# sink has taken its last message; if the observable failed, the future has the error. Then you go on, or close, with a
# code and a reason of your own if you like.

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline):
    channel = channel_to("/echo")
    ann_said = channel.sink.add_stream(ann.pipe(timeline.trace("Ann")))
    ben_said = channel.sink.add_stream(ben.pipe(timeline.trace("Ben")))
    channel.stream.pipe(timeline.trace("stream")).subscribe()

    wait([ann_said, ben_said], timeout=5)  # from concurrent.futures
    time.sleep(0.2)  # for the last echo
    channel.sink.close(4000, "All said").result(timeout=5)

channel.close_code, channel.close_reason

# %% [markdown]
# `close` does not push ahead: what was added before leaves first.
#
# Another way is to feed the sink with one observable that is made of the two. `reactivex.merge(ann, ben)` hands on what
# comes from each, and completes when *both* have completed.
#
# ## One writer at a time
#
# The grammar says what comes after what. For that to make sense, each call has to be over before the next begins:
# notifications have to be **serialized**. Observers rely on that, too, without saying so. Here is one that counts. Like every
# counter it reads a number, needs a moment, and writes the next number. (We have made the moment a second long, to see
# what may happen in it.) Ann and Ben click at once, in a thread each.


# %%
class Counter:
    count = 0

    def on_next(self, _):
        before = self.count
        time.sleep(1)
        self.count = before + 1


clicks = Subject()
counter = Counter()
clicks.subscribe(counter.on_next)

with ThreadPoolExecutor(2) as threads:
    threads.map(clicks.on_next, ["Ann", "Ben"])

counter.count

# %% [markdown]
# There were two clicks, and the count is 1. Both threads were inside of `on_next` at the same time: both read 0, and both
# wrote 1. A subject calls its observers on whatever thread calls it, and does nothing to keep them apart. In a real
# program the moment is a millionth of a second. Then the count is right for weeks, and wrong once.
#
# Whoever calls `on_next` of a subject from several threads has to see to it that they take turns:

# %%
turn = Lock()


def click(name):
    with turn:
        clicks.on_next(name)


counter.count = 0
with ThreadPoolExecutor(2) as threads:
    threads.map(click, ["Ann", "Ben"])

counter.count

# %% [markdown]
# And `channel.sink`? It sees to that itself, so you may use it from any thread: each message leaves whole, and they leave
# in the order of the calls. In the last picture Ann and Ben fed it from two threads, since each `interval` calls from
# its own, and they needed no lock. (`merge` sees to it, too.)
#
# ## Exercises
#
# ### Exercise 1: an observer that shouts
#
# Write `shouting`. It is given an observer, `target`, and returns another one. Whatever that one is told, it tells
# `target`; values in capital letters (`value.upper()`), and the two ways to end as they are.


# %% tags=["exercise"]
def shouting(target):
    return ...


# %% tags=["solution"]
def shouting(target):
    return Observer(
        on_next=lambda value: target.on_next(value.upper()),
        on_error=target.on_error,
        on_completed=target.on_completed,
    )


# %% tags=["check"]
failure = ValueError("no more letters")


class Target:
    """An observer that hands on what it is told, and notes what it cannot."""

    def __init__(self, subject):
        self.subject = subject
        self.on_next = subject.on_next
        self.errors = []
        self.problems = []

    def on_error(self, *errors):
        if errors:
            self.errors.extend(errors)
            self.subject.on_error(*errors)
        else:
            self.problems.append(
                "the `on_error` of `target` was called without an error"
            )

    def on_completed(self, *values):
        if values:
            self.problems.append(
                "the `on_completed` of `target` was called with a value"
            )
        else:
            self.subject.on_completed()


def told(function, argument, marbles):
    """What a target is told by the observer that a function makes, or an error."""
    scheduler = VirtualTimeScheduler()  # see lesson 5
    timeline = Timeline(scheduler)
    subject = Subject()
    subject.pipe(timeline.trace("target")).subscribe(on_error=lambda _: None)
    target = Target(subject)
    name = f"`{function.__name__}`"
    try:
        made = function(argument(target))
        if made is ...:
            return ...
        if made is None:
            return TypeError(f"{name} returned None (is a return missing?)")
        for method in ["on_next", "on_error", "on_completed"]:
            if not callable(getattr(made, method, None)):
                its = f"`{type(made).__name__}` has no `{method}`"
                return TypeError(f"what {name} returned is not an observer: {its}")
        cold(marbles, error=failure).subscribe(made, scheduler=scheduler)
        scheduler.advance_to(10)
    except Exception as error:
        if error is failure and not target.errors:
            return ValueError("the error was not told to `target`")
        return error.with_traceback(error.__traceback__.tb_next)
    return TypeError(target.problems[0]) if target.problems else timeline


def shouted(marbles):
    result = told(shouting, lambda target: target, marbles)
    if isinstance(result, Exception):
        raise result
    return result


three_methods = (
    "An observer has three methods. Each has to call the same one of `target`."
)
solved_1 = [
    check(
        "Exercise 1, completed,",
        lambda: shouted("-a-b-|"),
        "-A-B-|",
        hint=three_methods,
    ),
    check(
        "Exercise 1, error,",
        lambda: shouted("-a-b-#"),
        "-A-B-#",
        error=failure,
        hint=three_methods,
    ),
]

# %% [markdown]
# ### Exercise 2: tell them all
#
# Write `all_of`. It is given a list of observers and returns *one* observer. Whatever that one is told, all in the list are
# told. You need no class for that: you have met something that does it.


# %% tags=["exercise"]
def all_of(observers):
    return ...


# %% tags=["solution"]
def all_of(observers):
    subject = Subject()
    for observer in observers:
        subject.subscribe(observer)
    return subject


# %% tags=["check"]
def told_to_all(place, marbles):
    """What the target is told that has this place in a list of two observers."""

    def two(target):
        observers = [Observer(on_error=lambda _: None)]
        observers.insert(place, target)
        return observers

    result = told(all_of, two, marbles)
    if isinstance(result, Exception):
        raise result
    return result


a_subject = "A subject tells all who are subscribed to it, and is an observer itself. Subscribe each."
solved_2 = [
    check(
        "Exercise 2, the first of two,",
        lambda: told_to_all(0, "-a-b-|"),
        "-a-b-|",
        hint=a_subject,
    ),
    check(
        "Exercise 2, the second of two,",
        lambda: told_to_all(1, "-a-b-#"),
        "-a-b-#",
        error=failure,
        hint=a_subject,
    ),
]

# %% [markdown]
# ### Exercise 3: all said
#
# Write `say_all`. It is given a channel and two observables. It sends what both of them say, and when *both* are over, it
# closes the channel with code 4000 and the reason `All said`. They speak at the same time, and are hot. The check listens
# on another channel.


# %% tags=["exercise"]
def say_all(channel, first, second):
    return ...


# %% tags=["solution"]
def say_all(channel, first, second):
    merged = reactivex.merge(first, second)
    channel.sink.add_stream(merged).result(timeout=5)
    channel.sink.close(4000, "All said")


# %% tags=["check"]
def overheard(say_all, who_ends_first):
    """What somebody else heard, and how the channel was closed."""
    first, second = speakers = Subject(), Subject()
    early, late = speakers[who_ends_first], speakers[1 - who_ends_first]
    url = server.url_for("/broadcast")  # where everybody gets what anybody sends
    with WebSocketChannel.connect(url) as other, WebSocketChannel.connect(url) as ours:
        here = other.stream.pipe(ops.first(), ops.to_future(Future))
        other.sink.add("I am here")
        here.result(timeout=5)
        hearing = other.stream.pipe(
            ops.take(4),
            ops.take_until(reactivex.timer(3)),
            ops.to_list(),
            ops.to_future(Future),
        )
        called = reactivex.start(lambda: say_all(ours, first, second)).pipe(
            ops.to_future(Future)
        )
        begun = time.monotonic()
        while not (called.done() or (first.observers and second.observers)):
            if time.monotonic() > begun + 1:
                break  # one of them speaks, and nobody listens
            time.sleep(0.01)
        if called.done() and called.result() is ...:
            return ...
        for speaker, word in [(early, "a"), (late, "b"), (early, "c")]:
            speaker.on_next(word)
        early.on_completed()
        wait([called], timeout=0.2)  # whoever waits for one only goes on here
        late.on_next("d")
        late.on_completed()
        if wait([called], timeout=5).not_done:
            raise TimeoutError("`say_all` has not returned within 5 seconds")
        called.result()
        heard = hearing.result(timeout=10)
        is_closed = wait([ours.sink.done], timeout=3).done
    ending = (ours.close_code, ours.close_reason)
    return one_by_one(
        [*heard, ending if is_closed else "open (so the check closed it)"]
    )


to_the_end = (
    "add_stream leaves the sink open, and returns a future. Give it all that is said at "
    "once,\nand wait for everything before you close, with the code and the reason."
)
solved_3 = [
    check(
        f"Exercise 3, when the {name} ends first,",
        partial(overheard, say_all, who_ends_first),
        "a-b-c-d-e-|",
        {"e": (4000, "All said")},
        hint=to_the_end,
    )
    for who_ends_first, name in enumerate(["first", "second"])
]

# %% [markdown]
# ## What to take along
#
# - An observer has three methods. For the sink of a channel they are: send, close with 1000, close with 1011.
# - A subject is both observer and observable: calls go in, and come out to all who are subscribed. It is hot.
# - Whatever completes first closes the sink that it feeds. Use `merge`, or `add_stream` and a `close` of your own.
# - One writer at a time: threads that share a subject have to take turns. On `channel.sink` they need not.
#
# The last cell closes what we opened. Between the stream and the sink there is room for what turns one into the other:
# [4. Operators on a live ticker](04-operators.ipynb).

# %%
opened.close()
