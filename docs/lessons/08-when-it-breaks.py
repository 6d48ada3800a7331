# %% [markdown]
# # 8. When it breaks
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - tell a connection that was closed from one that was lost, and from one that never was;
# - hear of an error, and put something else in its place;
# - connect again after a loss, with waits that spare the server;
# - keep what is said while there is no connection;
# - notice when the other side (the *peer*) has gone without a word.

# %%
import socket
import threading
import time
from contextlib import ExitStack

import reactivex
from reactivex import operators as ops
from reactivex.scheduler import TimeoutScheduler
from websockets.server import ServerProtocol

from rxecho import ConnectionLost, EchoServer, Live, WebSocketChannel, open_channel
from rxecho.lessons import check
from rxecho.marbles import Timeline, cold, diagram
from rxecho.operators import ReconnectingSink, messages, reconnect

opened = ExitStack()
server = opened.enter_context(EchoServer())


# This is for the end of the lesson. How it works need not interest you.
def mute_peer():
    """The URL of a server that takes one client, shakes hands, and falls silent."""
    listening = opened.enter_context(socket.create_server(("127.0.0.1", 0)))

    def shake_hands():
        client, _ = listening.accept()
        opened.enter_context(client)
        protocol = ServerProtocol()
        protocol.receive_data(client.recv(4096))
        [request] = protocol.events_received()
        protocol.send_response(protocol.accept(request))
        client.sendall(b"".join(protocol.data_to_send()))

    threading.Thread(target=shake_hands, daemon=True).start()
    return f"ws://127.0.0.1:{listening.getsockname()[1]}/"


# %% [markdown]
# ## Three ends
#
# *Closed*, as in lesson 1: one side sends a close code, the other confirms. Whatever the code, the stream completes.
#
# *Never made*: nobody listens there, or it is no WebSocket. The stream ends with the error `ConnectError`.
#
# *Lost*: the connection is gone, and nobody has said goodbye. A cable, a crash, a router. The stream ends with the error
# `ConnectionLost`, and `run` raises it. On `/flaky?after=2` the server answers two messages, and then hangs up:

# %% tags=["raises-exception"]
flaky = server.url_for("/flaky?after=2")


def talk(channel):
    """Say "0" and "1", 0.2 and 0.4 seconds from now, and give what comes back."""
    reactivex.interval(0.2).pipe(ops.map(str), ops.take(2)).subscribe(channel.sink.add)
    return channel.stream


timeline = Timeline(resolution=0.2)
channel = opened.enter_context(WebSocketChannel.connect(flaky))

with Live(timeline):
    talk(channel).pipe(timeline.trace("stream")).run()

# %% [markdown]
# ## Who is told
#
# An exception goes up, to whoever called. Here nobody called: the channel's own thread brings you the message. So an
# error goes *down* the pipe instead, as a notification, through every operator to the observer. What does a `try`
# around `subscribe` catch, then?

# %% tags=["traceback"]
channel = opened.enter_context(WebSocketChannel.connect(flaky))
heard = []

try:
    talk(channel).subscribe(heard.append)
except ConnectionLost:
    heard.append("caught")

channel.sink.done.result(timeout=5)  # wait for its end, whichever it is
heard

# %% [markdown]
# Nothing: `subscribe` had returned long before. Without `on_error`, RxPY raises the error where it is, on the channel's
# thread, which can only print it. Your program goes on as if more were to come.
#
# So say what is to be done. A late subscriber has missed the messages, but is still told of the end:

# %%
channel.stream.subscribe(on_error=lambda error: heard.append(type(error).__name__))
heard

# %% [markdown]
# ## Something else instead
#
# `ops.catch` keeps the error from going further, and subscribes to another observable in its place. With
# `reactivex.of(…)` that is one last value.

# %%
diagram(ops.catch(reactivex.of("offline")), "-a-b-#")

# %% [markdown]
# It also takes a function, `catch(lambda error, source: …)`, which looks at the error and returns the observable that
# follows: `reactivex.throw(error)` passes the error on. Otherwise a `KeyError` in your own `map` is taken for a broken
# connection.
#
# ## Once more
#
# To **retry** is to subscribe again after an error. `ops.retry(4)` subscribes up to four times; the fourth error it
# passes on. Will it bring back the connection that we have lost above?

# %%
errors = []
channel.stream.pipe(
    ops.do_action(on_error=errors.append),
    ops.retry(4),
    ops.catch(reactivex.of("given up")),  # or run() would raise
).run()

len(errors), len(set(errors))

# %% [markdown]
# Four errors, and all are the same one. A channel is one connection, and never opens again. Its stream can only tell
# each new subscriber how it ended.
#
# You need something cold, that begins anew with each subscription. `open_channel(url)` is that: an observable that
# connects when it is subscribed to, and emits the channel once it is open. It ends as the channel ends.

# %%
timeline = Timeline(resolution=0.2)

with Live(timeline):
    open_channel(flaky).pipe(
        ops.flat_map(talk),
        timeline.trace("connections"),
        ops.retry(4),
        timeline.trace("retry(4)"),
        ops.catch(reactivex.of("given up")),
    ).run()

# %% [markdown]
# There are four subscriptions on the upper line, and a cross ends each. Whoever listens behind `retry` hears only of the
# fourth. But what if the server is *gone*, and you retry without end? We give it half a second, and count.

# %%
with EchoServer() as gone:
    pass

errors = []
attempts = open_channel(gone.url).pipe(ops.do_action(on_error=errors.append))

with attempts.pipe(ops.retry()).subscribe():
    time.sleep(0.5)

type(errors[0]).__name__, len(errors) > 50

# %% [markdown]
# It is hundreds of attempts a second. A server that tries to get up again is kept down by its own clients.
#
# ## Not at once
#
# To **reconnect** is to connect anew after a loss, and a good client waits before it does. It waits longer each time, since what
# is still down after a second may well be down for a minute. That is called **backoff**.
# `rxecho.operators.reconnect` stands where `retry` stood. Here a channel `c` is lost after a second, again and again:

# %%
diagram(
    reconnect(min_delay=1, max_delay=4, max_attempts=4, random=lambda: 1.0),
    "c#",
    error=ConnectionLost("gone"),
)

# %% [markdown]
# At most, it waits twice `min_delay`, then twice as long each time, up to `max_delay`: 2, 4 and 4 seconds here. After
# `max_attempts` in a row it passes on the error. (In a row: none of them lasted for 5 seconds.)
#
# And `random`? A server that goes down loses all of its clients at the same moment. If all of them wait equally long,
# they also come back at the same moment. So part of the wait is left to chance, which is called
# **jitter**: each wait is drawn between `min_delay` and the longest that backoff allows. `random=lambda: 1.0` always
# draws the longest, for pictures and tests.
#
# ## Both ends
#
# `reconnect` emits one channel after the other. Two operators below it make one stream and one sink of them:
#
# - `messages()` gives the messages of each channel, and leaves its loss to `reconnect`. (A `flat_map` in this place would
#   end with it.)
# - `channel.sink` ends with its channel, and then `add` raises. A `ReconnectingSink` outlives channels: what you add
#   while there is no connection is kept, and sent over the next one. Its `follow()`, behind
#   `reconnect`, tells it which channel that is.
#
# Here you say a number every 0.2 seconds, whatever happens:

# %%
timeline = Timeline(resolution=0.2)
sink = ReconnectingSink()
said = reactivex.interval(0.2).pipe(ops.map(str), ops.take(4), timeline.trace("said"))

with Live(timeline), said.subscribe(sink.add):
    open_channel(flaky).pipe(
        reconnect(min_delay=0.6, max_delay=0.6, max_attempts=2),
        sink.follow(),
        messages(),
        timeline.trace("heard"),
        ops.catch(reactivex.of("given up")),
    ).run()

# %% [markdown]
# Nothing is missing, although 2 and 3 were said to nobody at first. Only what is on its way when a connection breaks
# may be lost; if that matters, let the server confirm it.
#
# ## Silence
#
# So far somebody noticed: the operating system of a server that crashes still ends its connections. But pull the cable, and
# nothing ends anything. No message comes, as on a quiet day. `mute_peer`, from the first cell, is like that: it shakes
# hands, and never says a word again.

# %%
channel = opened.enter_context(
    WebSocketChannel.connect(mute_peer(), ping_interval=None, close_timeout=0.1)
)
channel.sink.add("Are you there?")
time.sleep(1)

channel.state

# %% [markdown]
# Still open, and it would be next week. Listening never tells you that the other side is dead, and sending only very late.
#
# One has to ask. A WebSocket has a **ping**, a small message that asks "are you there?", and a **pong**, the answer that
# the other side has to give. A channel sends a ping now and then, and when no pong comes it gives the connection up for
# lost. That is **keepalive**. Above we had switched it off, with `ping_interval=None`.

# %% tags=["raises-exception"]
timeline = Timeline(resolution=0.2)
channel = opened.enter_context(
    WebSocketChannel.connect(mute_peer(), ping_interval=0.3, ping_timeout=0.3)
)

with Live(timeline):
    channel.stream.pipe(timeline.trace("stream")).run()

# %% [markdown]
# A ping after 0.3 seconds, no pong for another 0.3: lost, which `reconnect` understands. `ping_interval` and `ping_timeout`,
# which `open_channel` takes, too, are 20 seconds unless you say otherwise: a dead peer is then noticed within 40.
#
# ## Exercises
#
# ### Exercise 1: offline
#
# Write `with_offline`. It is given an observable. Where that ends with a `ConnectionLost`, the value `"offline"` comes
# instead, and then completion. Everything else, other errors too, passes unchanged.


# %% tags=["exercise"]
def with_offline(source):
    return ...


# %% tags=["solution"]
def with_offline(source):
    def instead(error, _):
        if isinstance(error, ConnectionLost):
            return reactivex.of("offline")
        return reactivex.throw(error)

    return source.pipe(ops.catch(instead))


# %% tags=["check"]
mistake = ValueError("a mistake of your own")
hint_1 = "ops.catch takes a function of the error and the source, which returns an observable."
solved_1 = [
    check(
        "Exercise 1 (lost)",
        lambda: cold("-a-b-#", error=ConnectionLost("gone")).pipe(with_offline),
        "-a-b-(offline,|)",
        hint=hint_1,
    ),
    check(
        "Exercise 1 (another error)",
        lambda: cold("-a-#", error=mistake).pipe(with_offline),
        "-a-#",
        error=mistake,
        hint=f"{hint_1} What does it return for an error that is no ConnectionLost?",
    ),
    check(
        "Exercise 1 (completed)",
        lambda: cold("-a-|").pipe(with_offline),
        "-a-|",
        hint="Nothing is to come after completion.",
    ),
]

# %% [markdown]
# ### Exercise 2: patience
#
# Write `patiently`. It is given an observable of channels, as `open_channel` makes it, and returns another, which waits
# 2 seconds before it connects again, then 4, then 8, without jitter. When the fourth attempt in a row has failed, it passes
# on the error. (In the check, each channel is lost after 2 seconds.)


# %% tags=["exercise"]
def patiently(channels):
    return ...


# %% tags=["solution"]
def patiently(channels):
    return channels.pipe(
        reconnect(min_delay=1, max_delay=8, max_attempts=4, random=lambda: 1.0)
    )


# %% tags=["check"]
gone_for_now = ConnectionLost("gone")
solved_2 = check(
    "Exercise 2",
    lambda: cold("c-#", error=gone_for_now).pipe(patiently),
    "c---c-----c---------c-#",
    error=gone_for_now,
    hint="The first wait is twice min_delay at most, and max_delay the longest of all. How much of "
    "it, random says. max_attempts counts the first, too.",
)

# %% [markdown]
# ### Exercise 3: a conversation that lasts
#
# Write `lasting`. It is given channels again and a `ReconnectingSink`, and returns the messages that come, over as many
# connections as it takes. After a loss it waits at least 0.1 seconds before it connects again, and the sink always
# sends over the channel that is open. Your answer is tried on `/flaky?after=1`, where each message costs a connection; only
# the order of what comes counts there.


# %% tags=["exercise"]
def lasting(channels, sink):
    return ...


# %% tags=["solution"]
def lasting(channels, sink):
    return channels.pipe(
        reconnect(min_delay=0.1, max_delay=0.2),
        sink.follow(),
        messages(),
    )


# %% tags=["check"]
def conversation(lasting):
    """What comes back when a word is said before each connection."""
    sink = ReconnectingSink()
    words = ["one", "two", "three", "four", "five"]
    begun, lost = [], []
    clock = TimeoutScheduler.singleton()
    silence = reactivex.throw(RuntimeError("nothing came for 3 seconds"))

    def connect(_):
        if len(begun) == len(words):
            return reactivex.empty()  # enough
        hasty = lost and time.monotonic() - lost[-1] < 0.09
        sink.add("connected without waiting" if hasty else words[len(begun)])
        begun.append(time.monotonic())
        return open_channel(server.url_for("/flaky?after=1"))

    channels = reactivex.defer(connect).pipe(
        ops.do_action(on_error=lambda _: lost.append(time.monotonic())),
        ops.timeout(3, silence, clock),
    )
    answer = lasting(channels, sink)
    if not isinstance(answer, reactivex.Observable):
        return answer
    notifications = answer.pipe(
        ops.take(3),
        ops.timeout(3, silence, clock),
        ops.materialize(),
        ops.to_list(),
    )
    return reactivex.from_iterable(notifications.run()).pipe(ops.dematerialize())


solved_3 = check(
    "Exercise 3",
    lambda: conversation(lasting),
    "(one,two,three,|)",
    hint="First what connects again, then what tells the sink, last what makes "
    "messages of channels. If nothing comes: is the sink told, behind what connects again?",
)

# %% [markdown]
# ## What to take along
#
# - Closed: the stream completes. Lost, or never made: it ends with an error. Only an `on_error` hears of that.
# - One channel is one connection. To connect again, subscribe again to something cold, `open_channel(url)`.
# - Wait before you do so, longer each time, and a little at random: `reconnect`.
# - A `ReconnectingSink` keeps what is said in between.
# - A dead peer says nothing. Keepalive asks it, again and again.
#
# The next lesson is [9. Your own operator](09-your-own-operator.ipynb).

# %%
opened.close()
