# %% [markdown]
# # 6. From stream to screen
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - show the latest of a stream in one place that is drawn again and again;
# - tell in which of its four states a stream is for whoever watches it;
# - say what a builder may do, and which work belongs into the stream instead;
# - show errors, the end, and the text of strangers without harm.

# %%
import json
import re
import time
from concurrent.futures import Future
from contextlib import ExitStack

import reactivex
from reactivex import Subject
from reactivex import operators as ops
from rich.console import Console
from rich.errors import ConsoleError
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rxecho import (
    AsyncSnapshot,
    ConnectionState,
    EchoServer,
    Live,
    StreamBuilder,
    WebSocketChannel,
)
from rxecho.lessons import check, one_by_one
from rxecho.marbles import Timeline, cold
from rxecho.operators import snapshots
from rxecho.printable import printable

opened = ExitStack()
server = opened.enter_context(EchoServer())

# %% [markdown]
# ## Lines that scroll by
#
# The first idea for showing a stream is to print each message. The practice server's path `/slow` echoes, too, but takes
# its time: here one second. Run the next two cells one right after the other.

# %%
slow = opened.enter_context(WebSocketChannel.connect(server.url_for("/slow?delay=1")))
slow.stream.subscribe(print)

for price in ["DART 100.70", "DART 99.75", "DART 100.64"]:
    slow.sink.add(price)

# %%
time.sleep(1.5)  # a cell about something else, which takes its time
6 * 7

# %% [markdown]
# The cell that asked for the prices shows nothing. They stand where they do not belong, under the cell that happened to
# run when they came. And there are three lines, where you wanted one: the latest price. Tomorrow there would be
# thousands.
#
# What we want is a place on the screen that shows the latest, and is drawn again when there is something newer.
# Flutter, from whose cookbook our recipe is, has a `StreamBuilder` for that:
#
# | | Dart | Python |
# | --- | --- | --- |
# | listen | `StreamBuilder(stream: channel.stream, builder: …)` | `StreamBuilder(channel.stream, builder)` |
# | show | `snapshot.hasData ? '${snapshot.data}' : ''` | `snapshot.data if snapshot.has_data else ""` |
#
# ## Snapshots
#
# A **snapshot** is all that is known of a stream at one moment: the state it is in, and its latest data, or its error, or
# neither of them. There are four states:
#
# | `ConnectionState` | |
# | --- | --- |
# | `NONE` | there is no stream yet |
# | `WAITING` | somebody has subscribed, and nothing has come |
# | `ACTIVE` | values come; the latest of them is the data |
# | `DONE` | it is over, completed or with an error |
#
# The operator `snapshots()` turns a stream into its snapshots, so that you can see them. The ticker's first quote comes
# at once; we skip it, to see the waiting as well.


# %%
def brief(snapshot):
    """A snapshot in two words, for a marble."""
    if snapshot.has_error:
        return f"{snapshot.connection_state.name} {type(snapshot.error).__name__}"
    if snapshot.has_data:
        return f"{snapshot.connection_state.name} {snapshot.data}"
    return snapshot.connection_state.name


timeline = Timeline(resolution=0.2)
url = server.url_for("/ticker?interval=0.6&seed=1")

with Live(timeline), WebSocketChannel.connect(url) as ticker:
    ticker.stream.pipe(
        ops.skip(1),
        ops.map(json.loads),
        ops.map(lambda quote: quote["price"]),
        ops.take_until(reactivex.timer(1.6)),
        timeline.trace("price"),
        snapshots(),
        ops.map(brief),
        timeline.trace("snapshots"),
    ).run()

# %% [markdown]
# There is a snapshot from the first moment on, and the last one still holds the last price. Waiting and the end have
# become values, too. So one function is enough to show all of it.
#
# ## The builder
#
# That function is the **builder**: it is given a snapshot, and returns what is to be drawn. It is a plain function. You
# can call it yourself, with a snapshot that you have made yourself. A builder that thinks of nothing but data:


# %%
def hasty(snapshot):
    return f"The server says: {snapshot.data}"


[
    hasty(AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!")),
    hasty(AsyncSnapshot.waiting()),
]

# %% [markdown]
# The server has not said "None". It has said nothing. And a builder that works with the data fails at the very first
# drawing. `reactivex.never()` is a stream on which nothing ever comes:


# %% tags=["raises-exception"]
def loud(snapshot):
    return snapshot.data.upper()


with Live(StreamBuilder(reactivex.never(), loud)):
    pass

# %% [markdown]
# The exception went to whoever drew, and that was our cell. Had the picture already been there, it would have been the
# thread that draws it again: that prints a traceback, somewhere, and the picture stands still until the builder can draw again. The stream
# does not notice either of them.
#
# So a builder looks at `has_data` first. (An empty text is data. `None` is none.)


# %%
def draw(snapshot):
    return f"The server says: {snapshot.data}" if snapshot.has_data else "Nothing yet"


[
    draw(AsyncSnapshot.nothing()),
    draw(AsyncSnapshot.waiting()),
    draw(AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!")),
]

# %% [markdown]
# ## One place on the screen
#
# `StreamBuilder` subscribes to a stream and draws what the builder makes of its latest snapshot. As the value of a cell
# it stays alive after the cell has ended: the notebook draws it again in place, until its stream has ended.

# %%
# this picture changes while messages arrive
channel = opened.enter_context(WebSocketChannel.connect(server.url))
latest = StreamBuilder(channel.stream, draw)
latest

# %% [markdown]
# Before anything is sent, it says "Nothing yet". (Unless you only read this notebook: then you see the last picture.)
# Keep your eye on it while you run the next cell, which draws nothing itself. It waits for its answer in the way that
# lesson 2 taught: subscribe first, then send.

# %%
answer = channel.stream.pipe(ops.first(), ops.to_future(Future))  # subscribes now
channel.sink.add("Hello, screen!")
answer.result(timeout=5)

time.sleep(0.5)  # the picture is drawn again within a tenth of a second
latest.snapshot

# %% [markdown]
# Change the text and run the cell again, as often as you like. Nothing scrolls by. (In a program that runs in a
# terminal, `Live` draws the same `StreamBuilder`, for as long as its block runs.)
#
# ## The pace of the display
#
# When does the builder run? Not when a message comes. It runs when the display draws: a few times a second, unless you say
# otherwise. A builder should only draw; this one also tells when it does, so that we can see it beside the
# stream. The display draws every 0.8 seconds, a message comes every 0.4.

# %%
timeline = Timeline(resolution=0.2)
numbers = opened.enter_context(WebSocketChannel.connect(server.url))
six = numbers.stream.pipe(ops.take(6), timeline.trace("stream"))
drawings = Subject()
drawings.pipe(timeline.trace("drawn")).subscribe()


def draw_and_tell(snapshot):
    drawings.on_next(snapshot.data)
    return draw(snapshot)


counted = StreamBuilder(six, draw_and_tell)
sixth = numbers.stream.pipe(ops.take(6), ops.to_future(Future))
counting = reactivex.timer(0.2, 0.4).pipe(ops.map(str), ops.take(6))

with Live(timeline):
    with Live(counted, refresh_per_second=1.25):
        counting.subscribe(numbers.sink.add)
        sixth.result(timeout=10)
    drawings.on_completed()

# %% [markdown]
# At first there is nothing, which is `None`. Every other number was never drawn, and nobody has missed it: by then
# there was a newer one. At the end it is drawn once more, so the last value is always there. However fast a stream is, its display costs the same. Here are 10,000
# messages, as fast as they can be read. The builder runs fewer than a thousand times, and still draws the last of them:

# %%
fast = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/ticker?interval=0&count=10000&seed=1"))
)
runs = []


def draw_and_count(snapshot):
    runs.append(snapshot)
    return draw(snapshot)


with Live(StreamBuilder(fast.stream, draw_and_count)):
    fast.sink.done.result(timeout=50)

len(runs) < 1000

# %% [markdown]
# ## Work that belongs into the stream
#
# Beside a text, a builder may return any **renderable**: something that the library Rich can draw, such as a `Table` or
# a `Panel`. We want a table of the latest price of each symbol. This builder notes the prices while it draws. The ticker
# sends 100 quotes of four symbols at once.


# %%
def price_table(prices):
    table = Table("symbol", "price")
    for symbol in sorted(prices):
        table.add_row(symbol, f"{prices[symbol]:.2f}")
    return table


noted = {}


def note_and_draw(snapshot):
    if snapshot.has_data:
        quote = json.loads(snapshot.data)
        noted[quote["symbol"]] = quote["price"]
    return price_table(noted)


burst = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/ticker?interval=0&count=100&seed=1"))
)
board = StreamBuilder(burst.stream, note_and_draw)
burst.sink.done.result(timeout=10)
board

# %% [markdown]
# One symbol of four: the builder saw one message of a hundred, and knows nothing of the others. What has to happen with
# *each* message belongs into the stream, where nothing is left out. `scan` keeps the prices, and the builder is left with
# the drawing.
#
# With `initial_data` there are data before the first message: here an empty dictionary, as `scan` begins with one.


# %%
def with_price(prices, quote):
    return prices | {quote["symbol"]: quote["price"]}  # a new one each time


timeline = Timeline(resolution=0.2)
ticker = opened.enter_context(
    WebSocketChannel.connect(server.url_for("/ticker?interval=0.4&count=6&seed=1"))
)
prices = ticker.stream.pipe(
    ops.map(json.loads),
    timeline.trace("quote", keep=lambda quote: quote["symbol"]),
    ops.scan(with_price, {}),
    timeline.trace("prices", keep=len),
)
board = StreamBuilder(
    prices,
    lambda snapshot: price_table(snapshot.data or {}),
    initial_data={},
)

with Live(timeline), Live(board):
    ticker.sink.done.result(timeout=10)

# %% [markdown]
# (`snapshot.data or {}`, because an error takes the data away. That is next.)
#
# ## Errors and the end
#
# The path `/flaky?after=2` echoes two messages, and then the connection breaks. What does our `draw` show?

# %%
timeline = Timeline(resolution=0.2)
flaky = opened.enter_context(WebSocketChannel.connect(server.url_for("/flaky?after=2")))
told = StreamBuilder(flaky.stream, draw)
flaky.stream.pipe(
    snapshots(),
    ops.map(brief),
    timeline.trace("snapshots"),
).subscribe()

with Live(timeline):
    reactivex.interval(0.4).pipe(
        ops.map(lambda n: f"Hello {n}"),
        ops.take(2),
    ).subscribe(flaky.sink.add)
    flaky.sink.done.result(timeout=10)

told

# %% [markdown]
# "Nothing yet" is wrong: two messages have come, and then it broke. A snapshot holds data or an error, never both. So `has_data`
# is false, and `draw` knows only one reason for that. Note also how the picture ends: the error has become a value,
# `DONE` with a `ConnectionLost`, and the snapshots themselves complete.


# %%
def tell(snapshot):
    if snapshot.has_error:
        return f"The connection broke: {type(snapshot.error).__name__}"
    return draw(snapshot)


StreamBuilder(flaky.stream, tell)

# %% [markdown]
# A stream that completes is `DONE`, too, with the last data that it brought. When you want to show that it is over, look
# at `connection_state`.
#
# ## The text of strangers
#
# Rich has a markup of its own: `[bold red]` begins what is to be bold and red, `[/]` ends it, and `:fire:` is a small
# picture of a fire. That is handy for your own text. But a message was written by somebody else. (The two operators
# wait for the first snapshot with data.)

# %%
with WebSocketChannel.connect(server.url) as stranger:
    stranger.sink.add("[bold red]The server is down![/] Send your password.")
    said = stranger.stream.pipe(
        snapshots(),
        ops.first(lambda snapshot: snapshot.has_data),
    ).run()


def naive(snapshot):
    return Panel(Text.from_markup(snapshot.data), width=50)


naive(said)

# %% [markdown]
# A stranger has chosen how your screen looks. `Panel(snapshot.data)` would do the same, since a panel takes a text for
# markup. And one who sends a mark that ends nothing breaks your picture:

# %% tags=["raises-exception"]
naive(AsyncSnapshot.with_data(ConnectionState.ACTIVE, "[/]"))

# %% [markdown]
# A plain text that a builder returns is safe: `StreamBuilder` shows it as it is. Inside a renderable, say that it is
# text and nothing else, with `Text(printable(message))`. `Text` knows no markup, and `printable` makes the characters
# visible that would command a terminal, such as the one that begins "clear the screen".


# %%
def careful(snapshot):
    return Panel(Text(printable(snapshot.data)), width=50)


careful(said)

# %%
careful(AsyncSnapshot.with_data(ConnectionState.ACTIVE, "\x1b[2JAll gone[/]"))

# %%
StreamBuilder(reactivex.of(said.data), draw)

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: how does it stand?
#
# Write the builder `status`. It returns `"waiting"` until the first message has come, then the latest message itself.
# When the stream has completed, it returns `"over"`, and when it has failed, `"broken"`.


# %% tags=["exercise"]
def status(snapshot):
    return ...


# %% tags=["solution"]
def status(snapshot):
    if snapshot.has_error:
        return "broken"
    if snapshot.connection_state is ConnectionState.DONE:
        return "over"
    return snapshot.data if snapshot.has_data else "waiting"


# %% tags=["check"]
def statuses(stream):
    return stream.pipe(snapshots(), ops.map(status))


def statuses_of_a_break():
    with WebSocketChannel.connect(server.url_for("/flaky?after=2")) as breaking:
        breaking.sink.add("one")
        breaking.sink.add("two")
        breaking.sink.done.result(timeout=10)  # what came is kept for us
        told = statuses(breaking.stream).pipe(ops.to_list()).run()
        return one_by_one(told)


words = {"w": "waiting", "o": "over", "x": "broken", "e": ""}
solved_1 = [
    check(
        "Exercise 1, a stream that completes",
        lambda: statuses(cold("--a--e--|", words)),
        "w-a--e--(o,|)",
        words,
        hint="Which of the four states is the last? The second message here is empty, "
        "and that is not the same as none.",
    ),
    check(
        "Exercise 1, a stream without a message",
        lambda: statuses(cold("---|")),
        "w--(o,|)",
        words,
        hint="It is over, and there are no data. What does your builder ask first?",
    ),
    check(
        "Exercise 1, a connection that breaks",
        statuses_of_a_break,
        "w-a-b-x-|",
        words | {"a": "one", "b": "two"},
        hint="After an error the state is DONE, too. What does your builder ask first?",
    ),
]

# %% [markdown]
# ### Exercise 2: into the stream
#
# Write `highest`. It is given an observable of quotes, such as `{"symbol": "DART", "price": 100.7}`, and returns an
# observable that emits a new dictionary after each of them: the highest price so far of each symbol.


# %% tags=["exercise"]
def highest(quotes):
    return ...


# %% tags=["solution"]
def highest(quotes):
    def risen(prices, quote):
        symbol, price = quote["symbol"], quote["price"]
        return prices | {symbol: max(price, prices.get(symbol, price))}

    return quotes.pipe(ops.scan(risen, {}))


# %% tags=["check"]
quotes = {
    "a": {"symbol": "A", "price": 7},
    "b": {"symbol": "B", "price": 5},
    "c": {"symbol": "A", "price": 9},
    "d": {"symbol": "A", "price": 8},
}
solved_2 = check(
    "Exercise 2",
    lambda: highest(cold("-a----b----c----d-|", quotes)),
    "-a----b----c----c-|",
    {"a": {"A": 7}, "b": {"A": 7, "B": 5}, "c": {"A": 9, "B": 5}},
    hint="Compare with the price that is there, if there is one. And leave the old "
    "dictionary as it is: it has been handed on already.",
)

# %% [markdown]
# ### Exercise 3: a card for strangers
#
# Write the builder `card`. It returns a `Panel` with the latest message in it, each character as it was sent, or made
# visible where it would command the terminal. Before the first message, the panel says `Nothing yet`.


# %% tags=["exercise"]
def card(snapshot):
    return ...


# %% tags=["solution"]
def card(snapshot):
    text = printable(snapshot.data) if snapshot.has_data else "Nothing yet"
    return Panel(Text(text))


# %% tags=["check"]
def framed(renderable):
    """What can be read in a frame."""
    console = Console(width=60, force_jupyter=False)
    try:
        drawn = "".join(segment.text for segment in console.render(renderable))
    except ConsoleError as error:
        return f"{type(error).__name__}: {error}"
    lines = re.findall("[│┃║|] *(.*?) *[│┃║|]\n", drawn)
    if not lines:
        return f"without a panel: {drawn.strip()}"
    text = "".join(lines)
    return text if text.isprintable() else f"it commands the terminal: {text}"


def cards(*messages):
    if card(AsyncSnapshot.waiting()) is ...:
        return ...
    with WebSocketChannel.connect(server.url) as stranger:
        shown = StreamBuilder(stranger.stream, card)
        read = [framed(shown)]
        for message in messages:
            echo = stranger.stream.pipe(ops.first(), ops.to_future(Future))
            stranger.sink.add(message)
            echo.result(timeout=10)
            read.append(framed(shown))
    return one_by_one(read)


solved_3 = check(
    "Exercise 3",
    lambda: cards("[bold]Sale[/bold] :fire:", "[/]", "\x1b[2JGone"),
    "n-a-b-c-|",
    {
        "n": "Nothing yet",
        "a": "[bold]Sale[/bold] :fire:",
        "b": "[/]",
        "c": r"\e[2JGone",
    },
    hint="Two things belong around a message: one that knows no markup, and one that "
    "makes characters visible.",
)

# %% [markdown]
# ## What to take along
#
# - A snapshot says how a stream stands: its state, and data, an error, or neither. Look before you use `data`.
# - A `StreamBuilder` shows the latest in one place, drawn at the pace of the display, however fast the messages are.
# - A builder only draws. Whatever has to happen with each message belongs into the stream.
# - Foreign text is a plain text, or `Text(printable(message))` inside of a renderable.
#
# A display may leave messages out. What if none of them may be lost, and there are more than you can take? That is
# [7. Too fast](07-too-fast.ipynb).

# %%
opened.close()
