# %% [markdown]
# # 4. Operators on a live ticker
#
# *About 25 minutes.*
#
# After this lesson you will be able to
#
# - choose an operator by the question that you ask of a stream;
# - turn messages into data, and keep those you want;
# - keep a running result with `scan`, and say why a global variable is no substitute;
# - cut a stream into pieces of time;
# - bring two streams together, in the one of four ways that fits.

# %%
import itertools
import time
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import reactivex
from reactivex import operators as ops

from rxecho import EchoServer, Live, WebSocketChannel
from rxecho.lessons import check, one_by_one
from rxecho.marbles import Timeline, cold
from rxecho.operators import from_json

opened = ExitStack()
server = opened.enter_context(EchoServer())

# %% [markdown]
# The ticker sends the prices of four made-up shares, one quote every `interval` seconds, and closes after `count` of
# them. With `seed=1` everybody gets the same quotes.
#
# ## "What is the price?"
#
# Each value is to become another one: that is `map`. A first try:

# %% tags=["raises-exception"]
with WebSocketChannel.connect(server.url_for("/ticker?seed=1&count=3")) as channel:
    channel.stream.pipe(ops.map(lambda message: message["price"])).run()

# %% [markdown]
# A message looks like a dictionary, but it is text. So decode first, then ask. `from_json` makes data of each message;
# given a dataclass, it makes objects of that class, and checks the types.
#
# From here on, `ticker` does so for us. It gives the decoded quotes, and the `trace` of a timeline that is drawn live.


# %%
@dataclass
class Quote:
    symbol: str
    price: float
    sequence: int


@contextmanager
def ticker(count, interval=0.2):
    """The quotes of a ticker, and a function that traces them."""
    url = server.url_for(f"/ticker?seed=1&interval={interval}&count={count}")
    timeline = Timeline(resolution=0.1)
    with Live(timeline), WebSocketChannel.connect(url) as channel:
        yield channel.stream.pipe(from_json(Quote)), timeline.trace


# %% [markdown]
# ## "What is the price of ECHO?"
#
# `filter` lets those values pass for which its function says yes. (`keep` says what the picture shows of a value; the
# stream goes on with the whole of it.)

# %%
with ticker(9, interval=0.1) as (quotes, trace):
    quotes.pipe(
        trace("symbol", keep=lambda quote: quote.symbol),
        ops.filter(lambda quote: quote.symbol == "ECHO"),
        ops.map(lambda quote: quote.price),
        trace("ECHO's price"),
    ).run()

# %% [markdown]
# A value meets the operators in their order. Behind `map`, which leaves only the price, nobody can ask for the symbol any
# more, so `filter` comes first.
#
# ## "How many so far?"
#
# Now the answer depends on all that has come. Why not count in a global variable? That works until there is a second
# subscriber. Here one comes half a second late:


# %%
def twice(operator):
    """Draw what two subscribers get, of whom one comes late."""
    with ticker(6) as (quotes, trace):
        counted = quotes.pipe(operator)
        counted.pipe(trace("first")).subscribe()
        time.sleep(0.5)
        counted.pipe(trace("late")).run()


counter = itertools.count(1)
twice(ops.map(lambda quote: next(counter)))

# %% [markdown]
# Each message comes once, but the operators run once for each subscriber. So as soon as there were two, every quote was
# counted twice, and both counts are wrong. `scan` keeps a result for each subscriber. Its function is given the result so far and the new
# value, and returns the next result. What the result is before anything has come is called the **seed**, here 0. (The
# ticker's `seed` is another one.)

# %%
twice(ops.scan(lambda count, quote: count + 1, 0))

# %% [markdown]
# Without a seed, `scan` takes the first value as the first result. Where one number is not enough, let the result be a
# tuple: for the mean so far, how many there were and their sum. Then a `map` behind `scan` divides.
#
# `reduce` does the same, but answers only when the stream completes, and a ticker may never do that.
#
# ## "How many in each half second?"
#
# `ops.count()` counts to the end of a stream, so give it streams that end: `window_with_time(0.5)` cuts a stream into
# pieces of half a second. Each piece, a **window**, is a stream itself: it begins, emits, completes. An observable that
# is a value of another one is called an **inner observable**.
#
# Let us collect the windows with `to_list`, and then count what is in them:

# %%
with WebSocketChannel.connect(server.url_for("/ticker?interval=0&count=3")) as channel:
    windows = channel.stream.pipe(ops.window_with_time(0.5), ops.to_list()).run()

[window.pipe(ops.count()).run() for window in windows]

# %% [markdown]
# One window, and nothing in it, although three quotes came. A window is hot, and we subscribed when all had passed. An
# inner observable wants to be subscribed to when it comes, and `flat_map` does that. Its function makes an observable of
# each value: here `ops.count()` makes the count of a window. `flat_map` subscribes to that at once, and emits whatever any
# of them emits. (So would a `subscribe` inside of `subscribe`, but nobody could dispose of the inner one.)

# %%
with ticker(5, interval=0.3) as (quotes, trace):
    quotes.pipe(
        ops.map(lambda quote: quote.symbol),
        ops.window_with_time(0.5),
        trace("windows"),
        ops.flat_map(ops.count()),
        trace("how many"),
    ).run()

# %% [markdown]
# A ring is an observable among the values, and its own line hangs from it. Each window is counted when it completes.
#
# ## "What is the newest of both?"
#
# Now we ask two streams. A screen is to show the newest quote, by its number, beside the newest of three headlines, A, B
# and C. That is a pair, and `zip` makes pairs. It stands in the pipe of the one stream, and is given the other:

# %%
# The first after 0.1 seconds, and then one every 0.4 seconds:
news = reactivex.timer(0.1, 0.4).pipe(ops.map(lambda n: "ABC"[n]), ops.take(3))


def beside(name, operator):
    """Draw quotes, news, and what an operator makes of both."""
    with ticker(6) as (quotes, trace):
        quotes.pipe(
            ops.map(lambda quote: quote.sequence),
            trace("quote"),
            operator(news.pipe(trace("news"))),
            ops.map(lambda pair: f"{pair[0]}{pair[1]}"),
            trace(name),
        ).run()


beside("zip", ops.zip)

# %% [markdown]
# `zip` pairs by number, the first with the first, the second with the second, which is good for answers in the order of
# their questions. Here it came to quote 3 when quote 5 was the newest, and was over with the news. What we wanted is
# `combine_latest`, which emits the latest of both whenever either emits:

# %%
beside("combine_latest", ops.combine_latest)

# %% [markdown]
# ## "What was the news when the quote came?"
#
# Now 1A, 3B and 5C are too many: they came with the news. `with_latest_from` emits only when the first stream does,
# together with the latest of the other:

# %%
beside("with_latest_from", ops.with_latest_from)

# %% [markdown]
# Each quote has the news of its moment; quote 1 came before any, and is left out.
#
# ## "Which were there at the same time?"
#
# News grows old. Say a headline counts for 0.6 seconds. Then two may count at a time, and that is a question for `join`.
# For each stream it takes a function, which is given a value and returns an observable: the value counts until that one
# emits or completes. Any two values that count at the same time make a pair.


# %%
def with_its_news(news):
    return ops.join(
        news,
        lambda quote: reactivex.empty(),  # completes at once: only this moment counts
        lambda headline: reactivex.timer(0.6),  # emits after 0.6 seconds
    )


beside("join", with_its_news)

# %% [markdown]
# Quote 4 came while A and B counted, and is in two pairs. At quote 5, A was too old.
#
# ## Exercises
#
# ### Exercise 1: the lowest so far
#
# Write `lowest`. It is given the messages of a ticker and a symbol. For each quote of that symbol it emits the lowest
# price that this symbol has had so far. It is checked on a real ticker, where only the values count, not the times.


# %% tags=["exercise"]
def lowest(messages, symbol):
    return ...


# %% tags=["solution"]
def lowest(messages, symbol):
    return messages.pipe(
        from_json(Quote),
        ops.filter(lambda quote: quote.symbol == symbol),
        ops.map(lambda quote: quote.price),
        ops.scan(min),
    )


# %% tags=["check"]
def on_ticker(answer, symbol):
    """What an answer makes of the messages of a ticker: values only, not when they came."""
    url = server.url_for("/ticker?seed=1&interval=0.02&count=13")
    with WebSocketChannel.connect(url) as channel:
        answered = answer(channel.stream, symbol)
        if not isinstance(answered, reactivex.Observable):
            return answered
        values = Future()
        with answered.pipe(ops.take(14), ops.to_list()).subscribe(
            values.set_result, values.set_exception
        ):
            wait([values], timeout=5)
        if not values.done():
            raise TimeoutError("it did not complete within 5 seconds")
        return one_by_one(values.result())


solved_1 = check(
    "Exercise 1a",
    lambda: on_ticker(lowest, "RXPY"),
    "a-b-c-d-e-|",
    {"a": 99.51, "b": 99.37, "c": 98.37, "d": 97.43, "e": 97.19},
    hint="Decode, keep one symbol, take the price, remember the lowest in scan. Does it need a seed?",
) and check(
    "Exercise 1b",
    lambda: on_ticker(lowest, "DART"),
    "a-b-b-b-b-|",
    {"a": 100.7, "b": 99.75},
    hint="1a is right, so what of 1a is left here? The symbol, or something kept outside of scan?",
)

# %% [markdown]
# ### Exercise 2: how many of them
#
# Write `how_many`. It is given a stream of symbols, and one symbol. Every five seconds, and at the end, it emits how many
# of that symbol have come since the last time, even if that is 0. (The check writes the stream as marbles, a character a
# second, and does not really wait.)


# %% tags=["exercise"]
def how_many(symbols, symbol):
    return ...


# %% tags=["solution"]
def how_many(symbols, symbol):
    return symbols.pipe(
        ops.filter(lambda one: one == symbol),
        ops.window_with_time(5),
        ops.flat_map(ops.count()),
    )


# %% tags=["check"]
symbols = cold("-E-D--E-E--D----E-|", {"E": "ECHO", "D": "DART"})
hint_2 = "Leave out what you do not count, cut the rest into pieces of five seconds, count each."
solved_2 = check(
    "Exercise 2a",
    lambda: how_many(symbols, "ECHO"),
    "-----1----2----0--(1,|)",
    hint=hint_2,
) and check(
    "Exercise 2b",
    lambda: how_many(symbols, "DART"),
    "-----1----0----1--(0,|)",
    hint=hint_2,
)

# %% [markdown]
# ### Exercise 3: who meets whom
#
# Buyers and sellers come to a market. A buyer stays for three seconds, a seller for five. Write `meetings`, which emits
# a tuple *(buyer, seller)* for any two who are there at the same time.


# %% tags=["exercise"]
def meetings(buyers, sellers):
    return ...


# %% tags=["solution"]
def meetings(buyers, sellers):
    return buyers.pipe(
        ops.join(
            sellers,
            lambda buyer: reactivex.timer(3),
            lambda seller: reactivex.timer(5),
        )
    )


# %% tags=["check"]
solved_3 = check(
    "Exercise 3",
    lambda: meetings(cold("-a-----b-----c---|"), cold("---x-------y-----|")),
    "---1---2-----3---|",
    {1: ("a", "x"), 2: ("b", "x"), 3: ("c", "y")},
    hint="At the same time: join. It wants two functions, and each returns an observable that "
    "emits when the time of its value is over.",
)

# %% [markdown]
# ## The question, and the operator
#
# | The question | The operator |
# | --- | --- |
# | What is it, in another form? | `map`; for JSON `from_json` |
# | Only those that …? | `filter` |
# | Only until another stream emits? | `take_until` |
# | What has it come to so far? | `scan` |
# | What has it come to in the end? | `reduce`, `count`, `to_list` |
# | How many in each span of time? | `window_with_time`, then `flat_map` |
# | Which ones in each span of time, as a list? | `buffer_with_time` |
# | What is the newest of both, whenever one changes? | `combine_latest` |
# | What was the other one at this moment? | `with_latest_from` |
# | Which answer belongs to which question, in their order? | `zip` |
# | Which of both were there at the same time? | `join` |
#
# Most of these, and many more, are drawn in `docs/marbles.md`, in rxecho's repository.
#
# ## What to take along
#
# - Ask the question first. It says whether the answer needs one value, all so far, a piece of time, or another stream.
# - Decode messages at the beginning of the pipe, and work on data from there on.
# - What has to be remembered belongs in `scan`, which keeps it for each subscriber.
# - The values of a stream may be streams. `flat_map` subscribes to them when they come.
#
# All these pictures took as long as they show. Marbles can also run without waiting:
# [5. Marbles and virtual time](05-marbles-and-virtual-time.ipynb).

# %%
opened.close()
