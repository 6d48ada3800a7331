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
import time
from concurrent.futures import Future, wait
from contextlib import ExitStack
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
# The ticker sends the prices of four made-up shares, one quote every `interval` seconds. With `seed=1` everybody who
# connects gets the same quotes. After `count` of them it closes; without a count it never ends. (`to_list` collects all
# values, and emits one list at the end.)


# %%
def ticker(count=None, interval=0.2):
    """The URL of a ticker that sends the same quotes each time."""
    url = server.url_for(f"/ticker?seed=1&interval={interval}")
    return url if count is None else f"{url}&count={count}"


with WebSocketChannel.connect(ticker(3, interval=0)) as channel:
    messages = channel.stream.pipe(ops.to_list()).run()

messages

# %% [markdown]
# ## "What is the price?"
#
# Each value is to become another one: that is `map`. A first try:

# %% tags=["raises-exception"]
with WebSocketChannel.connect(ticker(3)) as channel:
    channel.stream.pipe(ops.map(lambda message: message["price"])).run()

# %% [markdown]
# A message looks like a dictionary, but it is text. The price can be cut out of it, and is still text. Which
# prices are above 100?

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(5)) as channel:
    channel.stream.pipe(
        ops.map(lambda message: message.split('"price": ')[1].split(",")[0]),
        timeline.trace("price"),
        ops.filter(lambda price: price > "100"),
        timeline.trace("above 100?"),
    ).run()

# %% [markdown]
# All of them, it says, 99.51 too. Text is compared letter by letter, and 9 comes after 1.
#
# So decode first, then ask. `from_json` makes data of each message; given a dataclass, it makes objects of that class,
# and checks the types.


# %%
@dataclass
class Quote:
    symbol: str
    price: float
    sequence: int


timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(5)) as channel:
    channel.stream.pipe(
        from_json(Quote),
        ops.map(lambda quote: quote.price),
        timeline.trace("price"),
        ops.filter(lambda price: price > 100),
        timeline.trace("above 100"),
    ).run()

# %% [markdown]
# `filter` lets those values pass for which its function says yes. Both `map` and `filter` answer at once, and look at
# one value at a time.
#
# ## "Only ECHO"
#
# A value meets the operators in their order. Once `map` has made a price of the quote, nobody can ask for its symbol any
# more, so `filter` comes first. (`keep` says what the picture shows of a value; the stream goes on with the whole of it.
# These quotes come twice as fast.)

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(9, interval=0.1)) as channel:
    channel.stream.pipe(
        from_json(Quote),
        timeline.trace("symbol", keep=lambda quote: quote.symbol),
        ops.filter(lambda quote: quote.symbol == "ECHO"),
        ops.map(lambda quote: quote.price),
        timeline.trace("ECHO's price"),
    ).run()

# %% [markdown]
# ## "What is the lowest price so far?"
#
# Now the answer depends on all that has come. Python has `functools.reduce` for such questions, and Rx has a `reduce`,
# too. This ticker has no count, so we give up after 1.1 seconds: `take_until` ends as soon as another observable
# emits.

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(interval=0.3)) as channel:
    lowest = channel.stream.pipe(
        from_json(Quote),
        ops.map(lambda quote: quote.price),
        timeline.trace("price"),
        ops.reduce(min),
        timeline.trace("reduce(min)"),
        ops.take_until(reactivex.timer(1.1)),
        ops.default_if_empty("no answer"),
    ).run()

lowest

# %% [markdown]
# `reduce` answers when the stream completes, and this one never does. (The dashed bars: disposed of.)
#
# `scan` does the same work, and emits each result on the way. Its function is given the result so far and the new
# value, and returns the next result. `max` in its place would be the highest so far.

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker()) as channel:
    channel.stream.pipe(
        from_json(Quote),
        ops.map(lambda quote: quote.price),
        timeline.trace("price"),
        ops.scan(min),
        timeline.trace("scan(min)"),
        ops.take(6),
    ).run()

# %% [markdown]
# ## "How many so far?"
#
# Why not keep the result in a variable of your own? That works until there is a second subscriber. Here one comes half
# a second late:

# %%
count = 0


def count_it(message):
    global count
    count += 1
    return count


timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(6)) as channel:
    counted = channel.stream.pipe(ops.map(count_it))
    counted.pipe(timeline.trace("first")).subscribe()
    time.sleep(0.5)
    counted.pipe(timeline.trace("late")).run()

# %% [markdown]
# Each subscriber has the operators run for itself, so from 0.6 s on every message was counted twice, and
# both counts are wrong. `scan` keeps a result for each subscriber. So:

# %% tags=["raises-exception"]
with WebSocketChannel.connect(ticker(3)) as channel:
    channel.stream.pipe(ops.scan(lambda count, message: count + 1)).run()

# %% [markdown]
# Unless told otherwise, `scan` takes the first value as the first result. That suits `min`. Here the first value is a
# message, and nobody can add 1 to that. What the result is before anything has come is called the **seed**, and you
# give it as a second argument. (The ticker's `seed` is another one: its random numbers begin there.) A count begins
# with 0:

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(6)) as channel:
    counted = channel.stream.pipe(ops.scan(lambda count, message: count + 1, 0))
    counted.pipe(timeline.trace("first")).subscribe()
    time.sleep(0.5)
    counted.pipe(timeline.trace("late")).run()

# %% [markdown]
# ## "What is the mean so far?" "How far has it moved?"
#
# Where one number is not enough, the result is a tuple of all that has to be remembered, and a `map` behind `scan` makes
# the answer of it. For the mean that is how many there were, and their sum:

# %%
with WebSocketChannel.connect(ticker(11, interval=0)) as channel:
    means = channel.stream.pipe(
        from_json(Quote),
        ops.filter(lambda quote: quote.symbol == "DART"),
        ops.map(lambda quote: quote.price),
        ops.scan(lambda so_far, price: (so_far[0] + 1, so_far[1] + price), (0, 0.0)),
        ops.map(lambda so_far: round(so_far[1] / so_far[0], 2)),
        ops.to_list(),
    ).run()

means

# %% [markdown]
# How far it has moved since the start depends on the first price, which no seed can know. So make each price a pair,
# *(at the start, now)*, before `scan`. Then the first pair is a good first result, and needs no seed:

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(11, interval=0.1)) as channel:
    channel.stream.pipe(
        from_json(Quote),
        ops.filter(lambda quote: quote.symbol == "DART"),
        ops.map(lambda quote: (quote.price, quote.price)),
        timeline.trace("DART's price", keep=lambda pair: pair[1]),
        ops.scan(lambda so_far, new: (so_far[0], new[1])),
        ops.map(lambda pair: round(pair[1] - pair[0], 2)),
        timeline.trace("moved"),
    ).run()

# %% [markdown]
# ## "How many in each half second?"
#
# `ops.count()` counts to the end of a stream, so give it streams that end: `window_with_time(0.5)` cuts a stream into
# pieces of half a second. Each piece, a **window**, is a stream itself: it begins, emits, completes. Here the
# values of an observable are observables, and those are called **inner observables**.
#
# Let us collect the windows, and then count what is in them.

# %%
with WebSocketChannel.connect(ticker(3, interval=0.3)) as channel:
    windows = channel.stream.pipe(ops.window_with_time(0.5), ops.to_list()).run()

[window.pipe(ops.count()).run() for window in windows]

# %% [markdown]
# Two windows, and nothing in them. A window is hot, and we subscribed when all had passed. An inner observable wants to be
# subscribed to when it comes, and `flat_map` does that: it makes an observable of each value, subscribes to it at
# once, and emits what any of them emits. (Here, it makes the count of each window.)

# %%
timeline = Timeline(resolution=0.1)

with Live(timeline), WebSocketChannel.connect(ticker(5, interval=0.3)) as channel:
    channel.stream.pipe(
        from_json(Quote),
        ops.map(lambda quote: quote.symbol),
        ops.window_with_time(0.5),
        timeline.trace("windows"),
        ops.flat_map(ops.count()),
        timeline.trace("how many"),
    ).run()

# %% [markdown]
# A ring is an observable among the values, and from it hangs its own line. Each window is counted when it completes.
# Where a list of the values is enough, `buffer_with_time(0.5)` emits one every half second, here first
# `["DART", "RXPY"]`.
#
# ## "What was the news when the price changed?"
#
# That is a question to two streams. The news is three headlines, A, B and C, which we send to ourselves over an echo
# channel. The pictures show the number of each quote.
#
# A first try: whenever there is a quote, listen to the news.


# %%
def headlines(first):
    """A after so many seconds, then B and C, 0.4 seconds apart."""
    return reactivex.timer(first, 0.4).pipe(
        ops.map(lambda n: "ABC"[n]),
        ops.take(3),
    )


found = []
timeline = Timeline(resolution=0.1)

with (
    Live(timeline),
    WebSocketChannel.connect(ticker(3, interval=0.4)) as market,
    WebSocketChannel.connect(server.url) as newsroom,
    headlines(0.2).subscribe(newsroom.sink.add),  # disposed of when the block ends
):
    quotes = market.stream.pipe(
        from_json(Quote),
        timeline.trace("quote", keep=lambda quote: quote.sequence),
    )
    news = newsroom.stream.pipe(ops.take(3), timeline.trace("news"))

    quotes.subscribe(
        lambda quote: news.subscribe(
            lambda headline: found.append(f"{quote.sequence}{headline}"),
        )
    )
    time.sleep(1.3)  # until all is over, we hope

found

# %% [markdown]
# A was the news when quote 2 came, and B when quote 3 came. But 2A and 3B are not there. Each quote has subscribed
# to the news once more, hears only what comes *after* it, and goes on listening when it is long out of date. Nobody
# holds these subscriptions, so nobody can dispose of them, or tell when they are done.
#
# When you find yourself subscribing inside of `subscribe`, look for the operator that brings the streams together. There
# are several, each for a question of its own.
#
# ## "What is the newest of both?"
#
# Say a screen is to show the newest quote beside the newest headline. That is a pair, and `zip` makes pairs. (Quotes
# now come every 0.2 seconds again.)


# %%
def beside(name, operator):
    """Draw quotes, news, and what an operator makes of both."""
    timeline = Timeline(resolution=0.1)
    with (
        Live(timeline),
        WebSocketChannel.connect(ticker(6)) as market,
        WebSocketChannel.connect(server.url) as newsroom,
        headlines(0.1).subscribe(newsroom.sink.add),
    ):
        quotes = market.stream.pipe(
            from_json(Quote),
            timeline.trace("quote", keep=lambda quote: quote.sequence),
        )
        news = newsroom.stream.pipe(ops.take(3), timeline.trace("news"))
        quotes.pipe(
            operator(news),
            ops.map(lambda pair: f"{pair[0].sequence}{pair[1]}"),
            timeline.trace(name),
        ).run()


beside("zip", ops.zip)

# %% [markdown]
# `zip` pairs by number, the first with the first, the second with the second. At 0.9 s it came to quote 3, when quote 5 was
# the newest. (It is right for answers that come in the order of their questions.) What we wanted is `combine_latest`,
# which emits the latest of both whenever either emits:

# %%
beside("combine_latest", ops.combine_latest)

# %% [markdown]
# Back to the question from above. It was about changes of the price, and 1A, 3B and 5C came with the news.
# `with_latest_from` emits only when the first stream does, together with the latest of the other:

# %%
beside("with_latest_from", ops.with_latest_from)

# %% [markdown]
# Each quote has the news of its moment. (Quote 1 came before any news, and is left out.)
#
# ## "Which belongs to which?"
#
# Only, news grows old. Say A counts for 0.6 seconds, and B and C for 0.2 each. Then two headlines may count at a
# time, or none, and that is a question for `join`. It takes two functions, for the values of the one stream and
# of the other. They say how long a value counts: until the observable that they return emits or completes. A
# pair comes out for any two values that count at the same time.

# %%
importance = {"A": 0.6, "B": 0.2, "C": 0.2}


def with_its_news(news):
    return ops.join(
        news,
        lambda quote: reactivex.empty(),  # completes at once: only this moment counts
        lambda headline: reactivex.timer(importance[headline]),
    )


beside("join", with_its_news)

# %% [markdown]
# Quote 4 came while A and B counted, and is in two pairs. Quote 5 came when none counted, and is in
# none.
#
# ## Exercises
#
# ### Exercise 1: below its highest
#
# Write `below_highest`. It is given the messages of a ticker and a symbol. For each quote of that symbol it emits how far
# its price is below the highest so far, rounded to 2 digits: 0.0 where it *is* the highest. It is checked on a
# real ticker.


# %% tags=["exercise"]
def below_highest(messages, symbol):
    return ...


# %% tags=["solution"]
def below_highest(messages, symbol):
    return messages.pipe(
        from_json(Quote),
        ops.filter(lambda quote: quote.symbol == symbol),
        ops.map(lambda quote: (quote.price, quote.price)),  # (the highest, now)
        ops.scan(lambda so_far, new: (max(so_far[0], new[0]), new[1])),
        ops.map(lambda pair: round(pair[0] - pair[1], 2)),
    )


# %% tags=["check"]
def on_ticker(answer, symbol):
    """What an answer makes of the messages of a ticker: values only, not when they came."""
    with WebSocketChannel.connect(ticker(11, interval=0.02)) as channel:
        answered = answer(channel.stream, symbol)
        if not isinstance(answered, reactivex.Observable):
            return answered
        values = Future()
        with answered.pipe(ops.take(12), ops.to_list()).subscribe(
            values.set_result, values.set_exception
        ):
            wait([values], timeout=5)
        if not values.done():
            raise TimeoutError("it did not complete within 5 seconds")
        return one_by_one(values.result())


hint_1 = "The cell with DART's moves is close. What has to be remembered here, in place of the start?"
solved_1 = check(
    "Exercise 1a",
    lambda: on_ticker(below_highest, "DART"),
    "a-b-c-d-|",
    {"a": 0.0, "b": 0.95, "c": 0.06, "d": 0.0},
    hint=hint_1,
) and check(
    "Exercise 1b",
    lambda: on_ticker(below_highest, "RXPY"),
    "a-b-c-d-|",
    {"a": 0.0, "b": 0.14, "c": 1.14, "d": 2.08},
    hint="1a is right, so what of 1a is left here? The symbol, or something kept outside of scan?",
)

# %% [markdown]
# ### Exercise 2: how many of them
#
# Write `how_many`. It is given a stream of symbols, and one symbol. Every five seconds it emits how many of that symbol
# have come in these five seconds, be it 0. (The check writes the stream as marbles, a character a second, and does
# not really wait for it.)


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
    hint="How long a value counts is an observable that emits, or completes, when it is over.",
)

# %% [markdown]
# ## The question, and the operator
#
# | The question | The operator |
# | --- | --- |
# | What is it, in another form? | `map`; for JSON `from_json` |
# | Only those that …? | `filter` |
# | Only when it has changed? | `distinct_until_changed` |
# | Only until …? | `take`, `take_while`, `take_until` |
# | What has it come to so far? | `scan` |
# | What has it come to in the end? | `reduce`, `count`, `to_list` |
# | How does it differ from the one before? | `pairwise`, then `map` |
# | How many in each span of time? | `window_with_time`, then `flat_map` |
# | Which ones in each span of time, as a list? | `buffer_with_time` |
# | What is it for each symbol by itself? | `group_by`, then `flat_map` |
# | What comes from any of these streams? | `merge` |
# | What is the newest of both, whenever one changes? | `combine_latest` |
# | What was the other one at this moment? | `with_latest_from` |
# | Which answer belongs to which question, in their order? | `zip` |
# | Which of both were there at the same time? | `join` |
#
# Most of these, and many more, are drawn in `docs/marbles.md`, in rxecho's repository.
#
# ## What to take along
#
# - Ask the question first. It says whether the answer needs one value (`map`, `filter`), all so far (`scan`),
#   a piece of time (window), or another stream (join and its relatives).
# - Decode messages at the beginning of the pipe, and work on data from there on.
# - What has to be remembered belongs into `scan`, which keeps it for each subscriber. `reduce` waits for the end.
# - The values of a stream may be streams. `flat_map` subscribes to them when they come; `subscribe` inside of
#   `subscribe` is no substitute.
#
# All these pictures took as long as they show. Marbles can also run without waiting:
# [5. Marbles and virtual time](05-marbles-and-virtual-time.ipynb).

# %%
opened.close()
