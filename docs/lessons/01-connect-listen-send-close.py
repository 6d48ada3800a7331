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
# Run the cells from top to bottom (Shift+Enter). The first one starts the practice server, the last one stops it. When a
# cell does not end (`[*]` stands beside it), press ■.

# %%
import json
import time
from concurrent.futures import Future
from contextlib import ExitStack

import reactivex
from reactivex import operators as ops

from rxecho import ChannelState, EchoServer, Live, WebSocketChannel
from rxecho.lessons import check, one_by_one
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
# is a future, as in `concurrent.futures`, that is done when the two have agreed.

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
#
# (Observables are the idea of Rx, ReactiveX, which exists for many languages. In Python it is the library `reactivex`,
# which is also called RxPY.)

# %%
received = []
channel.stream.subscribe(received.append)

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

while len(received) < 3:
    time.sleep(0.01)

received[-1]

# %% [markdown]
# ## See it run
#
# What came when is easier to see than to say. A **marble diagram** draws time from left to right, a line for each
# observable, and on the line a marble for each value at the moment it came.
#
# `Timeline` notes what passes through an observable wherever a `trace` stands in it, and `Live` draws it *while the cell
# is running*. Watch it: four greetings are sent, one every 0.3 seconds, and each comes back. What has been moves to the
# left, to make room for what comes. (Run the cell again, if you like.)

# %%
timeline = Timeline(resolution=0.1)  # times are rounded to 0.1 s

greetings = reactivex.interval(0.3).pipe(
    ops.map(lambda n: f"Hello {n}"),
    ops.take(4),
    timeline.trace("sink"),
)
echoes = channel.stream.pipe(
    ops.take(4),
    timeline.trace("stream"),
)

with Live(timeline):
    greetings.subscribe(channel.sink.add)
    echoes.run()

# %% [markdown]
# `interval(0.3)` counts 0, 1, 2, … in steps of 0.3 seconds. `pipe` leads what it says through **operators**, one after
# the other: functions that make one observable out of another. `map` makes a greeting of each number, `take` ends after
# four. Lesson 4 has many more of them. `run()` subscribes and waits for the end.
#
# How to read the picture:
#
# - each line begins with a small bar, where somebody **subscribed**;
# - a marble is a value, and equal marbles have equal colours. A wide one begins at its moment. Point at one to see
#   when it came, and all of it. One above the other: they came at the same moment, the upper one first;
# - the long bar at the end: it has **completed**, nothing comes any more.
#
# In other pictures a line may end otherwise: with a red cross, which is an error; with a dashed bar, where whoever
# listened has left; or with an arrow, when it was not over as it was drawn.
#
# Three things can happen on a line, and Rx calls them **notifications**: *next* (a value), *completed*, and *error*. After
# one of the last two the line is over, for ever.
#
# ## Close
#
# Closing is polite on a WebSocket: one side sends a **close code** and maybe a reason, the other confirms, and only
# then the connection ends. `close` gives you a future that is done then.

# %%
channel.sink.close(1000, "Good night").result(timeout=5)

channel.state, channel.close_code, channel.close_reason

# %% [markdown]
# 1000 is the code for *normal closure*: the work is done. (4000 to 4999 are free, for what they mean to you.) Nothing can
# be sent after that:

# %% tags=["raises-exception"]
channel.sink.add("Are you still there?")

# %% [markdown]
# A `with` block closes at its end, with 1000, whatever happens in between. This one sends before the connection is open:
# the message is kept until then. `first` is an operator that ends after the first value.

# %%
with WebSocketChannel.connect(server.url) as another:
    another.sink.add("I was here")
    answer = another.stream.pipe(ops.first()).run()

answer, another.state, another.close_code

# %% [markdown]
# It may also be the server that closes. The practice server has paths that do something special. `/ticker` sends quotes
# of a market, as JSON, and closes after as many as you ask for. Then the stream completes:

# %%
timeline = Timeline(resolution=0.1)
ticker = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/ticker?interval=0.3&count=4&seed=1"))
)
prices = ticker.stream.pipe(
    ops.map(lambda quote: json.loads(quote)["price"]),
    timeline.trace("stream"),
)

with Live(timeline):
    prices.run()

ticker.close_code

# %% [markdown]
# `/close` closes at once, with the code that you ask for. (`run` gives the last value, and complains where there was none
# at all. `default_if_empty` puts a `None` there.)

# %%
short = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/close?code=4001&reason=Lunch"))
)
short.stream.pipe(ops.default_if_empty()).run()

short.close_code, short.close_reason

# %% [markdown]
# When a connection breaks without any close code, the stream ends with an error instead. That is lesson 8.
#
# ## Exercises
#
# Each exercise is a cell with three dots for you to replace, and a cell that checks your answer. (How that does it need
# not interest you.) When your answer does something else than it is to do, a red triangle is where the two differ. When
# you are stuck: the solutions are in the notebook beside this one.
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
            ops.take_while(lambda message: message != "that was all"),
            ops.to_list(),
            ops.to_future(Future),
        )
        return one_by_one(until_then.result(timeout=5))


solved_1 = check(
    "Exercise 1",
    lambda: echoes(greet),
    "a-b-|",
    {"a": "Hello!", "b": "Goodbye!"},
    hint="channel.sink.add(…) sends one message. Nothing is to be returned or waited for.",
)

# %% [markdown]
# ### Exercise 2: draw it
#
# Marble diagrams can be written as text, too: `-` is one second in which nothing happens, a letter is a value, `|` is
# completion and `#` an error. So `-a-b|` is: *a* after one second, *b* after three (a letter takes its second, too),
# completed after four.

# %%
MarbleDiagram.parse("-a-b|")

# %% [markdown]
# Write down this one, as a text in quotes: *x* comes at once, *y* after two seconds, *z* after five, and after six seconds it completes.

# %% tags=["exercise"]
drawn = ...

# %% tags=["solution"]
drawn = "x-y--z|"

# %% tags=["check"]
solved_2 = check(
    "Exercise 2",
    lambda: drawn if drawn is ... else MarbleDiagram.parse(str(drawn)),
    "x-y--z|",
    hint='A text such as "-a-b|": its first character stands at 0 s, the second at 1 s.',
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
    lambda: one_by_one([ending(server.url_for(path)) for path in paths]),
    "a-b-|",
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
