"""What changes is drawn again in place: `Live`, `StreamBuilder` and `Timeline` in a real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import Kernel, lessons_group, running_kernel

nbclient = lessons_group("nbclient")
nbconvert = lessons_group("nbconvert")
nbformat = lessons_group("nbformat")

pytestmark = pytest.mark.timeout(180)

IMPORTS = """
import threading
import time

import reactivex
from reactivex import Subject, operators as ops

from rxecho import EchoServer, Live, StreamBuilder, WebSocketChannel
from rxecho.marbles import MarbleDiagram, Timeline


def pictures():
    return sum(thread.name == "rxecho picture" for thread in threading.enumerate())


def end_of_pictures():
    for thread in threading.enumerate():
        if thread.name == "rxecho picture":
            thread.join(20)
"""


@pytest.fixture(scope="module")
def the_kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.run(IMPORTS) == []
        yield kernel


@pytest.fixture
def kernel(the_kernel: Kernel) -> Iterator[Kernel]:
    yield the_kernel
    assert the_kernel.printed("end_of_pictures(); print(pictures())") == "0"


def test_live_draws_in_place_while_messages_come_and_leaves_the_last_picture(kernel: Kernel) -> None:
    [picture] = kernel.run("""
with EchoServer() as server, WebSocketChannel.connect(server.url_for("/ticker?interval=0.3&count=4")) as channel:
    timeline = Timeline()
    with Live(timeline):
        channel.stream.pipe(ops.map(lambda _: "tick"), timeline.trace("ticker")).run()
""")
    assert picture["image/svg+xml"].count(">tick</text>") == 4
    assert re.match("ticker +├tick", picture["text/plain"])
    versions = kernel.page.versions[len(kernel.page.outputs) - 1]
    seen = [version["image/svg+xml"].count(">tick</text>") for version in versions]
    assert seen == sorted(seen)
    assert len(set(seen)) > 1


def test_live_shows_what_rich_draws_as_html_and_what_is_printed_under_it(kernel: Kernel) -> None:
    code = """
latest = Subject()
with Live(StreamBuilder(latest, lambda snapshot: f"<b>{snapshot.data}"), auto_refresh=False) as live:
    print(live.is_started)
    latest.on_next("[red]\\x1b")
    live.refresh()
    latest.on_next("last")
print(live.is_started)
"""
    shown, *printed = kernel.run(code)
    assert "&lt;b&gt;last" in shown["text/html"]
    assert shown["text/plain"] == "<b>last\n"
    first, second, third = kernel.page.versions[len(kernel.page.outputs) - len(printed) - 1]
    assert first["text/plain"] == "<b>None\n"
    assert second["text/plain"] == "<b>[red]\\e\n"
    assert third is shown
    assert "".join(one["stream"] for one in printed) == "True\nFalse\n"


def test_live_takes_markup_another_renderable_and_a_function_that_gives_one(kernel: Kernel) -> None:
    [shown] = kernel.run('with Live("[bold]a[/]") as live: live.update("b", refresh=True)')
    assert shown["text/plain"] == "b\n"
    assert "font-weight: bold" in kernel.page.versions[len(kernel.page.outputs) - 1][0]["text/html"]
    [shown] = kernel.run("with Live(get_renderable=lambda: str(6 * 7)): pass")
    assert "42" in shown["text/plain"]


def test_live_leaves_nothing_when_it_is_transient(kernel: Kernel) -> None:
    [shown] = kernel.run('with Live("a", transient=True): pass')
    assert shown == {"text/plain": ""}


def test_live_draws_what_there_is_when_the_block_fails(kernel: Kernel) -> None:
    shown, error = kernel.run("""
latest = Subject()
with Live(StreamBuilder(latest, lambda snapshot: f"{snapshot.data}")):
    latest.on_next("before")
    raise LookupError("lost")
""")
    assert shown["text/plain"] == "before\n"
    assert error["error"] == "LookupError: lost"


def test_nothing_is_sent_while_nothing_has_changed(kernel: Kernel) -> None:
    kernel.run("""
drawn, often = [], threading.Event()
def draw():
    drawn.append("same")
    if len(drawn) > 5:
        often.set()
    return "same"

with Live(get_renderable=draw, refresh_per_second=100):
    assert often.wait(20)
""")
    assert len(kernel.page.versions[len(kernel.page.outputs) - 1]) == 1


def test_a_stream_builder_is_drawn_again_after_its_cell_until_its_stream_has_ended(kernel: Kernel) -> None:
    [shown] = kernel.run("""
source = Subject()
builder = StreamBuilder(source, lambda snapshot: f"{snapshot.connection_state.value} {snapshot.data}")
builder
""")
    number = len(kernel.page.outputs) - 1
    assert shown["text/plain"] == "waiting None\n"
    kernel.run("source.on_next('first')")
    kernel.wait_for(number, "active first\n")
    assert kernel.printed("print(pictures())") == "1"
    kernel.run("source.on_next('last')\nsource.on_completed()")
    kernel.wait_for(number, "done last\n")


def test_a_stream_builder_that_gets_another_stream_goes_on(kernel: Kernel) -> None:
    kernel.run("""
builder = StreamBuilder(reactivex.of(1), lambda snapshot: f"{snapshot.data}")
builder
""")
    number = len(kernel.page.outputs) - 1
    kernel.run("end_of_pictures()\nsource = Subject()\nbuilder.stream = source")
    assert kernel.printed("print(pictures())") == "1"
    kernel.run("source.on_next(2)")
    kernel.wait_for(number, "2\n")
    kernel.run("builder.dispose()")


def test_what_is_shown_once_more_stays_as_it_was_where_it_was_before(kernel: Kernel) -> None:
    kernel.run("""
source = Subject()
builder = StreamBuilder(source, lambda snapshot: f"{snapshot.data}")
builder
""")
    number = len(kernel.page.outputs) - 1
    kernel.run("source.on_next('first')\nbuilder")
    kernel.run("source.on_next('second')\nsource.on_completed()\nend_of_pictures()")
    assert [shown["text/plain"] for shown in kernel.page.outputs[number:] if shown] == ["first\n", "second\n"]


def test_a_timeline_is_drawn_again_as_long_as_something_is_subscribed_to(kernel: Kernel) -> None:
    [shown] = kernel.run("timeline = Timeline(resolution=1)\nsource = Subject()\ntimeline")
    number = len(kernel.page.outputs) - 1
    assert ">one</text>" not in shown["image/svg+xml"]
    assert kernel.printed("print(pictures())") == "0"
    kernel.run("""
subscription = source.pipe(timeline.trace("lane")).subscribe()
source.on_next("one")
""")
    assert kernel.printed("print(pictures())") == "1"
    kernel.run("source.on_next('two')\nsubscription.dispose()\nend_of_pictures()")
    kernel.run("pass")
    assert ">two</text>" in kernel.page.outputs[number]["image/svg+xml"]
    assert kernel.page.outputs[number]["text/plain"].splitlines()[0].endswith("╎")


def test_a_diagram_is_a_picture_that_does_not_change(kernel: Kernel) -> None:
    [shown] = kernel.run('MarbleDiagram.parse("-a-|")')
    assert shown["image/svg+xml"].startswith("<svg")
    assert shown["text/plain"].splitlines()[0].split("─")[0] == "├"


def test_a_builder_that_fails_is_told_of_once_and_draws_again_when_it_can(kernel: Kernel) -> None:
    kernel.run("""
source = Subject()
tried, often = [], threading.Event()
def build(snapshot):
    tried.append(snapshot.data)
    if tried.count(0) > 3:
        often.set()
    return f"{6 // snapshot.data}"

builder = StreamBuilder(source, build, initial_data=1)
builder
""")
    number = len(kernel.page.outputs) - 1
    told = kernel.printed("source.on_next(0)\nassert often.wait(20)")
    assert told.count("ZeroDivisionError: ") == 1
    assert kernel.page.outputs[number]["text/plain"] == "6\n"
    assert kernel.printed("source.on_next(3)") == ""
    kernel.wait_for(number, "2\n")
    kernel.run("builder.dispose()")


def test_a_builder_that_cannot_draw_yet_is_told_of_once_and_drawn_when_it_can(kernel: Kernel) -> None:
    shown, told = kernel.run("""
source = Subject()
builder = StreamBuilder(source, lambda snapshot: snapshot.data.upper())
builder
""")
    assert shown["text/plain"] == "<StreamBuilder AsyncSnapshot(ConnectionState.WAITING)>"
    assert told["stream"].count("AttributeError: ") == 1
    number = len(kernel.page.outputs) - 2
    assert kernel.printed("source.on_next('hello')") == ""
    kernel.wait_for(number, "HELLO\n")
    kernel.run("builder.dispose()")


def test_a_cell_that_is_run_again_ends_what_it_had_shown(kernel: Kernel) -> None:
    kernel.run("source = Subject()")
    code = "timeline = Timeline()\nlane = source.pipe(timeline.trace()).subscribe()\ntimeline"
    for _ in range(3):
        kernel.run(code, cellId="again")
    assert kernel.printed("print(pictures())") == "1"
    kernel.run(code, cellId="another")
    assert kernel.printed("print(pictures())") == "2"
    kernel.run("source.on_completed()")


def test_what_is_to_be_drawn_after_the_block_or_before_it_is_not(kernel: Kernel) -> None:
    [shown] = kernel.run("""
live = Live("a")
live.refresh()
with live:
    pass
live.update("b", refresh=True)
""")
    assert shown["text/plain"] == "a\n"
    [shown] = kernel.run("with live: pass")
    assert shown["text/plain"] == "b\n"


def test_a_renderable_may_update_the_live_that_draws_it_while_others_do_so_too(kernel: Kernel) -> None:
    told = kernel.printed("""
class Restless:
    def __rich__(self):
        time.sleep(0.005)
        live.update(self)
        return "drawn"

live = Live(Restless(), refresh_per_second=100)
with live:
    others = [threading.Thread(target=lambda: [live.update(Restless(), refresh=True) for _ in range(20)]) for _ in "ab"]
    for other in others:
        other.start()
    for other in others:
        other.join(20)
print([other.is_alive() for other in others])
""")
    assert told == "[False, False]"


def test_a_front_end_that_is_not_known_to_draw_in_place_gets_the_last_picture_alone(kernel: Kernel) -> None:
    code = """
latest = Subject()
with Live(StreamBuilder(latest, lambda snapshot: f"{snapshot.data}")) as live:
    latest.on_next("first")
    live.refresh()
    latest.on_next("last")
"""
    [shown] = kernel.run(code, console=True)
    assert shown["text/plain"] == "last\n"
    assert len(kernel.page.outputs) - 1 not in kernel.page.versions
    assert kernel.run('with Live("a", transient=True): pass', console=True) == []


def test_there_the_value_of_a_cell_is_drawn_once(kernel: Kernel) -> None:
    code = "timeline = Timeline()\nsource = Subject()\nlane = source.pipe(timeline.trace('lane')).subscribe()\n"
    [shown] = kernel.run(code + "timeline", console=True)
    assert shown["text/plain"].splitlines()[0].startswith("lane ")
    kernel.run("lane.dispose()")
    builder = "StreamBuilder(reactivex.of(1), lambda snapshot: str(snapshot.data))"
    [shown] = kernel.run(builder, console=True)
    assert shown["text/plain"] == "1\n"
    assert len(kernel.page.outputs) - 1 not in kernel.page.versions


def test_who_reads_a_notebook_without_running_it_sees_the_last_picture(tmp_path: Path) -> None:
    code = """
from reactivex import Subject
from rxecho import Live, StreamBuilder
latest = Subject()
with Live(StreamBuilder(latest, lambda snapshot: f"picture {snapshot.data}")) as live:
    for number in (1, 2, 3):
        latest.on_next(number)
        live.refresh()
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    assert re.findall(r"picture \d", page) == ["picture 3"]


def test_two_lives_have_a_picture_each(kernel: Kernel) -> None:
    shown = kernel.run('with Live("a"), Live("b"): pass')
    assert [one["text/plain"] for one in shown] == ["a\n", "b\n"]


def test_a_live_that_is_stopped_twice_or_never_started_does_nothing_more(kernel: Kernel) -> None:
    [shown] = kernel.run('live = Live("a")\nlive.stop()\nlive.start()\nlive.start()\nlive.stop()\nlive.stop()')
    assert shown["text/plain"] == "a\n"
