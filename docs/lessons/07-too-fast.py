# %% [markdown]
# # 7. Too fast
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - say what a slow subscriber does to its stream, to its neighbours and to the server;
# - recognise a queue that grows without an end, and give it a limit;
# - thin a stream out, by the clock or by what the subscriber has time for;
# - choose among these by what the values mean;
# - say why `sink.add` may make you wait.

# %%
import json
import time
from concurrent.futures import Future
from contextlib import ExitStack
from threading import Event, Thread

import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import NewThreadScheduler, VirtualTimeScheduler

from rxecho import EchoServer, Live, WebSocketChannel
from rxecho.lessons import check
from rxecho.marbles import Timeline, cold, diagram
from rxecho.operators import bounded, conflate

opened = ExitStack()
server = opened.enter_context(EchoServer())

# %% [markdown]
# ## A subscriber that is too slow
#
# The practice server's ticker sends a quote every 0.2 seconds. Your subscriber takes 0.5 seconds over each: it writes to
# a slow disk, asks a model, draws a large picture. Here it sleeps. What becomes of the quotes?


# %%
def ticks(count, interval=0.2):
    """1, 2, 3, …: the numbers of a ticker's quotes, over a channel of their own."""
    url = server.url_for(f"/ticker?interval={interval}&count={count}&seed=1")
    channel = opened.enter_context(WebSocketChannel.connect(url))
    return channel.stream.pipe(ops.map(lambda quote: json.loads(quote)["sequence"]))


def slow(seconds):
    """Work so long on each value, and hand it on."""
    return ops.do_action(lambda _: time.sleep(seconds))


# %% [markdown]
# Two clients listen to a ticker of five quotes. The first one is quick, and so shows when they are sent.

# %%
timeline = Timeline(resolution=0.1)

quick = ticks(5).pipe(timeline.trace("quick"))
late = ticks(5).pipe(
    timeline.trace("arrives"),
    slow(0.5),
    timeline.trace("handled"),
)

with Live(timeline):
    reactivex.merge(quick, late).run()

# %% [markdown]
# Nothing is lost, but everything is late, and later with each value. Even *arrives* is late, which stands in front of the
# slow step. There are two reasons:
#
# - Notifications are serialized, as in lesson 3. While 1 is being worked on, 2 cannot be handed over.
# - A channel has one thread. It reads from the socket, calls you, and reads again when you return. While you work, nobody
#   reads.
#
# What the server sends meanwhile waits in the operating systems of both machines. A **buffer** is a place where values
# wait until somebody has time for them, and TCP, which carries the WebSocket's bytes, has one at each end of a connection.
# They are large, but not endless. When they are full, TCP has the sender stop, and the server's `send` waits until you
# read again. That is **flow control**: nobody sends more than the other end has room for.
#
# ## How far the pressure reaches
#
# The same holds in the other direction. You will now send 48 messages of 1 MiB each to the echo server, and not be there
# when they come back: the subscriber is held at the first one. Look how much waits after a second.

# %%
MIB = 2**20
channel = opened.enter_context(WebSocketChannel.connect(server.url))

go_on, over, echoes = Event(), Event(), []


def work(message):
    go_on.wait(timeout=30)  # busy, until the next cell says go on; 30 s at most, each
    echoes.append(len(message))


def send_all(sink):
    for _ in range(48):
        sink.add(bytes(MIB))


channel.stream.pipe(ops.take(48)).subscribe(work, on_completed=over.set)

sending = Thread(target=send_all, args=[channel.sink])
sending.start()
opened.callback(sending.join, timeout=30)
opened.callback(go_on.set)  # the last cell says it, too, before it waits and closes
sending.join(timeout=1)  # wait for its end, a second at most

waiting = channel.sink.buffered_amount
{"still sending": sending.is_alive(), "4 to 5 MiB wait": 4 * MIB < waiting <= 5 * MIB}

# %% [markdown]
# Your *subscriber* is busy, and so your *sending* has come to a halt. Nobody reads the echoes, so the server cannot send
# more of them; until it can, it does not read either; so nothing more leaves your
# machine.
#
# `sink.buffered_amount` says how many bytes you have added that the operating system has not taken yet. While these are
# more than 4 MiB, `add` waits. If it did not, whatever you send would pile up in your memory, a large file as a whole.
#
# What you see is **backpressure**: a receiver that is busy slows the sender down, through everything in between. Let the
# subscriber go on, and all of it flows:

# %%
go_on.set()
over.wait(timeout=30)
sending.join(timeout=30)

{"still sending": sending.is_alive(), "echoes": len(echoes)}

# %% [markdown]
# One warning. Inside a subscriber, on the channel's own thread, `add` does not wait: nobody would be left to read. So do
# not send much from there.
#
# ## Late for everybody
#
# To be late may be all right for you. But the stream is multicast, and the channel's thread calls one subscriber after
# the other. Here, two listen to the same echoes. The second one does next to nothing.


# %%
def slow_and_quick(*between):
    """Four messages, one every 0.2 s, for a slow subscriber and a quick one."""
    # between: operators in front of the slow step, later
    timeline = Timeline(resolution=0.1)
    with WebSocketChannel.connect(server.url) as channel, Live(timeline):
        echoes = channel.stream.pipe(ops.take(4))
        reactivex.interval(0.2).pipe(
            ops.take(4),
            ops.map(str),
            timeline.trace("sink"),
        ).subscribe(channel.sink.add)
        reactivex.merge(
            echoes.pipe(*between, slow(0.5), timeline.trace("slow")),
            echoes.pipe(timeline.trace("quick")),
        ).run()


slow_and_quick()

# %% [markdown]
# `time.sleep` in one subscriber has made the other one late, too. So slow work does not belong on the channel's thread.
#
# ## A queue without an end
#
# `observe_on` hands everything over to a scheduler, and returns at once. In lesson 5 we named no scheduler. Here a thread is
# what we want, so we name one: every piece of work of a `NewThreadScheduler` has a thread of its own.

# %%
slow_and_quick(ops.observe_on(NewThreadScheduler()))

# %% [markdown]
# The quick one is on time. But look where the values wait now. `stall` holds a subscriber at the first of 1,000 messages,
# counts how many have arrived after a second, and only then lets it go on.


# %%
def stall(hand_over):
    """Hold a subscriber at the first of 1,000 messages, and count."""
    arrived, handled = [], []
    go_on = Event()

    def work(number):
        go_on.wait(timeout=30)
        handled.append(number)

    over = ticks(1000, interval=0).pipe(
        ops.do_action(arrived.append),
        hand_over,
        ops.do_action(work),
        ops.to_future(Future),
    )
    time.sleep(1)  # as many arrive as can
    meanwhile = len(arrived)
    go_on.set()
    over.result(timeout=30)
    return {"arrived meanwhile": meanwhile, "handled in the end": len(handled)}


stall(ops.observe_on(NewThreadScheduler()))

# %% [markdown]
# All 1,000 have arrived. One is in work, and 999 wait in a list; of a million, nearly a million would. The channel's thread
# is free, so it reads on and on, and the server has no reason to slow down. The queue has cut the backpressure off. Such a
# program passes every test, and after some days it has no memory left.
#
# `rxecho.operators.bounded` does the same with a limit:

# %%
stall(bounded(100))

# %% [markdown]
# 102: one is in work, 100 wait, and one stands at the door, where the channel's thread waits with it. Nothing more is read,
# the rest stays with TCP and the server, and still nothing is lost. As long as there is room, a quick neighbour is on
# time, as with `observe_on`.
#
# So a buffer is good for a burst: some values at once, and then a pause to catch up. Where values are too fast *on
# average*, every buffer is full in the end, whatever its size. Then you have to decide something.
#
# ## When it is full
#
# What `bounded` does then is its second argument. `"block"`, to wait, is what you saw. `"error"` gives up. (The traceback
# may be long; its last line matters.)

# %% tags=["raises-exception"]
ticks(10, interval=0).pipe(bounded(2, "error"), slow(0.2)).run()

# %% [markdown]
# `"drop_oldest"` and `"drop_newest"` let one value go for each that is too many. And often only one still matters, the
# newest. Then you want **conflation**: whatever comes while the subscriber is busy becomes one value. The operator for it
# is `conflate`. In this picture each marble stands where the work on it *begins*.

# %%
timeline = Timeline(resolution=0.1)

strategies = {
    "drop_newest": bounded(2, "drop_newest"),
    "drop_oldest": bounded(2, "drop_oldest"),
    "conflate": conflate(),
}

with Live(timeline):
    reactivex.merge(
        ticks(5).pipe(timeline.trace("ticker")),
        *(
            ticks(5).pipe(strategy, timeline.trace(name), slow(0.5))
            for name, strategy in strategies.items()
        ),
    ).run()

# %% [markdown]
# `drop_newest` begins with 4 almost a second after it came, and 5 is lost. `conflate` always begins with what is newest at
# that moment, so a value never waits longer than one piece of work takes (0.5 s). However many come, it holds two at most,
# one in work and one waiting:

# %%
stall(conflate())

# %% [markdown]
# All 1,000 have arrived, and two of them were handled, the last one among them. Where none may be lost but their sum would do,
# as with amounts, `conflate(lambda waiting, new: waiting + new)` merges instead of dropping.
#
# ## By the clock
#
# `bounded` and `conflate` go by the subscriber. RxPY's own operators go by the clock, however busy anybody is. **Sampling**
# looks at regular times, takes what is newest then, and says nothing where nothing new has come. Here, in virtual time,
# every 3 seconds:

# %%
diagram(ops.sample(3), "-a-b---c-d-e-f----|")

# %% [markdown]
# **Throttling** lets a value pass at once, and then no other for a while. A button that somebody presses twice in their
# hurry counts once:

# %%
diagram(ops.throttle_first(3), "-a-b---c-d-e-f----|")

# %% [markdown]
# **Debouncing** lets a value pass when no other has followed it for a while. You have met it in lesson 5:

# %%
diagram(ops.debounce(3), "-a-b---c-d-e-f----|")

# %% [markdown]
# A search field is what debouncing was made for: you do not want to ask the server at every key, but when the typing
# pauses. This one asks over a live socket, and our server sends the question back:

# %%
timeline = Timeline(resolution=0.1)
channel = opened.enter_context(WebSocketChannel.connect(server.url))

keys = {"a": "m", "b": "ma", "c": "map", "d": "mapl", "e": "maple"}
typed = cold("a-b-c------d-e------|", keys, timespan=0.1)

with Live(timeline):
    typed.pipe(
        timeline.trace("typed"),
        ops.debounce(0.3),
        timeline.trace("sink"),
    ).subscribe(channel.sink)
    channel.stream.pipe(timeline.trace("stream")).run()

# %% [markdown]
# And this is what it was *not* made for. Of prices that come without a pause, only the very last one passes:

# %%
diagram(ops.debounce(3), "a-b-c-d-e-f-g-h|")

# %% [markdown]
# The clock does not know the subscriber. If the subscriber takes longer than the clock allows, it needs `bounded` or
# `conflate` behind these operators as well. (RxPY's `debounce` would even call it while it is still busy, from another thread.)
#
# ## In batches
#
# Sometimes nothing may be lost, but several values together take no longer than one: a commit to a database, a write to a
# file. `buffer_with_count` makes lists of them, here of three; `buffer_with_time` makes one every so many seconds. Behind
# it, `bounded` lets the channel's thread read on. (A wide marble begins at its moment.)

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline):
    ticks(6).pipe(
        timeline.trace("ticker"),
        ops.buffer_with_count(3),
        bounded(10),
        slow(0.5),
        timeline.trace("saved"),
    ).run()

# %% [markdown]
# The same slow step keeps up now: it works 0.5 seconds of every 0.6. All are there, and the second list is no later than
# the first.
#
# ## Which one?
#
# Do not ask how fast it is, but what a value means.
#
# | What it is | What matters | What to use |
# | --- | --- | --- |
# | prices, progress, a thermometer | the newest | `conflate()` |
# | amounts, counts | the sum | `conflate(lambda waiting, new: waiting + new)` |
# | where the mouse is | one now and then | `sample` |
# | a search field | the one that stays | `debounce` |
# | a button | the first | `throttle_first` |
# | lines for a log or a database | all, and not each alone | `buffer_with_count`, `buffer_with_time`, then `bounded` |
# | key presses, payments | all | `bounded`, or nothing at all: TCP slows the sender down |
#
# ## Exercises
#
# ### Exercise 1: by the clock
#
# Choose an operator for each. `search` lets a text pass when nothing has followed it for 3 seconds. `mouse` says every 4
# seconds where the mouse is by then, if it has moved. `button` lets a press pass, and then no other for 5 seconds.

# %% tags=["exercise"]
search = ...
mouse = ...
button = ...

# %% tags=["solution"]
search = ops.debounce(3)
mouse = ops.sample(4)
button = ops.throttle_first(5)

# %% tags=["check"]
solved_1 = [
    check(
        "Exercise 1 (search)",
        lambda: cold("-a-b-c------d-e------|").pipe(search),
        "--------c--------e---|",
        hint="Which operator waits for a pause?",
    ),
    check(
        "Exercise 1 (mouse)",
        lambda: cold("-a-b-c-d-e-------|").pipe(mouse),
        "----b---d---e-------|",
        hint="Which operator looks at regular times?",
    ),
    check(
        "Exercise 1 (button)",
        lambda: cold("--a---b----c-d--e--|", timespan=0.5).pipe(button),
        "--a----------d-----|",
        timespan=0.5,
        hint="Which operator takes the first, and is deaf for a while?",
    ),
]

# %% [markdown]
# ### Exercise 2: no peak goes unseen
#
# `loads` are numbers: how busy some machine is, measured again and again. Write `peaks`: while the subscriber is busy, the
# highest of the numbers that come is kept, and it gets that as soon as it is free again. The subscriber of the check takes
# 0.6 seconds for each; `peaks` itself need not be slow.


# %% tags=["exercise"]
def peaks(loads):
    return ...


# %% tags=["solution"]
def peaks(loads):
    return loads.pipe(conflate(max))


# %% tags=["check"]
def before_slow(answer, marbles):
    """What a subscriber is given that takes 0.6 seconds for each, in virtual time."""
    clock = VirtualTimeScheduler()
    timeline = Timeline(clock)
    answered = answer(reactivex.from_marbles(marbles, timespan=0.1))
    if not isinstance(answered, Observable):
        return answered
    answered.pipe(timeline.trace("given")).subscribe(
        lambda _: clock.sleep(0.6), lambda _: None, scheduler=clock
    )
    clock.advance_to(6)
    return timeline


solved_2 = check(
    "Exercise 2",
    lambda: before_slow(peaks, "9-3-2---1-4-----|"),
    "9-----3-----4-----|",
    timespan=0.1,
    hint="conflate takes a function of two values, the one that waits and the new one, and "
    "keeps what it returns. What has been handled already does not count.",
)

# %% [markdown]
# ### Exercise 3: all of them
#
# Each message of a channel has to be saved, and saving is slow. Write `safely`: it hands what `stream` says over to another
# thread, so that a neighbour goes on. 3 messages may wait there; when there are more, it is the server that has to wait.


# %% tags=["exercise"]
def safely(stream):
    return ...


# %% tags=["solution"]
def safely(stream):
    return stream.pipe(bounded(3))


# %% tags=["check"]
def held(answer, which):
    """Eight messages: what a neighbour gets while saving is held, or what is saved."""
    heard, saved, ends = [], [], []
    four, eight, go_on, over = Event(), Event(), Event(), Event()

    def save(message):
        go_on.wait(timeout=10)
        saved.append(message)

    def hear(message):
        heard.append(message)
        if len(heard) == 4:
            four.set()

    def end(how):
        ends.append(how)
        over.set()

    with WebSocketChannel.connect(server.url) as channel:
        echoes = channel.stream.pipe(ops.take(8))
        answered = answer(echoes.pipe(ops.timeout(3)))
        if not isinstance(answered, Observable):
            return answered
        with answered.subscribe(
            save,
            lambda error: end(reactivex.throw(error)),
            lambda: end(reactivex.empty()),
        ):
            echoes.subscribe(hear, on_completed=eight.set)
            for number in range(8):
                channel.sink.add(str(number))
            if four.wait(timeout=2):
                eight.wait(timeout=1)
            before_anything_is_saved = [*heard]
            go_on.set()
            over.wait(timeout=4)
    if which == "heard":
        return reactivex.of(" ".join(map(str, before_anything_is_saved)))
    return reactivex.concat(
        reactivex.of(" ".join(map(str, saved))),
        ends[0] if ends else reactivex.never(),
    )


solved_3 = [
    check(
        "Exercise 3 (the neighbour, before anything is saved)",
        lambda: held(safely, "heard"),
        "(x,|)",
        {"x": "0 1 2 3"},
        hint="The neighbour has had 0 to 3 by then: one is in work, three wait, and 4 stands at the "
        "door. Which operator hands over to another thread, with a limit? 3 is the limit.",
    ),
    check(
        "Exercise 3 (what is saved in the end)",
        lambda: held(safely, "saved"),
        "(x,|)",
        {"x": "0 1 2 3 4 5 6 7"},
        hint="None may be lost. What does bounded do when it is full?",
    ),
]

# %% [markdown]
# ## What to take along
#
# - A slow subscriber stops the channel's thread, then TCP, then the server: backpressure. Nothing is lost, but everything
#   is late, for its neighbours, too.
# - A queue without a limit hides that until the memory is full. Give it a limit, and say what happens there.
# - What the values mean tells you what to do: `conflate`, `sample`, `debounce` and `throttle_first` lose some of them,
#   batches and a `bounded` that blocks lose none.
# - While more than 4 MiB wait to leave, `sink.add` waits. It is the same pressure, on you.
#
# So far, everything has lasted. The next lesson is [8. When it breaks](08-when-it-breaks.ipynb).

# %%
opened.close()
