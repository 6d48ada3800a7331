"""Makes `docs/marbles.md`, a page with a marble diagram of each of RxPY's operators that are used most.

Run as `uv run python docs/gallery.py`. What the pictures show is what the operators did while it ran; the same
versions of RxPY and rxecho write the same bytes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import add, mul
from pathlib import Path
from textwrap import dedent, fill
from typing import NamedTuple

import reactivex
from reactivex import operators as ops

from rxecho.marbles import MarbleDiagram, cold, diagram

DOCS = Path(__file__).parent

INTRODUCTION = """\
<!-- Written by gallery.py, beside this file. -->

# RxPY's operators as marble diagrams

A marble diagram shows what an operator does to streams while time goes by, from left to right. Each line is an
observable, and each marble on it a value at the moment at which it was emitted. Above the box is what goes into the
operator that is written there, below it is what comes out. What is one above the other happened at the same time, and
equal values have the same colour.

{picture}

- A line begins with a short bar where it is **subscribed** to, and ends with a long one where it **completed** or with
  a cross where it **failed**, beside which the error is told. An arrow means that it was still running.
- A dashed bar: it was **disposed** of, that is, nobody wanted more of it. The pale marbles behind it were **missed**:
  the source had them still to come.
- An **inner** observable hangs from the marble that brought it, which is the value that it was made of, or a ring, the
  observable itself. Where it had to wait until it was subscribed to, its line begins with dashes.
- Marbles that are stacked came **at once**, from top to bottom. More than four are **counted**.

Nothing here was drawn by hand. The operators ran in virtual time, and what is on the page is what they did:
[gallery.py](gallery.py) made it with `rxecho.marbles.diagram`, whose calls stand below the pictures with the text
that they print. In that text, RxPY's marble syntax, a character is a second; `|` completes, `#` fails, what is between
brackets came at once, and `^---!` under a line says from when until when it was subscribed to. The sources are cold:
each begins when it is subscribed to, and anew when it is subscribed to again, which stands behind a `&`. To run
the calls, begin with this:

```pycon
>>> import reactivex
>>> from operator import add, mul
>>> from reactivex import operators as ops
>>> from rxecho.marbles import cold, diagram

```
"""

LEGEND = """
    completed: -a----b----c----|
    failed: -a----b----#
    disposed: -a----b----c---d
              ^-------!
    running: -a----b----c----d
    outer: -x-----y--------|
            -a--b--|
                  -c--d--|
    at once: -a----(b,c)-----|
    counted: -a----(b,c,d,e,f)-----|
"""
LEGEND_SHOWS = (
    "The legend: lines that completed, failed, were disposed of and go on; two inner observables that hang from the "
    "values of an outer one; two marbles stacked at one time; five at one time, counted"
)


class Picture(NamedTuple):
    """An operator on the page.

    Attributes:
        name: What it is called.
        tells: What it does.
        shows: What the picture has to see, for those who do not.
        diagram: The picture.
    """

    name: str
    tells: str
    shows: str
    diagram: MarbleDiagram


def creating() -> Iterator[Picture]:
    """Observables that need no other."""
    yield Picture(
        "of",
        "Emits what it is given at the moment of subscription, and completes. `from_iterable` does so with what is in "
        "a list, or in anything else that can be looped over.",
        "a, b and c at once, at 0 seconds, and completion with them",
        diagram(reactivex.of("a", "b", "c")),
    )
    yield Picture(
        "range",
        "Emits numbers that follow each other. As with Python's own `range`, the second argument is the first number "
        "that is left out; elsewhere in Rx it is how many there are.",
        "2, 3 and 4 at once, and completion with them",
        diagram(reactivex.range(2, 5)),
    )
    yield Picture(
        "interval",
        "Counts from 0, a number each period, for as long as anybody listens. The first comes after one period.",
        "0, 1, 2 and 3, two seconds from each other, the first at 2 seconds; it goes on",
        diagram(reactivex.interval(2), until=8),
    )
    yield Picture(
        "timer",
        "Waits, and emits 0. With a period it goes on to count; without, it completes.",
        "0 at 2 seconds, then 1, 2 and 3, three seconds from each other; it goes on",
        diagram(reactivex.timer(2, 3), until=11),
    )
    yield Picture(
        "generate_with_relative_time",
        "A loop over time: a state to begin with, whether to go on, the next state, and how long each has to wait.",
        "1 after one second, 2 two seconds later, 4 four seconds later, with which it ends",
        diagram(reactivex.generate_with_relative_time(1, lambda x: x < 5, lambda x: 2 * x, lambda x: x)),
    )
    yield Picture(
        "throw",
        "Fails at the moment of subscription, with the error that it is given.",
        "ValueError: no, at 0 seconds",
        diagram(reactivex.throw(ValueError("no"))),
    )
    yield Picture(
        "repeat",
        "Subscribes again each time that the source completes, as often as it is told to, or for ever. The source, if "
        "it is cold, begins anew.",
        "the source emits a and b and completes, twice; out come a, b, a, b",
        diagram(ops.repeat(2), "-a--b---|"),
    )


def transforming() -> Iterator[Picture]:
    """What becomes of values."""
    yield Picture(
        "map",
        "Puts each value through a function.",
        "1, 2 and 3 become 10, 20 and 30, each in its place",
        diagram(ops.map(lambda x: 10 * x), "-1---2---3---|"),
    )
    yield Picture(
        "scan",
        "Folds each value into what came of those before it, and emits every result on the way. `reduce` emits the "
        "last only.",
        "1, 2 and 3 become the running totals 1, 3 and 6",
        diagram(ops.scan(add), "-1---2---3---|"),
    )
    yield Picture(
        "pairwise",
        "Emits each value together with the one before it, so from the second on.",
        "a, b and c become (a, b) when b comes, and (b, c) when c comes",
        diagram(ops.pairwise(), "-a----b----c----|"),
    )
    yield Picture(
        "buffer_with_count",
        "Collects values, and emits them as a list when there are so many. At the end comes what is left.",
        "a and b come out as a list at b, c and d as a list at d, and e alone with completion",
        diagram(ops.buffer_with_count(2), "-a--b--c--d--e--|"),
    )
    yield Picture(
        "expand",
        "Emits each value, and subscribes to the observable that a function makes of it, whose values go the same way. "
        "Here it would never end.",
        "1 makes 2, two seconds later, 2 makes 4 and 4 makes 8; after four values it is disposed of",
        diagram(
            [ops.expand(lambda x: reactivex.timer(2).pipe(ops.map(lambda _: 2 * x))), ops.take(4)],
            "-1------|",
        ),
    )
    yield Picture(
        "materialize",
        "Turns what a stream tells, its end and its error included, into values. `dematerialize` turns them back.",
        "a and an error become the values OnNext(a) and OnError(error), and the stream completes",
        diagram(reactivex.compose(ops.materialize(), ops.map(str)), "-a-------#"),
    )


def filtering() -> Iterator[Picture]:
    """What is left out."""
    yield Picture(
        "filter",
        "Lets those values pass for which a function says yes.",
        "of 1, 5, 2 and 4, those above 2 pass: 5 and 4",
        diagram(ops.filter(lambda x: x > 2), "-1--5--2--4--|"),
    )
    yield Picture(
        "take",
        "Lets so many values pass, and completes with the last of them: the source is disposed of at once.",
        "a and b pass; with b it completes, and c and d of the source are missed",
        diagram(ops.take(2), "-a--b--c--d--|"),
    )
    yield Picture(
        "take_last",
        "Keeps the last so many values until the source completes, and emits them then.",
        "of a, b, c and d, the last two come out together when the source completes",
        diagram(ops.take_last(2), "-a--b--c--d--|"),
    )
    yield Picture(
        "take_while",
        "Lets values pass for as long as a function says yes, and completes at the first no; that value does not pass.",
        "1 and 2 are below 3 and pass; it completes at 4, and the 1 after that is missed",
        diagram(ops.take_while(lambda x: x < 3), "-1--2--4--1--|"),
    )
    yield Picture(
        "take_until",
        "Lets values pass until another observable emits one, and completes then.",
        "a and b pass, x of the second source completes it, and c is missed",
        diagram(ops.take_until, "-a--b-----c--|", "-------x--y--|"),
    )
    yield Picture(
        "skip",
        "Leaves out the first so many values.",
        "of a, b, c and d, the last two pass",
        diagram(ops.skip(2), "-a--b--c--d--|"),
    )
    yield Picture(
        "skip_last",
        "Leaves out the last so many values. As it cannot know which those are, each value passes only when so many "
        "more have come.",
        "of a, b, c and d, a comes out when c comes, and b when d comes",
        diagram(ops.skip_last(2), "-a--b--c--d--|"),
    )
    yield Picture(
        "skip_while",
        "Leaves values out for as long as a function says yes. From the first no on, all pass.",
        "1 and 2 are below 3 and left out; 4 passes, and so does the 1 behind it",
        diagram(ops.skip_while(lambda x: x < 3), "-1--2--4--1--|"),
    )
    yield Picture(
        "skip_until",
        "Leaves values out until another observable emits one. It then needs no more of that one, and disposes of it.",
        "a and b come before x of the second source and are left out, c and d pass",
        diagram(ops.skip_until, "-a--b-----c--d--|", "-------x--y--|"),
    )
    yield Picture(
        "first",
        "Emits the first value, or the first for which a function says yes, and completes. Where there is none it "
        "fails; `first_or_default` does not.",
        "of 1, 4 and 5, the first above 3 is 4, with which it completes; 5 is missed",
        diagram(ops.first(lambda x: x > 3), "-1--4--5--|"),
    )
    yield Picture(
        "last",
        "Emits the last value when the source completes. Where there is none it fails; `last_or_default` does not.",
        "of a, b and c, c comes out when the source completes",
        diagram(ops.last(), "-a--b--c--|"),
    )
    yield Picture(
        "element_at",
        "Emits the value with that number, counted from 0, and completes.",
        "of a, b and c, number 1 is b, with which it completes; c is missed",
        diagram(ops.element_at(1), "-a--b--c--|"),
    )
    yield Picture(
        "distinct",
        "Lets a value pass when no equal one has come before. It remembers all of them.",
        "of a, b, a, b and c, the second a and the second b are left out",
        diagram(ops.distinct(), "-a--b--a--b--c--|"),
    )
    yield Picture(
        "distinct_until_changed",
        "Lets a value pass when it differs from the one right before it.",
        "of a, a, b, b and a, the second a and the second b are left out; the last a passes",
        diagram(ops.distinct_until_changed(), "-a--a--b--b--a--|"),
    )
    yield Picture(
        "ignore_elements",
        "Lets no value pass, only how the source ends.",
        "a, b and c are left out; it completes with the source",
        diagram(ops.ignore_elements(), "-a--b--c--|"),
    )


def combining() -> Iterator[Picture]:
    """Several streams become one."""
    yield Picture(
        "merge",
        "Passes on what any of several sources emits, as it comes, and completes with the last of them.",
        "a, b and c of one source and x and y of the other come out in the order of their times",
        diagram(ops.merge, "-a-----b-----c--|", "----x-----y---|"),
    )
    yield Picture(
        "concat",
        "Subscribes to the next source when the one before has completed. What a hot source emits meanwhile is lost; "
        "a cold one begins then.",
        "a and b come first; the second source is subscribed to when the first completes, and x and y follow",
        diagram(ops.concat, "-a--b--|", "-x--y--|"),
    )
    yield Picture(
        "zip",
        "Pairs the first value of one source with the first of the other, the second with the second, and so on. A "
        "value that is early waits. It completes when no further pair can come.",
        "a is paired with 1, b with 2, each when the later of the two comes; 3 and 4 wait for a third that never comes",
        diagram(ops.zip, "-a--------b------|", "---1----2----3--4--|"),
    )
    yield Picture(
        "combine_latest",
        "Emits the latest values of all sources together whenever one of them emits, once each has emitted something.",
        "(a, 1) at 1, (b, 1) at b and (b, 2) at 2",
        diagram(ops.combine_latest, "-a--------b-----------|", "-----1---------2----|"),
    )
    yield Picture(
        "with_latest_from",
        "Joins to each value of the first source what the other emitted last. The other alone causes nothing, and what "
        "comes before it has emitted is left out.",
        "a is left out, for 1 comes after it; b comes out as (b, 1), and c, after 2 and 3, as (c, 3)",
        diagram(ops.with_latest_from, "-a-----b-----------c-----|", "----1------2---3--|"),
    )
    yield Picture(
        "fork_join",
        "Waits for all sources to complete, and emits the last value of each, together. Python's `asyncio.gather` of "
        "streams.",
        "(b, 3) when the second source has completed too",
        diagram(ops.fork_join, "-a--b---|", "---1--2---3---|"),
    )
    yield Picture(
        "start_with",
        "Emits some values first, and then what the source does.",
        "x at 0 seconds, before a and b",
        diagram(ops.start_with("x"), "---a---b---|"),
    )
    yield Picture(
        "amb",
        "Lets sources race: the one that emits first is passed on, the others are disposed of.",
        "x of the second source comes first, so it is disposed of the first source, whose a, b and c are missed",
        diagram(ops.amb, "---a---b---c---|", "-x---y---z---|"),
    )


def streams() -> Iterator[Picture]:
    """Streams whose values are streams."""
    yield Picture(
        "flat_map",
        "Makes an observable of each value and subscribes to it at once; what any of them emits is passed on. In "
        "other words, `map` and `merge_all`.",
        "a and b each begin an inner observable that emits three times; the two overlap, and so do their values",
        diagram(ops.flat_map(lambda x: cold("x---x---x|", {"x": x})), "-a-----b---|"),
    )
    yield Picture(
        "concat_map",
        "One after the other: the next inner observable is subscribed to when the one before has completed. In other "
        "words, `map` and `concat_all`, shown here. RxPY's `merge(max_concurrent=1)` does it too.",
        "the second inner observable, there since b, is subscribed to when the first completes; no values overlap",
        diagram([ops.map(lambda x: cold("x--x---|", {"x": x})), ops.concat_all()], "-a---b---|"),
    )
    yield Picture(
        "switch_latest",
        "Only the latest counts: when the next inner observable comes, the one before is disposed of. With `map`, as "
        "here, it is `switch_map`, also called `flat_map_latest`.",
        "b begins an inner observable, and the one of a is disposed of before its third value",
        diagram([ops.map(lambda x: cold("x---x---x|", {"x": x})), ops.switch_latest()], "-a-----b---|"),
    )
    yield Picture(
        "exclusive",
        "Whoever is first is left in peace: an inner observable that comes while another one runs is ignored. "
        "Elsewhere in Rx this is `exhaust`.",
        "the inner observable of b comes while the one of a runs and is ignored; the one of c comes later and is not",
        diagram([ops.map(lambda x: cold("x--x--|", {"x": x})), ops.exclusive()], "-a---b-----c----|"),
    )
    yield Picture(
        "window_with_count",
        "Splits a stream into streams of so many values each. The first window opens at the moment of subscription and "
        "each next one with the last value of the one before, so that the last may stay empty.",
        "a and b are in the first window, c and d in the second, and the third is empty",
        diagram(ops.window_with_count(2), "--a--b--c--d--|"),
    )
    yield Picture(
        "group_by",
        "Splits a stream into streams by a key that a function gives each value. A group begins with its first value, "
        "and all complete with the source. Into two, for yes and no, `partition` splits as well.",
        "1 and 3 go to the group odd, 2 and 4 to the group even",
        diagram(ops.group_by(lambda x: "odd" if x % 2 else "even"), "-1----2----3----4----|"),
    )


def time() -> Iterator[Picture]:
    """What has to do with clocks."""
    yield Picture(
        "delay",
        "Passes everything on so much later. An error is not delayed.",
        "a, b and completion come out three seconds later",
        diagram(ops.delay(3), "-a-----b---|"),
    )
    yield Picture(
        "debounce",
        "Emits a value when so long nothing else has come. Also called `throttle_with_timeout`. At the end it does not "
        "wait.",
        "a comes out 2 seconds later; b and c are followed too soon; d comes out 2 seconds later; e with completion",
        diagram(ops.debounce(2), "-a-----b-c-d------e|"),
    )
    yield Picture(
        "throttle_first",
        "Emits a value, and then none for so long.",
        "a passes, b and c come within 5 seconds of it and are left out; d passes, e is left out",
        diagram(ops.throttle_first(5), "-a-b-c----d--e---|"),
    )
    yield Picture(
        "sample",
        "Emits, each period, the latest value if it is a new one. At the end comes what is left. Instead of a period "
        "there may be an observable that says when.",
        "b at 4 seconds, c at 8, nothing new at 12, and d with completion",
        diagram(ops.sample(4), "-a-b--c------d--|"),
    )
    yield Picture(
        "timeout",
        "Fails, or goes over to another observable, when so long nothing has come.",
        "a and b pass; 4 seconds after b it fails with a timeout, and c is missed",
        diagram(ops.timeout(4), "-a--b---------c----|"),
    )
    yield Picture(
        "buffer_with_time",
        "Emits, each period, a list of what came in it, be it empty. At the end comes what is left.",
        "a and b as a list at 5 seconds, an empty list at 10, and c alone with completion",
        diagram(ops.buffer_with_time(5), "-a--b------c-|"),
    )
    yield Picture(
        "window_with_time",
        "Splits a stream into streams of so long each.",
        "a and b are in the first five seconds, c in the second, and none in the third",
        diagram(ops.window_with_time(5), "-a-b----c-----|"),
    )
    yield Picture(
        "time_interval",
        "Tells with each value how long it took to come, counted from the one before; here, only that is shown. "
        "`timestamp` tells when it came.",
        "a took 1 second, b 4 and c 6",
        diagram(
            reactivex.compose(ops.time_interval(), ops.pluck_attr("interval"), ops.map(str)),
            "-a---b-----c--------|",
        ),
    )


def failing() -> Iterator[Picture]:
    """What to do about errors."""
    yield Picture(
        "catch",
        "Goes over to another observable when the source fails.",
        "a and b pass; the source fails, and x and y of the second source follow",
        diagram(ops.catch, "-a--b--#", "-x--y--|"),
    )
    yield Picture(
        "retry",
        "Subscribes again when the source fails, up to so many times in all, the first one included, or for ever. "
        "Values that had come before the error come again.",
        "the source emits a and b and fails, twice; out come a, b, a, b, and the second error",
        diagram(ops.retry(2), "-a--b---#"),
    )
    yield Picture(
        "on_error_resume_next",
        "Goes on with the next source however the one before ended, with an error or without: a `concat` that does not "
        "mind.",
        "the first source fails after a, the second completes after b; c of the third follows all the same",
        diagram(reactivex.on_error_resume_next, "-a---#", "-b---|", "-c---|"),
    )


def deciding() -> Iterator[Picture]:
    """Questions with an answer."""
    yield Picture(
        "all",
        "Tells whether a function says yes to every value. The first no settles it.",
        "1 and 2 are below 5, but 6 is not: False comes out, and 3 is missed",
        diagram(ops.all(lambda x: x < 5), "-1--2--6--3--|"),
    )
    yield Picture(
        "some",
        "Tells whether a function says yes to any value. The first yes settles it. Elsewhere in Rx this is `any`.",
        "6 is above 5: True comes out, and 3 is missed",
        diagram(ops.some(lambda x: x > 5), "-1--2--6--3--|"),
    )
    yield Picture(
        "contains",
        "Tells whether a value equal to that one comes.",
        "True comes out when b comes, and c is missed",
        diagram(ops.contains("b"), "-a--b--c--|"),
    )
    yield Picture(
        "default_if_empty",
        "Emits a value of its own when the source completes without any.",
        "neither 1 nor 2 is above 5, so nothing passes the filter; when the source completes, 0 comes out",
        diagram([ops.filter(lambda x: x > 5), ops.default_if_empty(0)], "-1--2--|"),
    )
    yield Picture(
        "sequence_equal",
        "Tells whether two sources emit equal values in the same order. When they do so does not matter.",
        "both sources emit a and b, at different times: True comes out when both have completed",
        diagram(ops.sequence_equal, "-a----b--|", "---a----b----|"),
    )


def aggregating() -> Iterator[Picture]:
    """One value of all."""
    yield Picture(
        "reduce",
        "Folds all values into one, and emits it when the source completes.",
        "2, 3 and 4, multiplied, come out as 24 when the source completes",
        diagram(ops.reduce(mul), "-2--3--4--|"),
    )
    yield Picture(
        "count",
        "Tells how many values there were, or to how many a function says yes.",
        "2 of 1, 4 and 5 are above 3",
        diagram(ops.count(lambda x: x > 3), "-1--4--5--|"),
    )
    yield Picture(
        "sum",
        "Adds the values up.",
        "1, 2 and 3 come out as 6 when the source completes",
        diagram(ops.sum(), "-1--2--3--|"),
    )
    yield Picture(
        "average",
        "Tells the mean of the values. It is a `float`, and where there are no values the stream fails.",
        "1, 2 and 6 come out as 3.0 when the source completes",
        diagram(ops.average(), "-1--2--6--|"),
    )
    yield Picture(
        "max",
        "Tells the largest value. `min` tells the smallest.",
        "of 1, 6 and 2, 6 comes out when the source completes",
        diagram(ops.max(), "-1--6--2--|"),
    )
    yield Picture(
        "to_list",
        "Collects all values into a list.",
        "a, b and c come out as a list when the source completes",
        diagram(ops.to_list(), "-a--b--c--|"),
    )


def sharing() -> Iterator[Picture]:
    """Several subscribers, one subscription."""
    yield Picture(
        "publish",
        "Has several subscribers share one subscription to the source. Here the stream is merged with itself, and the "
        "source still runs once: there is one line above the box. `share` does it for subscribers that come and go.",
        "the stream is merged with itself without its first value: a, then b twice, then c twice",
        diagram(ops.publish(lambda shared: reactivex.merge(shared, shared.pipe(ops.skip(1)))), "-a----b----c----|"),
    )
    yield Picture(
        "replay",
        "As `publish`, and whoever subscribes late is told the latest values first.",
        "a second subscriber comes at 8 seconds and is told b, the latest, at once; c goes to both",
        diagram(
            ops.replay(1, mapper=lambda kept: reactivex.merge(kept, kept.pipe(ops.delay_subscription(8)))),
            "-a---b-----c----|",
            label="ops.replay(1), subscribed to at 0 s and at 8 s",
        ),
    )


SECTIONS = {
    "Creating observables": creating,
    "Transforming": transforming,
    "Filtering": filtering,
    "Combining": combining,
    "Streams of streams": streams,
    "Time": time,
    "Error handling": failing,
    "Conditions": deciding,
    "Aggregating": aggregating,
    "Sharing": sharing,
}


def calls() -> list[str]:
    """The call of `diagram` for each picture, as it is written above."""
    source = Path(__file__).read_text(encoding="utf-8")
    pictures = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Picture"
    ]
    pictures.sort(key=lambda node: node.lineno)
    return [dedent(ast.get_source_segment(source, node.args[-1], padded=True) or "") for node in pictures]


def page(sections: Mapping[str, Sequence[Picture]]) -> str:
    """The page, in Markdown."""
    texts = iter(calls())
    parts = [INTRODUCTION.format(picture=image("legend", LEGEND_SHOWS))]
    for title, pictures in sections.items():
        links = ", ".join(f"[`{each.name}`](#{each.name})" for each in pictures)
        parts.append(fill(f"- {title}: {links}", 120, subsequent_indent="  ", break_on_hyphens=False))
    for title, pictures in sections.items():
        parts.append(f"\n## {title}")
        for each in pictures:
            call = f"print({next(texts)})".replace("\n", "\n... ")
            parts.append(f"\n### {each.name}\n\n{fill(each.tells, 120)}\n\n{image(each.name, each.shows)}\n")
            parts.append(f"```pycon\n>>> {call}\n{each.diagram}\n\n```")
    return "\n".join(parts) + "\n"


def image(name: str, shows: str) -> str:
    """A picture, in Markdown."""
    return fill(f"![{shows}](marbles/{name}.svg)", 120, break_long_words=False)


def written() -> dict[str, str]:
    """The files that this makes, with what is in each, by their names beside this one."""
    sections = {title: tuple(pictures()) for title, pictures in SECTIONS.items()}
    files = {"marbles.md": page(sections), "marbles/legend.svg": MarbleDiagram.parse(LEGEND).to_svg()}
    files |= {f"marbles/{each.name}.svg": each.diagram.to_svg() for each in chain.from_iterable(sections.values())}
    return files


def main() -> None:
    """Write the page and its pictures."""
    files = written()
    (DOCS / "marbles").mkdir(exist_ok=True)
    for picture in (DOCS / "marbles").glob("*.svg"):
        if f"marbles/{picture.name}" not in files:
            picture.unlink()
    for name, text in files.items():
        (DOCS / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
