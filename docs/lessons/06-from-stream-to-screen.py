# %% [markdown]
# # 6. From stream to screen
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - show the latest of a stream in one place that is drawn again and again;
# - tell which of four states a stream is in;
# - say what a builder may do, and which work belongs in the stream instead;
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


def connect(path):
    """A channel to the practice server, closed by the last cell."""
    return opened.enter_context(WebSocketChannel.connect(server.url_for(path)))


# %% [markdown]
# ## Lines that scroll by
#
# The first idea is to print each message. The path `/slow` echoes after two seconds. Run the next
# two cells one right after the other.

# %%
slow = connect("/slow?delay=2")
slow.stream.subscribe(print)

for price in ["DART 100.70", "DART 99.75", "DART 100.64"]:
    slow.sink.add(price)

# %%
time.sleep(2.5)  # a cell about something else, which takes its time

# %% [markdown]
# The cell that asked for the prices shows nothing. They stand under another one, which happened to run when they came.
# And there are three lines, where you wanted one: the latest price.
#
# We want one place on the screen, drawn again when there is something newer. Flutter's recipe has a `StreamBuilder` for
# that, and so has rxecho.
#
# ## Snapshots
#
# A **snapshot** is all that is known of a stream at one moment: the state it is in, and its latest data, or its error, or
# neither of them. There are four states:
#
# | `ConnectionState` | |
# | --- | --- |
# | `NONE` | there is no stream yet, as for `StreamBuilder(None, …)` |
# | `WAITING` | somebody has subscribed, and nothing has come |
# | `ACTIVE` | values come; the latest of them is the data |
# | `DONE` | it is over, completed or with an error |
#
# The operator `snapshots()` turns a stream into its snapshots. The ticker's first quote comes at once; we skip it, to see
# the waiting.


# %%
def brief(snapshot):
    return f"{snapshot.connection_state.name} {snapshot.data}"


timeline = Timeline(resolution=0.2)
ticker = connect("/ticker?interval=0.6&seed=1")

with Live(timeline):
    ticker.stream.pipe(
        ops.skip(1),
        ops.map(lambda message: json.loads(message)["price"]),
        ops.take_until(reactivex.timer(1.6)),
        timeline.trace("price"),
        snapshots(),
        timeline.trace("snapshots", keep=brief),
    ).run()

# %% [markdown]
# There is a snapshot from the first moment on, and the last one still holds the last price. Waiting and the end have
# become values, too. So one function is enough to show all of it.
#
# ## The builder
#
# That function is the **builder**: it is given a snapshot, and returns what is to be drawn. You can call it yourself,
# with a snapshot that you have made. This one thinks of nothing but data:


# %%
def hasty(snapshot):
    return f"The server says: {snapshot.data}"


hasty(AsyncSnapshot.waiting())

# %% [markdown]
# The server has not said "None". It has said nothing. So a builder looks at `has_data` first. (An empty text counts as
# data, `None` does not.)


# %%
def draw(snapshot):
    return f"The server says: {snapshot.data}" if snapshot.has_data else "Nothing yet"


draw(AsyncSnapshot.waiting())

# %% [markdown]
# ## One place on the screen
#
# `StreamBuilder` subscribes to a stream at once, and draws what the builder makes of its latest snapshot. On the last line
# of a cell it is drawn in one place, again and again, also after the cell has ended, until its stream ends.

# %%
# this picture changes while messages arrive
channel = connect("/")
latest = StreamBuilder(channel.stream, draw)
latest

# %% [markdown]
# Before anything is sent, it says "Nothing yet". (If you only read this notebook, you see the last picture.) Keep your eye
# on it while you run the next cell.

# %%
answer = channel.stream.pipe(ops.first(), ops.to_future(Future))  # subscribes now
channel.sink.add("Hello, screen!")
answer.result(timeout=5)
latest.snapshot

# %% [markdown]
# Change the text and run the cell again. Nothing scrolls by. (`Live` draws a `StreamBuilder`, too, in a terminal as well,
# for as long as its block runs.)
#
# ## The pace of the display
#
# When does the builder run? Not when a message comes, but when the display draws: a few times a second, unless you say
# otherwise. A builder should only draw; this one also tells when, so that we can see it. A quote comes every 0.4 seconds,
# and the display draws once a second.

# %%
timeline = Timeline(resolution=0.2)
ticker = connect("/ticker?interval=0.4&count=5&seed=1")
numbers = ticker.stream.pipe(
    ops.skip(1),
    ops.map(lambda message: json.loads(message)["sequence"]),
    timeline.trace("number"),
)
drawings = Subject()
drawings.pipe(timeline.trace("drawn")).subscribe()


def draw_and_tell(snapshot):
    drawings.on_next(snapshot.data)
    return draw(snapshot)


latest_number = StreamBuilder(numbers, draw_and_tell)
with Live(timeline), Live(latest_number, refresh_per_second=1):
    ticker.sink.done.result(timeout=10)

# %% [markdown]
# At first there is nothing, which is `None`. 2 and 4 were never drawn: by then there was a newer number. At the end it is drawn
# once more, so the last one is always there. A stream may be a thousand times as fast: its display costs the same.
#
# ## Work that belongs in the stream
#
# Besides a text, a builder may return any **renderable**: something that the library Rich can draw, such as a `Table` or
# a `Panel`. We want a table of the latest prices. This builder notes them while it draws, and six quotes come at once.


# %%
def price_table(prices):
    table = Table("symbol", "price")
    for symbol, price in sorted(prices.items()):
        table.add_row(symbol, f"{price:.2f}")
    return table


noted = {}


def note_and_draw(snapshot):
    if snapshot.has_data:
        noted[snapshot.data["symbol"]] = snapshot.data["price"]
    return price_table(noted)


burst = connect("/ticker?interval=0&count=6&seed=1")
board = StreamBuilder(burst.stream.pipe(ops.map(json.loads)), note_and_draw)
burst.sink.done.result(timeout=10)
board

# %% [markdown]
# One symbol of four: when the builder first ran, five of the six messages had gone by. What has to happen with *each*
# message belongs in the stream, where nothing is left out. There `scan` keeps the prices, and the builder only draws. The
# same six quotes, slower, to watch. (Try `interval=0`: it is right, too.)


# %%
def with_price(prices, quote):
    return prices | {quote["symbol"]: quote["price"]}  # a new one each time


timeline = Timeline(resolution=0.2)
ticker = connect("/ticker?interval=0.4&count=6&seed=1")
prices = ticker.stream.pipe(
    ops.map(json.loads),
    timeline.trace("quote", keep=lambda quote: quote["symbol"]),
    ops.scan(with_price, {}),
    timeline.trace("symbols so far", keep=len),
)
board = StreamBuilder(
    prices,
    lambda snapshot: price_table(snapshot.data if snapshot.has_data else {}),
)

with Live(timeline), Live(board):
    ticker.sink.done.result(timeout=10)

# %% [markdown]
# ## Errors and the end
#
# On the path `/flaky?after=1` the connection breaks after one message. What does our `draw` show?

# %%
flaky = connect("/flaky?after=1")
told = StreamBuilder(flaky.stream, draw)
flaky.sink.add("Hello!")
flaky.sink.done.result(timeout=10)
told

# %% [markdown]
# "Nothing yet" is wrong: a message has come. But a snapshot holds data or an error, never both. So `has_data` is false,
# and `draw` knows only one reason for that.


# %%
def tell(snapshot):
    if snapshot.has_error:
        return f"The connection broke: {type(snapshot.error).__name__}"
    return draw(snapshot)


tell(told.snapshot)

# %% [markdown]
# The state is `DONE`. A stream that completes is `DONE`, too, with its last data: to show that it is over, ask whether
# `snapshot.connection_state is ConnectionState.DONE`.
#
# ## The text of strangers
#
# Rich has a markup of its own: `[bold red]` begins what is to be bold and red, and `[/]` ends it. That is handy for your
# own text. But a message was written by somebody else. Here is what a builder draws that takes it for markup:

# %%
message = "[bold red]The server is down![/] Send your password."
Panel(Text.from_markup(message), width=50)

# %% [markdown]
# A stranger has chosen how your screen looks. (`Panel(message)` does the same, and so does a cell of a `Table`.) And a
# mark that ends nothing breaks the picture:

# %% tags=["raises-exception"]
Text.from_markup("[/]")

# %% [markdown]
# A plain text that a builder returns is safe: `StreamBuilder` does both of the following for you. Inside a renderable, say
# `Text(printable(message))`. `Text` knows no markup, and `printable` makes visible what would command a terminal, such
# as `\x1b`, with which "clear the screen" begins. You then see `\e`.

# %%
message = "\x1b[2J[bold red]All gone[/]"
Panel(Text(printable(message)), width=50)

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
def asked(snapshot):
    told = status(snapshot)
    if told is None:
        raise TypeError("`status` returned None (is a return missing?)")
    return told


def statuses(stream):
    return stream.pipe(snapshots(), ops.map(asked))


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
        hint="Which state is the last? It is a `ConnectionState`, not a text. And the second "
        "message is empty, which is not none.",
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


def highest_twice():
    """What comes in two subscriptions, one after the other."""
    once = highest(cold("-a-b-c-d|", quotes))
    if not isinstance(once, reactivex.Observable):
        return once
    return reactivex.concat(once, once)


solved_2 = check(
    "Exercise 2",
    highest_twice,
    "-a-b-c-c-a-b-c-c|",
    {"a": {"A": 7}, "b": {"A": 7, "B": 5}, "c": {"A": 9, "B": 5}},
    hint="Compare with the price that is there, if there is one. And leave the old "
    "dictionary as it is: it has been handed on already. (The check subscribes twice.)",
)

# %% [markdown]
# ### Exercise 3: a card for strangers
#
# Write the builder `card`. It returns a `Panel` with the latest message in it, each character as it was sent, or made
# visible where it would command the terminal. Before the first message, the panel says `Nothing yet`. (Leave errors aside.)


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
    before = card(AsyncSnapshot.waiting())
    if before is ...:
        return ...
    if before is None:
        raise TypeError("`card` returned None (is a return missing?)")
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
# - A `StreamBuilder` shows the latest in one place, at the pace of the display.
# - A builder only draws. Whatever has to happen with each message belongs in the stream.
# - Foreign text is a plain text, or `Text(printable(message))` inside a renderable.
#
# A display may leave messages out. What if none may be lost, and there are more than you can take? That is
# [7. Too fast](07-too-fast.ipynb).

# %%
opened.close()
