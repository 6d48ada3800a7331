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
# - notice a peer that has gone without a word.

# %%
import random
import socket
import threading
import time
from contextlib import ExitStack

import reactivex
from reactivex import operators as ops
from reactivex.scheduler import TimeoutScheduler, VirtualTimeScheduler
from websockets.server import ServerProtocol

from rxecho import (
    ConnectError,
    ConnectionLost,
    EchoServer,
    Live,
    WebSocketChannel,
    open_channel,
)
from rxecho.lessons import check
from rxecho.marbles import Timeline, cold, diagram
from rxecho.operators import (
    ReconnectingSink,
    ReconnectPhase,
    heartbeat,
    messages,
    reconnect,
)

opened = ExitStack()
server = opened.enter_context(EchoServer())

# %% [markdown]
# ## Three ends
#
# *Closed.* One side sends a close code, the other confirms. Whatever the code says, both sides know of the end:
# the stream completes.

# %%
timeline = Timeline(resolution=0.2)
closed = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/close?code=4001&reason=Lunch"))
)

with Live(timeline):
    closed.stream.pipe(timeline.trace("closed"), ops.default_if_empty()).run()

# %% [markdown]
# *Lost.* The connection is gone, and nobody has said goodbye: a cable, a crash, a router. On `/flaky?after=2` the
# server answers two messages and then hangs up. The stream ends with the error `ConnectionLost`, and `run` raises it.


# %% tags=["raises-exception"]
def say(channel):
    """Send "1" and "2", 0.2 and 0.4 seconds from now."""
    reactivex.interval(0.2).pipe(
        ops.map(lambda n: str(n + 1)),
        ops.take(2),
    ).subscribe(channel.sink.add)


timeline = Timeline(resolution=0.2)
lost = opened.enter_context(WebSocketChannel.connect(server.url_for("/flaky?after=2")))
say(lost)

with Live(timeline):
    lost.stream.pipe(timeline.trace("lost")).run()

# %% [markdown]
# *Never made.* Nobody listens there, or it is no WebSocket. The error is `ConnectError`. To get a port where
# nobody listens, we start a server, and stop it.

# %% tags=["raises-exception"]
with EchoServer() as gone:
    pass

timeline = Timeline(resolution=0.2)
refused = opened.enter_context(WebSocketChannel.connect(gone.url))

with Live(timeline):
    refused.stream.pipe(timeline.trace("refused")).run()

# %%
closed.close_code, lost.close_code, refused.close_code

# %% [markdown]
# 1006 never travels over a wire. It stands for the close code that did not come.
#
# | | the stream | `close_code` |
# | --- | --- | --- |
# | closed, with any code | completes | the code |
# | lost | error: `ConnectionLost` | 1006 |
# | never made | error: `ConnectError` | 1006 |
#
# ## Who is told
#
# An exception goes up, to whoever called. Here nobody called: the channel's own thread brings you the message. So an
# error goes *down* the pipe instead, as a notification, through every operator to the observer. It is the last one on
# its line. What does a `try` around `subscribe` catch, then?

# %% tags=["traceback"]
channel = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/flaky?after=1"))
)
heard = []

try:
    channel.stream.subscribe(heard.append)
    channel.sink.add("Hello!")
except ConnectionLost:
    heard.append("caught")

channel.sink.done.result(timeout=5)  # wait for its end, whichever it is
heard

# %% [markdown]
# The answer, and no error. `subscribe` and `add` had returned long before. Whoever subscribes without `on_error` leaves the error to RxPY, which
# raises it where it is: on the channel's thread. That can only print it. Your program is not told, and goes on as if
# more were to come.
#
# So say what is to be done. On a stream, which is hot, *each* subscriber is told, also the one that comes afterwards:

# %%
channel.stream.subscribe(
    on_next=heard.append,
    on_error=lambda error: heard.append(type(error).__name__),
)
heard

# %% [markdown]
# ## Something else instead
#
# `ops.catch` keeps the error from going further, and subscribes to another observable in its place. With
# `reactivex.of(…)` that is one last value.

# %%
timeline = Timeline(resolution=0.2)
channel = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/flaky?after=2"))
)
say(channel)

with Live(timeline):
    channel.stream.pipe(
        timeline.trace("stream"),
        ops.catch(reactivex.of("offline")),
        timeline.trace("catch"),
    ).run()

# %% [markdown]
# It also takes a function, `catch(lambda error, source: …)`, which looks at the error and returns what is to follow:
# `reactivex.throw(error)` passes it on. Use that, or a mistake of your own, such as a `KeyError` in a `map` above, is
# taken for a broken connection.
#
# There is a relative, `on_error_resume_next`. It goes on after an error, too, but look at what it does after a
# stream that has completed as it should:

# %%
diagram(ops.on_error_resume_next(reactivex.of("offline")), "-a-b-|")

# %% [markdown]
# That is right for "do this, and then that, come what may", and wrong for a value in case of an error.
#
# ## Once more
#
# To **retry** is to subscribe again after an error. `ops.retry(4)` subscribes up to four times; the fourth error it
# passes on. Will it bring the connection back?

# %%
timeline = Timeline(resolution=0.2)
errors = []
channel = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/flaky?after=2"))
)
say(channel)

with Live(timeline):
    channel.stream.pipe(
        ops.do_action(on_error=errors.append),
        timeline.trace("stream"),
        ops.retry(4),
        timeline.trace("retry(4)"),
        ops.catch(reactivex.of("given up")),
    ).run()

len(errors), len(set(errors))

# %% [markdown]
# Four times the error, and it was one and the same, all within a moment. A channel is one connection, and once that has
# ended it never opens again. Its stream can only say to each new subscriber what it said to the first. Without the 4,
# `retry` would go round there for ever.
#
# You need something cold, that begins anew with each subscription. `open_channel(url)` is that: an observable that
# connects when it is subscribed to, and emits the channel once it is open. It ends as the channel ends.

# %%
timeline = Timeline(resolution=0.2)


def talk(channel):
    """Say something, and give what comes back."""
    say(channel)
    return channel.stream


with Live(timeline):
    open_channel(server.url_for("/flaky?after=2")).pipe(
        ops.flat_map(talk),
        timeline.trace("connections"),
        ops.retry(4),
        timeline.trace("retry(4)"),
        ops.catch(reactivex.of("given up")),
    ).run()

# %% [markdown]
# Lost three times, and connected anew each time. Whoever listens behind `retry` hears only of the fourth loss. But what
# if the server is *gone*, and you retry without end? We give it half a second, and count.

# %%
errors = []
open_channel(gone.url).pipe(
    ops.do_action(on_error=errors.append),
    ops.retry(),
    ops.take_until(reactivex.timer(0.5)),
    ops.default_if_empty(),
).run()

"more than 50" if len(errors) > 50 else "no more than 50"

# %% [markdown]
# And on an idle machine it is nearly a thousand a second. A server that has fallen over, and would get
# up again, is kept down by its own clients.
#
# ## Not at once
#
# To **reconnect** is to connect anew after a loss, and a good client waits before it does. It waits longer each time, since what
# is still down after a second may well be down for a minute. That is called **backoff**.
# `rxecho.operators.reconnect` stands where `retry` stood. Here a channel `c` is lost after two seconds, again and again:

# %%
gone_for_now = ConnectionLost("gone")

diagram(
    reconnect(min_delay=1, max_delay=8, max_attempts=5, random=lambda: 1.0),
    "c-#",
    error=gone_for_now,
    label="reconnect(min_delay=1, max_delay=8, max_attempts=5)",
    until=40,
)

# %% [markdown]
# It waits 2, 4, 8 and 8 seconds: twice `min_delay`, then twice as long each time, up to `max_delay`. After
# `max_attempts` in a row it passes on the error.
#
# And `random`? A server that goes down loses all of its clients at the same moment. If all of them wait equally long,
# they also come back at the same moment, and again. So part of the wait is left to chance, which is called
# **jitter**: each wait is drawn between `min_delay` and the longest that backoff allows. `random=lambda: 1.0` always
# draws the longest, for pictures and tests. See two clients without jitter, and two with it:

# %%
down = reactivex.throw(ConnectError("down"))
chances = {
    "alike 1": lambda: 1.0,
    "alike 2": lambda: 1.0,
    "jitter 1": random.Random(1).random,
    "jitter 2": random.Random(2).random,
}
virtual = VirtualTimeScheduler()
timeline = Timeline(virtual)

for name, chance in chances.items():
    down.pipe(
        timeline.trace(name),
        reconnect(min_delay=1, max_delay=8, max_attempts=4, random=chance),
    ).subscribe(on_error=lambda _: None, scheduler=virtual)

virtual.advance_to(20)
timeline

# %% [markdown]
# Now for real. `messages()` takes the place of `flat_map`: of each channel it gives the messages, but leaves the loss to
# `reconnect`, which stands above it. (A `flat_map` there would hear the error of the lost stream itself, and end.)
# `states` is any observer. It is told of each step, with its phase, attempt, delay and error; here we draw the delays.

# %%
timeline = Timeline(resolution=0.2)
states = reactivex.Subject()
waits = states.pipe(
    ops.filter(lambda state: state.phase is ReconnectPhase.WAITING),
    ops.map(lambda state: f"{state.delay:g} s"),
    timeline.trace("waits"),
)

with Live(timeline), waits.subscribe():
    open_channel(server.url_for("/flaky?after=2")).pipe(
        reconnect(
            min_delay=0.1,
            max_delay=2,
            max_attempts=3,
            random=lambda: 1.0,
            states=states,
        ),
        ops.do_action(say),
        messages(),
        timeline.trace("messages"),
        ops.catch(reactivex.of("given up")),
    ).run()

# %% [markdown]
# The second wait is longer, although we *were* connected in between: a connection that lived less than `reset_after`,
# which is 5 seconds, counts as another failure. Only a longer life begins a new row.
#
# What else there is to know of `reconnect`:
#
# - `max_time` limits a row by its seconds, as `max_attempts` does by its attempts. Without either it never gives up.
# - When the server closes the channel, that is the end. Add `"closed"`, or a close code, to
#   `when=("lost", "failed")`, and it connects again after that, too.
# - What nobody can hope for is not tried again: a server that says you may not enter, or a channel that you have closed.
# - An error that is no end of a channel is passed on at once.
#
# ## What you say in between
#
# `channel.sink` ends with its channel, and then `add` raises. A `ReconnectingSink` is a sink that outlives channels: what
# you add while there is no connection is kept, and sent over the next one. Its `follow()` stands behind
# `reconnect`, and tells it which channel that is. Here you say a number every 0.2 seconds, whatever happens:

# %%
timeline = Timeline(resolution=0.2)
sink = ReconnectingSink()
said = reactivex.interval(0.2).pipe(
    ops.map(lambda n: str(n + 1)),
    ops.take(4),
    timeline.trace("said"),
)
heard = open_channel(server.url_for("/flaky?after=2")).pipe(
    reconnect(min_delay=0.6, max_delay=0.6, max_attempts=2),
    sink.follow(),
    messages(),
    timeline.trace("heard"),
    ops.catch(reactivex.of("given up")),
)

with Live(timeline), heard.subscribe(), said.subscribe(sink.add):
    sink.done.result(timeout=5)  # when reconnect has given up

# %% [markdown]
# Nothing is missing, although 3 and 4 were said to nobody at first. One thing no sink can promise. What an open connection has taken, and then
# lost on its way, is lost; if it matters, let the server confirm it.
#
# ## Silence
#
# So far somebody noticed: the operating system of a server that crashes still ends its connections. But pull the cable, and
# nothing ends anything. No message comes. That is also what a quiet day looks like.
#
# Here is such a peer: it shakes hands, and never says a word again.


# %%
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


timeline = Timeline(resolution=0.2)
channel = opened.enter_context(
    WebSocketChannel.connect(mute_peer(), ping_interval=None, close_timeout=0.1)
)

with Live(timeline), channel.stream.pipe(timeline.trace("stream")).subscribe():
    channel.sink.add("Are you there?")
    time.sleep(1)

channel.state

# %% [markdown]
# Still open, and it would be next week. `add` does not complain either: the message waits in some buffer.
# Nobody notices a dead peer by listening.
#
# One has to ask. A WebSocket has a **ping**, a small frame that asks "are you there?", and a **pong**, the answer that
# every peer has to give. A channel sends a ping now and then, and when no pong comes it gives the connection up for
# lost. That is **keepalive**. Above we had switched it off, with `ping_interval=None`.

# %% tags=["raises-exception"]
timeline = Timeline(resolution=0.2)
channel = opened.enter_context(
    WebSocketChannel.connect(mute_peer(), ping_interval=0.3, ping_timeout=0.3)
)

with Live(timeline):
    channel.stream.pipe(timeline.trace("stream")).run()

# %% [markdown]
# A ping after 0.3 seconds, no pong for another 0.3: lost, which `reconnect` understands. Both are 20 seconds unless you
# say otherwise, which is good for most; a dead peer is then noticed within 40.
#
# A pong says that the peer is there. It does not say that it still does its work: pongs are sent by its library, and the program
# behind may be stuck. When you know that something ought to come every so often, `heartbeat` watches for that. It fails after a
# silence, with the error `Quiet`:

# %% tags=["raises-exception"]
timeline = Timeline(resolution=0.2)
channel = opened.enter_context(WebSocketChannel.connect(server.url))
say(channel)

with Live(timeline):
    channel.stream.pipe(
        heartbeat(0.6),
        timeline.trace("heartbeat"),
    ).run()

# %% [markdown]
# And the connection? There is nothing wrong with it. `channel.ping()` sends a ping by hand, and gives the round
# trip in seconds:

# %%
channel.state, channel.ping().result(timeout=5) < 5

# %% [markdown]
# With a second argument, `heartbeat(0.6, "…")`, it does not fail but emits that value, again and again until something comes.
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
hint_1 = "ops.catch takes a function of the error and the source."
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
# Write `patiently`. It is given channels, as `open_channel` makes them. It waits 2 seconds before it connects again, then
# 4, then 8, without jitter, since this is for a test. When the fourth attempt in a row has failed, it passes on the error.


# %% tags=["exercise"]
def patiently(channels):
    return ...


# %% tags=["solution"]
def patiently(channels):
    return channels.pipe(
        reconnect(min_delay=1, max_delay=8, max_attempts=4, random=lambda: 1.0)
    )


# %% tags=["check"]
solved_2 = check(
    "Exercise 2",
    lambda: cold("c-#", error=gone_for_now).pipe(patiently),
    "c---c-----c---------c-#",
    error=gone_for_now,
    hint="The first wait is twice min_delay at most. How much of it, random says.",
)

# %% [markdown]
# ### Exercise 3: a conversation that lasts
#
# Write `lasting`. It is given channels again and a `ReconnectingSink`, and returns the messages that come, over as many
# connections as it takes. After a loss it waits at least 0.1 seconds before it connects again, and the sink always
# sends over the channel that is open. Your answer is tried on `/flaky?after=1`, where each message costs a connection.


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
    "messages of channels. If nothing comes: does the sink know where to send?",
)

# %% [markdown]
# ## What to take along
#
# - Closed: the stream completes. Lost, or never made: it ends with an error. Only an `on_error` hears of that.
# - One channel is one connection. To connect again, subscribe again to something cold, `open_channel(url)`.
# - Wait before you do so, longer each time, and a little at random: `reconnect`.
# - A `ReconnectingSink` keeps what is said in between.
# - A dead peer says nothing. Keepalive asks it; `heartbeat` watches for news that ought to come.
#
# The next lesson is [9. Your own operator](09-your-own-operator.ipynb).

# %%
opened.close()
