# %% [markdown]
# # 1. Connect, listen, send, close
#
# *About 20 minutes. You know Python; nothing else is needed, and no network: the server is started on your own machine.*
#
# After this lesson you will be able to
#
# - open a WebSocket, send messages, listen to what comes back, and close it;
# - say which end of it is a *stream* and which is a *sink*;
# - read a marble diagram;
# - tell from a close code how a connection ended.
#
# New words are **bold** where they are explained. All of them are in the [glossary](glossary.ipynb).
#
# Run the cells from top to bottom (Shift+Enter). The first one starts the practice server, the last one stops it.

# %%
import json
import time
from contextlib import ExitStack

import reactivex
from reactivex import operators as ops

from rxecho import ChannelState, EchoServer, Live, WebSocketChannel
from rxecho.lessons import check
from rxecho.marbles import MarbleDiagram, Timeline

opened = ExitStack()  # what we open goes on this stack; the last cell closes it all
server = opened.enter_context(EchoServer())

# %% [markdown]
# ## Connect
#
# A **WebSocket** is a connection over which a client and a server send each other **messages**, each whenever it likes,
# until one of them closes it. A message is a text or some bytes.
#
# This course follows a recipe that the Flutter cookbook gives for the language Dart. It has four steps, and in Python
# they are almost the same words:
#
# | | Dart | Python |
# | --- | --- | --- |
# | connect | `WebSocketChannel.connect(Uri.parse(url))` | `WebSocketChannel.connect(url)` |
# | listen | `channel.stream.listen(print)` | `channel.stream.subscribe(print)` |
# | send | `channel.sink.add('Hello!')` | `channel.sink.add("Hello!")` |
# | close | `channel.sink.close()` | `channel.sink.close()` |
#
# Our practice server *echoes*: whatever you send, it sends back.

# %%
channel = opened.enter_context(WebSocketChannel.connect(server.url))
channel.state

# %% [markdown]
# `connect` returned at once, while the connection was still being made. Before messages can flow, client and server
# shake hands: the client asks for a WebSocket, the server agrees. That is the **opening handshake**, and `channel.ready`
# is done when it is.

# %%
channel.ready.result(timeout=5)  # wait for it, 5 seconds at most
channel.state

# %% [markdown]
# What you hold now is a **channel**: an open connection with two ends, a **stream** to listen to and a **sink** to send
# with.
#
# ## Listen
#
# The end to listen to is `channel.stream`. It is an **observable**: something that does not wait to be asked, but calls
# you when there is something new. You **subscribe** to it with a function, and from then on that function is called with
# each message. Here it is the `append` of a list.

# %%
received = []
listening = channel.stream.subscribe(received.append)

received

# %% [markdown]
# Nothing came, because nothing has been sent yet.
#
# ## Send
#
# The end to send with is `channel.sink`. `add` puts a message in, and returns without waiting for an answer.

# %%
channel.sink.add("Hello!")
channel.sink.add("How are you?")

# %% [markdown]
# The answers need a moment to the server and back. A program without streams would ask again and again whether they
# have arrived:

# %%
while len(received) < 2:
    time.sleep(0.01)  # not yet? Then sleep a little, and look again

received

# %% [markdown]
# That works, but the loop has to know how many answers there will be, it is always a little late, and nothing else
# happens meanwhile. From here on we let the observable do the calling.
#
# Only text and bytes can be sent. Here is what happens to anything else:

# %% tags=["raises-exception"]
channel.sink.add({"question": "How are you?"})

# %% [markdown]
# So whatever has more structure is written as text first, usually as JSON:

# %%
channel.sink.add(json.dumps({"question": "How are you?"}))

# %% [markdown]
# ## See it run
#
# What came when is easier to see than to say. A **marble diagram** draws time from left to right, a line for each
# observable, and on the line a marble for each value at the moment it came.
#
# `Timeline` notes what passes through an observable wherever a `trace` stands in it, and `Live` draws it *while the cell
# is running*. Watch the picture grow: four greetings are sent, one every 0.3 seconds, and each comes back.

# %%
timeline = Timeline(resolution=0.1)  # times are rounded to 0.1 s

greetings = reactivex.interval(0.3).pipe(
    ops.map(lambda n: f"Hello {n}"),
    ops.take(4),
    timeline.trace("sink"),
)

with Live(timeline):
    sending = greetings.subscribe(channel.sink)
    channel.stream.pipe(timeline.trace("stream")).run()

# %% [markdown]
# `interval(0.3)` counts 0, 1, 2, … in steps of 0.3 seconds. `pipe` leads what it says through **operators**, one after
# the other: functions that make one observable out of another. `map` makes a greeting of each number, `take` ends after
# four. Lesson 4 has many more of them. `run()` subscribes and waits for the end.
#
# How to read the picture:
#
# - each line begins with a small bar, where somebody **subscribed**;
# - a marble is a value, and equal marbles have equal colours. A wide one begins at its moment. Point at one to see
#   when it came, and all of it;
# - the long bar at the end: it has **completed**, nothing comes any more. An arrow instead: it was not over when this
#   was drawn.
#
# Three things can happen on a line, and Rx calls them **notifications**: *next* (a value), *completed*, and *error*. After
# one of the last two the line is over, for ever.
#
# ## Close
#
# Why did `stream` complete? Because `sink` did: when the greetings were over, the sink closed the channel. Closing is
# polite on a WebSocket: one side sends a **close code** and maybe a reason, the other confirms, and only
# then the connection ends. (Who has closed is not interested any more: the echo of the last greeting was still on its
# way, and was thrown away.)

# %%
channel.state, channel.close_code, channel.close_reason

# %% [markdown]
# 1000 is the code for *normal closure*: the work is done. Nothing can be sent after that:

# %% tags=["raises-exception"]
channel.sink.add("Are you still there?")

# %% [markdown]
# You close a channel yourself with `channel.sink.close()`, with a code of your own if you like: 4000 to 4999 are free for
# that. A `with` block closes at its end, whatever happens in between.

# %%
with WebSocketChannel.connect(server.url) as another:
    another.sink.add("I was here")
    answer = another.stream.pipe(ops.first()).run()

answer, another.state, another.close_code

# %% [markdown]
# It may also be the server that closes. The practice server has paths that do something special; on `/close` it closes
# at once, with the code that you ask for. Then the stream completes, too. And when the connection breaks without a
# close code, the stream ends with an error instead, which is lesson 8.

# %%
timeline = Timeline(resolution=0.1)
short = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/close?code=4001&reason=Lunch"))
)

with Live(timeline):
    short.stream.pipe(timeline.trace("stream"), ops.default_if_empty()).run()

short.close_code, short.close_reason

# %% [markdown]
# (`run` gives the last value, and complains where there was none at all. `default_if_empty` puts a `None` there.)
#
# ## Exercises
#
# Each exercise is a cell with three dots for you to replace, and a cell that checks your answer. When you are stuck:
# the solutions are in the notebook beside this one.
#
# ### Exercise 1: say hello
#
# Write `greet`. It is given a channel that is open, sends `Hello!` and then `Goodbye!`, and leaves it open.


# %% tags=["exercise"]
def greet(channel):
    return ...


# %% tags=["solution"]
def greet(channel):
    channel.sink.add("Hello!")
    channel.sink.add("Goodbye!")


# %% tags=["check"]
def echoes(talk):
    """What comes back when `talk` talks, in its order."""
    with WebSocketChannel.connect(server.url) as channel:
        channel.ready.result(timeout=5)
        if talk(channel) is ...:
            return ...
        if channel.state is not ChannelState.OPEN:
            raise RuntimeError("the channel was closed, and is to stay open")
        channel.sink.add("that was all")
        until_then = channel.stream.pipe(
            ops.take_while(lambda message: message != "that was all"), ops.to_list()
        )
        return reactivex.from_iterable(until_then.run())


solved_1 = check(
    "Exercise 1",
    lambda: echoes(greet),
    "(a,b,|)",
    {"a": "Hello!", "b": "Goodbye!"},
    hint="channel.sink.add(…) sends one message. The function needs to return nothing.",
)

# %% [markdown]
# ### Exercise 2: draw it
#
# Marble diagrams can be written as text, too: `-` is one second in which nothing happens, a letter is a value, `|` is
# completion and `#` an error. A letter or `|` takes its second, too. So `-a-b|` is: *a* after one second, *b* after
# three, completed after four.

# %%
MarbleDiagram.parse("-a-b|")

# %% [markdown]
# Write down this one: *x* comes at once, *y* after two seconds, *z* after five, and after six seconds it completes.

# %% tags=["exercise"]
drawn = ...

# %% tags=["solution"]
drawn = "x-y--z|"

# %% tags=["check"]
solved_2 = check(
    "Exercise 2",
    lambda: MarbleDiagram.parse(drawn),
    "x-y--z|",
    hint="The first character stands at 0 s, the second at 1 s, and so on.",
)

# %% [markdown]
# ### Exercise 3: how did it end?
#
# Write `ending`. It is given the URL of a server, connects, waits until the server closes, and returns the close code and
# the reason, as a tuple.


# %% tags=["exercise"]
def ending(url):
    return ...


# %% tags=["solution"]
def ending(url):
    with WebSocketChannel.connect(url) as channel:
        channel.stream.pipe(ops.default_if_empty()).run()
    return channel.close_code, channel.close_reason


# %% tags=["check"]
paths = ["/close?code=1000&reason=Done", "/close?code=4321&reason=Full"]
solved_3 = check(
    "Exercise 3",
    lambda: reactivex.from_iterable([ending(server.url_for(path)) for path in paths]),
    "(a,b,|)",
    {"a": (1000, "Done"), "b": (4321, "Full")},
    hint="The cell with /close above has all that you need. Wait for the end before "
    "you look at the code, and remember what run() does where no message came.",
)

# %% [markdown]
# ## What to take along
#
# - A channel has a **stream** to listen to, which is an observable, and a **sink** to send with.
# - An observable calls you: *next* for each value, then *completed* or *error*, and nothing after that.
# - The close code says how a connection ended; 1000 is a normal end.
#
# The last cell closes what we opened. The next lesson is [2. Streams](02-streams.ipynb).

# %%
opened.close()
