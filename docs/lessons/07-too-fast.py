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
import time
from concurrent.futures import Future
from contextlib import ExitStack
from threading import Event

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
# A message comes every 0.2 seconds, and your subscriber takes 0.5 seconds over each: it writes to a slow disk, or asks a
# model. Here it sleeps. A neighbour on the same channel does next to nothing.


# %%
def slow(seconds):
    """Work so long on each value, and hand it on."""
    return ops.do_action(lambda _: time.sleep(seconds))


def watch(**pipes):
    """Send five messages, and draw what comes out of each subscriber's pipe."""
    timeline = Timeline(resolution=0.1)
    with WebSocketChannel.connect(server.url) as channel, Live(timeline):
        reactivex.interval(0.2).pipe(
            ops.take(5),
            ops.map(lambda n: str(n + 1)),
            timeline.trace("sent"),
        ).subscribe(channel.sink.add)
        echoes = channel.stream.pipe(ops.take(5))
        reactivex.merge(
            *(echoes.pipe(*pipe, timeline.trace(name)) for name, pipe in pipes.items())
        ).run()


watch(slow=[slow(0.5)], neighbour=[])

# %% [markdown]
# Nothing is lost, but everything is late, and later with each message, for the neighbour, too. There are two reasons:
#
# - Notifications are serialized, as in lesson 3. While 1 is being worked on, 2 cannot be handed over.
# - A channel has one thread. It reads from the socket, calls one subscriber after the other, and reads again when the
#   last one returns. While you work, nobody reads.
#
# What the server sends meanwhile waits in the operating systems of both machines. A **buffer** is a place where values
# wait until somebody has time for them, and TCP, which carries the WebSocket's bytes, has one at each end of a connection.
# When both are full, TCP has the sender stop, and the server cannot send until you read again. That is **flow control**:
# nobody sends more than the other end has room for.
#
# ## How far the pressure reaches
#
# Send more than fits into these buffers: 48 messages of 1 MiB each. When the first echo comes, the subscriber is busy with
# it for a second, and then notes how far your sending has come.

# %%
MIB = 2**20
channel = opened.enter_context(WebSocketChannel.connect(server.url))
sent, notes = [], []


def work(_):
    if not notes:
        time.sleep(1)  # busy with the first
    notes.append((len(sent), channel.sink.buffered_amount))


done = channel.stream.pipe(
    ops.take(48),
    ops.do_action(work),
    ops.to_future(Future),
)
for number in range(48):
    channel.sink.add(bytes(MIB))
    sent.append(number)

done.result(timeout=30)
sent_then, waiting = notes[0]
{"all sent": sent_then == 48, "4 MiB wait": waiting > 4 * MIB, "echoes": len(notes)}

# %% [markdown]
# After that second, not all had been sent. Your *subscriber* was busy, and so your *sending* had come to a halt: the `for` stood
# still inside `add`. Nobody read the echoes, so the server could not send more of them; until it could, it did not read
# either; so nothing more left your machine. Once the subscriber was free, all 48 came. This is **backpressure**: a receiver
# that is busy slows the sender down, through everything in between.
#
# `sink.buffered_amount` says how many bytes you have added that the operating system has not taken yet. While these are
# more than 4 MiB, `add` waits. If it did not, a large file would pile up in your memory as a whole.
#
# ## A queue without an end
#
# To be late may be all right for you, but not for your neighbour. So slow work does not belong on the channel's thread.
# `observe_on` hands notifications over to a scheduler, and returns at once. A `NewThreadScheduler` works them off on
# another thread, still one by one:

# %%
watch(slow=[ops.observe_on(NewThreadScheduler()), slow(0.5)], neighbour=[])

# %% [markdown]
# The neighbour is on time. But where do the values wait now? `stall` has a subscriber busy with the first of 1,000
# messages for a second, and counts how many have arrived by then.


# %%
def stall(hand_over):
    arrived, notes = [], []

    def work(_):
        if not notes:
            time.sleep(1)  # busy with the first, while as many arrive as can
        notes.append(len(arrived))

    url = server.url_for("/ticker?interval=0&count=1000")
    with WebSocketChannel.connect(url) as channel:
        channel.stream.pipe(
            ops.do_action(arrived.append),
            hand_over,
            ops.do_action(work),
        ).run()
    return {"arrived meanwhile": notes[0], "handled in the end": len(notes)}


stall(ops.observe_on(NewThreadScheduler()))

# %% [markdown]
# One is in work, and 999 wait in a list; of a million, nearly a million would. The channel's thread is free, so it reads on
# and on, and the server has no reason to slow down. The queue has cut the backpressure off. Such a program passes every
# test, and after some days it has no memory left.
#
# `rxecho.operators.bounded` hands over to another thread, too, but lets only so many wait:

# %%
stall(bounded(100))

# %% [markdown]
# 102: one is in work, 100 wait, and one stands at the door, where the channel's thread waits with it. The rest stays with
# TCP and the server, and still nothing is lost. As long as there is room, a neighbour is on time.
#
# So a buffer is good for a burst, with a pause after it to catch up. Where values are too fast *on average*, every buffer
# is full in the end. Then you have to decide something.
#
# ## When it is full
#
# The second argument of `bounded` says what it does then. `"block"`, to wait, is what you saw. `"error"` gives up. (The
# traceback may be long; its last line matters.)

# %% tags=["raises-exception"]
stall(bounded(100, "error"))

# %% [markdown]
# `"drop_oldest"` lets the one go that has waited longest, `"drop_newest"` the one that comes. And often only the newest
# still matters. Then you want **conflation**: whatever comes while the subscriber is busy becomes one value. `conflate` does
# that, on another thread, too.

# %%
watch(
    drop_newest=[bounded(2, "drop_newest"), slow(0.5)],
    conflate=[conflate(), slow(0.5)],
)

# %% [markdown]
# `drop_newest` has lost 5, and finishes 4 when that has long been out of date. `conflate` takes the newest whenever the
# subscriber is free, so none waits longer than one piece of work takes. However many come, one is in work and one waits.
# Of 1,000, this subscriber gets the first and the last:

# %%
stall(conflate())

# %% [markdown]
# Where none may be lost but their sum would do, as with amounts, `conflate(lambda waiting, new: waiting + new)` merges
# instead of dropping.
#
# ## By the clock
#
# RxPY's own operators for this go by the clock, however busy anybody is. **Debouncing**, known from lesson 5, lets a value
# pass when no other has followed it for a while. That suits a search field, where people pause. Prices never pause, so only
# the very last one passes:

# %%
diagram(ops.debounce(3), "-a-b-c-d-e-f-g---|")

# %% [markdown]
# **Sampling** looks at regular times, and takes what is newest then, if anything new has come. The same prices, every 6
# seconds, until it sees that they have completed:

# %%
diagram(ops.sample(6), "-a-b-c-d-e-f-g---|")

# %% [markdown]
# **Throttling** lets a value pass at once, and then no other for a while. A button that is pressed twice in a hurry counts
# once:

# %%
diagram(ops.throttle_first(3), "-a-b------c-d----|")

# %% [markdown]
# The clock does not know the subscriber. One that takes longer than the clock allows needs `bounded` or `conflate` behind
# these operators as well.
#
# ## Which one?
#
# Do not ask how fast it is, but what a value means.
#
# | What it is | What matters | What to use |
# | --- | --- | --- |
# | prices, progress, a thermometer | the newest | `conflate()` |
# | amounts, counts | the sum | `conflate(lambda waiting, new: waiting + new)` |
# | where the mouse is | the newest, so many times a second at most | `sample` |
# | a search field | the one that stays | `debounce` |
# | a button | the first | `throttle_first` |
# | lines for a log or a database | all, several at a time | lists of them from `buffer_with_time`, then `bounded` |
# | payments, orders | all | `bounded`; without neighbours no operator at all: TCP slows the sender down |
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
# `loads` are numbers: how busy some machine is, measured again and again. Write `peaks`: it keeps the highest of the numbers
# that come while the subscriber is busy, and gives it that as soon as it is free. The subscriber of the check takes 0.6
# seconds for each; `peaks` itself must not be slow.


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
# Each message of a channel has to be saved, and saving is slow. Write `safely`: it hands the messages of `stream` over to
# another thread, so that a neighbour goes on. 3 messages may wait there; when there are more, it is the server that has to wait.


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
        "door. Which operator hands over to another thread, with a limit? 3 is the limit. It needs "
        "no other operator beside it.",
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
#   lists and a `bounded` that blocks lose none.
# - While more than 4 MiB wait to leave, `sink.add` waits. It is the same pressure, on you.
#
# So far, everything has lasted. Next comes [8. When it breaks](08-when-it-breaks.ipynb).

# %%
opened.close()
