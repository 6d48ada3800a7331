"""The command line: what was asked for, checked, and handed to the console, plain mode or the practice server.

The click commands below only read: each returns a task, which `main` does. It turns the way that ended into an
exit status and, where something went wrong, one sentence on standard error. What a task needs is imported when
it begins: `rxecho --version` waits for click alone.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from rxecho import __version__
from rxecho.errors import ChannelClosed, ChannelError
from rxecho.printable import printable

if TYPE_CHECKING:
    import ssl

    from reactivex import Observable
    from reactivex.subject import Subject

    from rxecho.console.lasting import Channel
    from rxecho.console.manner import Manner
    from rxecho.expression import Pipe
    from rxecho.recording.recorder import Recorder
    from rxecho.server import EchoServer

__all__ = ["main"]

Task = Callable[[], int]
"""What a command asks for; it returns the exit status."""

Options = dict[str, Any]
"""Arguments of `WebSocketChannel.connect`."""

Connect = Callable[[str, Options], "Channel"]

Talk = Callable[..., int]
"""Connect to a URL, with options, and talk until the end; it returns the exit status."""

FAILED = 1
INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Do what `rxecho` is asked to, and return its exit status.

    0 is a normal end (closed by the user, or by the peer with 1000, 1001 or no code), 1 a connection that could
    not be made, was lost, or was closed with another code, 2 wrong usage, 130 an interrupted plain mode. What went
    wrong is said in one sentence on standard error.

    Args:
        args: The arguments after the command's name; the process's own unless given.

    >>> main(["--version"])
    rxecho 0.1.0
    0
    """
    if args is None:
        # The process is ours, and on its way out need not search every module for garbage.
        atexit.register(gc.freeze)
    try:
        asked: Task | int = rxecho.main(args, prog_name="rxecho", standalone_mode=False)
        # --help and --version are done already, and this is their status.
        return asked if isinstance(asked, int) else asked()
    except click.ClickException as error:
        what = error.format_message().rstrip(".").replace(". Did you mean", ": did you mean")
        seek = f"; see '{error.ctx.command_path} --help'" if isinstance(error, click.UsageError) and error.ctx else ""
        _say(what[:1].lower() + what[1:] + ("" if what.endswith("?") else seek))
        return error.exit_code
    except ChannelError as error:
        # Behind the last semicolon is what to try; before it, and in a close reason, there may be anything.
        what, semicolon, advice = str(error).rpartition("; ")
        if not isinstance(error, ChannelClosed):
            for argument, option in _ADVICE.items():
                advice = advice.replace(argument, option)
        _say(f"{what}{semicolon}{advice}")
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except OSError as error:
        # Let what is left in the buffer go nowhere when the interpreter flushes it on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(f"standard output cannot be written: {error.strerror}")
        return FAILED


# What the library's errors advise, in words of the command line.
_ADVICE = {
    "with an ssl.SSLContext that loads it": "with --ca FILE",
    "with an ssl.SSLContext that has loaded one": "with --cert FILE",
    "connect_timeout": "--connect-timeout",
    "max_message_size": "--max-size",
    'proxy=""': "--proxy ''",
}


def _say(text: str) -> None:
    """Put `text` on standard error as one sentence on one line, whatever a peer has put into it."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"rxecho: {printable(' '.join(text.split()))}", file=sys.stderr, flush=True)


def _text(value: str) -> str:
    """What goes to the server, as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter("it is not UTF-8") from error
    return value


def _header(value: str) -> tuple[str, str]:
    name, colon, content = _text(value).partition(":")
    if not name or not colon:
        raise click.BadParameter(f"{value!r} is not a header, which is written as 'NAME: VALUE'")
    return name, content.strip(" \t")


def _credentials(value: str) -> str:
    """HTTP Basic authentication: RFC 7617, section 2."""
    if ":" not in _text(value):
        raise click.BadParameter("it has no colon, and is written as USER:PASSWORD")
    return f"Basic {b64encode(value.encode()).decode()}"


def _whole_number(least: int, most: float = inf) -> Callable[[str | int], int]:
    limits = f"of at least {least}" if most == inf else f"from {least} to {most}"

    def read(value: str | int) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise click.BadParameter(f"{value!r} is not a whole number {limits}")
        return number

    return read


def _seconds(value: str | float) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = nan
    if not seconds >= 0:
        raise click.BadParameter(f"{value!r} is not a number of seconds")
    return seconds


def _timeout(value: str | float) -> float:
    if not (seconds := _seconds(value)):
        raise click.BadParameter("it has to be more than 0 seconds")
    return seconds


def _speed(value: str | float) -> float:
    if not (speed := _seconds(value)):
        raise click.BadParameter("it has to be more than 0")
    return speed


def _pipe(value: str | Pipe) -> str | Pipe:
    # At Tab nothing of what is written so far is to be run.
    if not isinstance(value, str) or click.get_current_context().resilient_parsing:
        return value
    from rxecho.expression import ExpressionError, pipe

    try:
        return pipe(value)
    except ExpressionError as error:
        raise click.BadParameter(str(error)) from error


class _Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if "://" in args[0] and not ctx.resilient_parsing:
            ctx.fail(f"to connect to a server, write 'rxecho connect {args[0]}'")
        return super().resolve_command(ctx, args)


_FILE = click.Path(exists=True, dir_okay=False, readable=True)
_Command = TypeVar("_Command", bound=Callable[..., Task])
_Server = TypeVar("_Server", bound="EchoServer")


def _talk_options(command: _Command) -> _Command:
    for option in reversed(_TALK_OPTIONS):
        command = option(command)
    return command


_PLAIN = click.option("--plain", is_flag=True, help="Plain mode, also on a terminal.")
_PIPE = click.option(
    "-p",
    "--pipe",
    "pipes",
    multiple=True,
    type=_pipe,
    metavar="EXPR",
    help="Put an operator between what is received and what is shown: a Python expression with ops and rx "
    "(reactivex) in reach, such as 'ops.map(str.upper)'. May be repeated; Ctrl+T shows a lane for each.",
)
# In the order of --help: what is sent, when plain mode ends, what is shown, and what is kept.
_TALK_OPTIONS = (
    click.option(
        "-x",
        "--execute",
        multiple=True,
        type=_text,
        metavar="MESSAGE",
        help="Send this after connecting instead of reading standard input, in plain mode. May be repeated.",
    ),
    click.option(
        "-w",
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help="In plain mode, end when nothing has arrived for so long after the end of the input: 0.5 unless "
        "this or -n is given, 0 waits for nothing, inf until the server closes.",
    ),
    click.option(
        "-n",
        "--count",
        type=_whole_number(1),
        metavar="COUNT",
        help="In plain mode, end as soon as so many messages came; without -w, not before that.",
    ),
    _PLAIN,
    click.option(
        "--json",
        is_flag=True,
        help="Send JSON, on several lines where it takes them, and show JSON that comes indented and coloured.",
    ),
    click.option("--binary", is_flag=True, help="Send binary messages, written as hex."),
    _PIPE,
    click.option("--show-ping-pong", is_flag=True, help="Tell of each ping and pong; on standard error in plain mode."),
    click.option(
        "--reconnect",
        is_flag=True,
        help="Connect again when the connection could not be made or is lost, or the server restarts, until closed.",
    ),
    click.option(
        "--record",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Record all that is sent and received into FILE, which must not exist: see 'rxecho replay'.",
    ),
    click.option("--no-history", is_flag=True, help="Neither recall lines of earlier runs nor keep those of this one."),
)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[COMMAND]",
    epilog="Exit status: 0 normal end, 1 connection not made, lost, or closed with an error, 2 wrong usage, "
    "130 interrupted.",
)
@_talk_options
@click.version_option(__version__, message="rxecho %(version)s")
@click.pass_context
def rxecho(ctx: click.Context, /, **talking: Any) -> Task:
    """Connect, listen, send, close: a WebSocket in a terminal.

    Without a COMMAND this is the demo: a practice server on a free port of this machine, and a console connected
    to it. There, /ping [text], /pong [text] and /close [code [reason]] are commands, and // sends a slash. Where
    standard input or output is not a terminal, lines of input are messages, and messages are lines of output.
    """
    if ctx.invoked_subcommand and any(
        ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in talking
    ):
        raise click.UsageError(f"options of {ctx.invoked_subcommand} are written after its name", ctx)
    talk = _way_to_talk(**talking)
    return lambda: _demo(talk)


@rxecho.command(
    epilog="""\b
Examples:
  rxecho connect wss://example.org/chat -s chat -H 'Cookie: a=b'
  rxecho connect ws://127.0.0.1:8765/ -x hello -n 1    send one, wait for one
  rxecho connect ws://127.0.0.1:8765/ticker --plain -w inf | head -3
"""
)
@click.argument("url", type=_text)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    type=_header,
    metavar="'NAME: VALUE'",
    help="A header for the opening handshake. May be repeated.",
)
@click.option("-o", "--origin", type=_text, metavar="ORIGIN", help="The Origin header; none unless given.")
@click.option(
    "-s",
    "--subprotocol",
    "protocols",
    multiple=True,
    type=_text,
    metavar="NAME",
    help="A subprotocol to offer, the preferred one first. May be repeated.",
)
@click.option(
    "--auth",
    type=_credentials,
    metavar="USER:PASSWORD",
    help="HTTP Basic authentication.",
)
@click.option("--ca", type=_FILE, metavar="FILE", help="Trust the PEM certificates in FILE, not the system's (wss://).")
@click.option("--cert", type=_FILE, metavar="FILE", help="The client's PEM certificate (wss://).")
@click.option("--key", type=_FILE, metavar="FILE", help="Its private key, where that is not in the same file.")
@click.option("-k", "--insecure", is_flag=True, help="Do not verify the server's certificate (wss://).")
@click.option(
    "--proxy",
    type=_text,
    metavar="URL",
    help="The HTTP proxy, '' for none; the environment's unless given, never for this machine.",
)
@click.option("--no-compression", is_flag=True, help="Do not offer to compress messages (permessage-deflate).")
@_talk_options
@click.option(
    "--ping-interval",
    type=_seconds,
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two pings that keep the connection alive; 0 or inf sends none at all.",
)
@click.option(
    "--connect-timeout",
    type=_timeout,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="For name look-up, TCP, proxy, TLS and handshake together.",
)
@click.option(
    "--max-size",
    type=_whole_number(1),
    default=16 * 2**20,
    show_default=True,
    metavar="BYTES",
    help="The largest message to accept.",
)
def connect(
    url: str,
    headers: tuple[tuple[str, str], ...],
    origin: str | None,
    protocols: tuple[str, ...],
    auth: str | None,
    ca: str | None,
    cert: str | None,
    key: str | None,
    insecure: bool,
    proxy: str | None,
    no_compression: bool,
    ping_interval: float,
    connect_timeout: float,
    max_size: int,
    **talking: Any,
) -> Task:
    """Connect to a server: a ws:// or wss:// URL.

    In the console, /ping [text], /pong [text] and /close [code [reason]] are commands, and // sends a slash.
    """
    if auth is not None:
        if any(name.lower() == "authorization" for name, _ in headers):
            raise click.UsageError("--auth and an Authorization header exclude each other")
        headers = (*headers, ("Authorization", auth))
    talk = _way_to_talk(**talking)
    options: Options = {
        "headers": headers,
        "origin": origin,
        "protocols": protocols,
        "ssl": _client_tls(ca, cert, key, insecure=insecure),
        "proxy": proxy,
        "compression": None if no_compression else "deflate",
        "ping_interval": ping_interval if 0 < ping_interval < inf else None,
        "connect_timeout": connect_timeout,
        "max_message_size": max_size,
    }
    return lambda: talk(url, options)


@rxecho.command(
    epilog="Paths: / and /echo echo; /broadcast sends to everybody there; /ticker?interval=&count=&seed= pushes "
    "quotes; /slow?delay= echoes late; /flaky?after= drops the connection; /close?code=&reason= closes at once."
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address to listen on.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=_whole_number(0, 65535),
    metavar="PORT",
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--cert", type=_FILE, metavar="FILE", help="The server's PEM certificate, for wss://.")
@click.option("--key", type=_FILE, metavar="FILE", help="Its private key, where that is not in the same file.")
def serve(host: str, port: int, cert: str | None, key: str | None) -> Task:
    """Run the practice server until Ctrl+C."""
    tls = _server_tls(cert, key)

    def task() -> int:
        from rxecho.server import EchoServer

        return _serve(EchoServer(host, port, ssl=tls))

    return task


@rxecho.command(
    epilog="""\b
Examples:
  rxecho connect wss://example.org/ --record session.jsonl
  rxecho replay session.jsonl --speed 10        the console, ten times as fast
  rxecho replay session.jsonl --speed inf | wc  what was received, at once
  rxecho replay session.jsonl --serve           the server's side, to a client
"""
)
@click.argument("file", type=_FILE)
@click.option(
    "--speed", type=_speed, default=1.0, show_default=True, metavar="N", help="How many times as fast; inf for at once."
)
@click.option("--url", metavar="PART", help="Of several WebSockets in a HAR, the one whose URL has this in it.")
@click.option("--serve", is_flag=True, help="Play the server's side to any client, until Ctrl+C.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="With --serve: where to listen.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=_whole_number(0, 65535),
    metavar="PORT",
    help="With --serve: the port to listen on; 0 takes a free one.",
)
@_PLAIN
@click.option("--json", is_flag=True, help="Show JSON indented and coloured.")
@_PIPE
def replay(file: str, speed: float, url: str | None, serve: bool, host: str, port: int, **showing: Any) -> Task:
    """Replay a recorded session in the console.

    FILE is what --record wrote, or a HAR that a browser's developer tools saved. Both sides are played again on this
    machine, at the recorded times, to the recorded end.
    """
    if serve:
        return lambda: _serve_recorded(file, host, port, speed, url)
    return lambda: _replay(file, speed, url, showing)


def _serve_recorded(file: str, host: str, port: int, speed: float, url: str | None) -> int:
    from rxecho.recording import RecordingError, ReplayServer

    try:
        server = ReplayServer(file, host, port, speed=speed, url=url)
    except RecordingError as error:
        raise click.ClickException(str(error)) from error
    return _serve(server)


def _replay(file: str, speed: float, url: str | None, showing: dict[str, Any]) -> int:
    from rxecho.recording import RecordingError, ReplayServer, read
    from rxecho.recording import replay as replayed

    try:
        with ExitStack() as running:
            server = _start(running, ReplayServer(file, speed=speed, url=url, whole=True))
            shown = read(file, url=url).header.url or file
            script = replayed(file, speed, sent=True, url=url)
            talk = _way_to_talk(**_AS_USUAL | showing)
            try:
                return talk(server.url, {"ping_interval": None}, shown=shown, script=script)
            except ChannelError:
                if server.damage:  # which is why the server went away
                    raise server.damage from None
                raise
    except RecordingError as error:
        raise click.ClickException(str(error)) from error


# What belongs to speaking has no meaning there.
_AS_USUAL: dict[str, Any] = {
    "execute": (),
    "wait": None,
    "count": None,
    "binary": False,
    "show_ping_pong": False,
    "reconnect": False,
    "record": None,
    "no_history": True,
}


class _MarblesCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            ctx.fail(f"{error.format_message().rstrip('.')}: marbles are written after --, as in -- '-a-b-|'")


@rxecho.command(
    cls=_MarblesCommand,
    epilog="""\b
Examples:
  rxecho marbles 'ops.debounce(2)' -- '-a--b----c-|'
  rxecho marbles ops.merge -- '-a---b-|' '--c---d-|'
  rxecho marbles 'ops.flat_map(lambda x: cold("x-x|"))' --svg flat_map.svg -- '-a---b-|'
""",
)
@click.argument("expression", type=_text)
@click.argument("sources", nargs=-1, type=_text)
@click.option("--svg", type=click.Path(dir_okay=False), metavar="FILE", help="Write the diagram to FILE, as SVG.")
def marbles(expression: str, sources: tuple[str, ...], svg: str | None) -> Task:
    """Draw what an operator does to marbles.

    EXPRESSION is Python, with ops and rx (reactivex) in reach, and cold("-a-|") for inner observables. SOURCES are
    written after -- in RxPY's marble syntax: - one second, | the end, # an error, (a,b) at once. With several
    sources, EXPRESSION is a function of them, such as ops.merge.
    """
    return lambda: _draw_marbles(expression, sources, svg)


def _draw_marbles(expression: str, sources: tuple[str, ...], svg: str | None) -> int:
    from rich.console import Console

    from rxecho.expression import ExpressionError, evaluate
    from rxecho.marbles import cold, diagram
    from rxecho.marbles.virtual import parts

    try:
        operator = evaluate(expression, {"cold": cold})
        drawn = diagram(operator, *sources, label=parts(expression.strip(), operator))
    except ExpressionError as error:
        raise click.UsageError(str(error)) from error
    except Exception as error:  # the user's own function, called with observables
        raise click.UsageError(f"in {expression!r}: {error}") from error
    if svg is None:
        Console().print(drawn)
        return 0
    try:
        Path(svg).write_text(drawn.to_svg(), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{svg} cannot be written: {error.strerror}") from error
    return 0


@rxecho.command(
    epilog="""\b
Examples:
  rxecho lessons                  into a folder named rxecho-lessons
  rxecho lessons ~/streams
"""
)
@click.argument("directory", type=click.Path(file_okay=False), default="rxecho-lessons", metavar="[DIR]")
def lessons(directory: str) -> Task:
    """Copy a course on streams and sinks, nine notebooks and their solutions, into DIR.

    DIR is made where there is none. What is there already stays as it is, such as a notebook that was worked on.
    """
    return lambda: _copy_lessons(Path(directory))


def _copy_lessons(directory: Path) -> int:
    from importlib.util import find_spec
    from shlex import quote

    from rxecho.lessons import copy_to

    try:
        copied, there = copy_to(directory)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f"{error.filename or directory} cannot be written: {reason}") from error
    kept = f"; {there} that were there already stayed as they are" if there else ""
    print(f"Copied {copied} notebooks into {printable(str(directory))}{kept}.")
    python = quote(sys.executable)  # whichever one a shell may find by that name
    if not find_spec("jupyterlab"):
        pip = f"{python} -m pip install" if find_spec("pip") else f"uv pip install --python {python}"
        print(f"They want JupyterLab, in the same environment as rxecho: {pip} jupyterlab")
    folder = f"./{directory}" if str(directory).startswith("-") else str(directory)
    print(f"Open them with: {python} -m jupyter lab {printable(quote(folder))}")
    print("or in VS Code; begin with 01-connect-listen-send-close.ipynb.", flush=True)
    return 0


@rxecho.command(
    epilog="""\b
To have it in every new shell:
  bash   rxecho completion bash >> ~/.bashrc
  zsh    rxecho completion zsh >> ~/.zshrc
  fish   rxecho completion fish > ~/.config/fish/completions/rxecho.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
def completion(shell: str | None) -> Task:
    """Print what makes a shell complete commands, options and files.

    SHELL is that of $SHELL unless given.
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell or Path(os.environ.get("SHELL", "")).name)
    if script is None:
        raise click.UsageError("there is no completion for this shell: name bash, zsh or fish")
    source = script(rxecho, {}, "rxecho", "_RXECHO_COMPLETE").source()
    return lambda: _print(source)


def _print(text: str) -> int:
    print(text, flush=True)
    return 0


def _way_to_talk(
    *,
    execute: tuple[str, ...],
    wait: float | None,
    count: int | None,
    plain: bool,
    json: bool,
    binary: bool,
    pipes: tuple[Pipe, ...],
    show_ping_pong: bool,
    reconnect: bool,
    record: str | None,
    no_history: bool,
) -> Talk:
    """The console where somebody sits at a terminal, plain mode everywhere else."""
    from rxecho.console import lines
    from rxecho.console.manner import Manner

    if json and binary:
        raise click.UsageError("--json and --binary exclude each other")
    as_message = lines.as_json if json else lines.as_hex if binary else lines.as_text
    manner = Manner(as_message, is_json=json, pings=_pings() if show_ping_pong else None, pipes=pipes)
    connect = partial(_open, reconnect=reconnect, record=record, pings=manner.pings)
    if not (plain or execute) and _on_terminal():
        if wait is not None or count is not None:
            raise click.UsageError("-w and -n belong to plain mode: write --plain, too")
        history = None if no_history else Path(click.get_app_dir("rxecho"), "history")
        return partial(_talk_in_console, connect=connect, manner=manner, history=history)
    if wait is None:
        # Who says how many messages are wanted has said when to end.
        wait = 0.5 if count is None else inf
    try:
        messages = [as_message(message) for message in execute]
    except (lines.Mistake, lines.Unfinished) as error:
        raise click.UsageError(f"of what -x is to send, {error}") from error
    return partial(_talk_plainly, connect=connect, manner=manner, messages=messages, wait=wait, count=count)


def _on_terminal() -> bool:
    standard = (sys.stdin, sys.stdout)
    return os.environ.get("TERM") != "dumb" and all(file is not None and file.isatty() for file in standard)


def _talk_in_console(
    url: str,
    options: Options,
    *,
    connect: Connect,
    manner: Manner,
    history: Path | None,
    shown: str | None = None,
    script: Observable[Any] | None = None,
) -> int:
    from rxecho.console import app

    return app.run(
        connect(url, options),
        url=shown or url,
        verified=not _is_unverified(url, options),
        pings=options.get("ping_interval", True) is not None,
        manner=manner,
        history=history,
        script=script,
    )


def _talk_plainly(
    url: str,
    options: Options,
    *,
    connect: Connect,
    manner: Manner,
    messages: Sequence[str | bytes],
    wait: float,
    count: int | None,
    shown: str | None = None,  # noqa: ARG001 - only messages are
    script: Observable[Any] | None = None,
) -> int:
    from rxecho.console import plain

    channel = connect(url, options)
    if _is_unverified(url, options):
        _say("the server's certificate is not verified")
    try:
        return plain.run(channel, messages=script or messages, wait=wait, count=count, manner=manner, tell=_say)
    except (plain.StandardStreamError, plain.PipeError) as error:
        raise click.ClickException(str(error)) from error


def _open(url: str, options: Options, *, reconnect: bool, record: str | None, pings: Subject[str] | None) -> Channel:
    from rxecho.channel import WebSocketChannel, connector, open_channel

    try:
        if not (reconnect or record or pings):
            return WebSocketChannel.connect(url, **options)
        connect = connector(url, **options)  # which judges the URL, before there is a file
        recorder = _recorder(record) if record else None

        def prepare(channel: Channel) -> None:
            """Before it connects, so that nothing is missed."""
            if recorder and isinstance(channel, WebSocketChannel):
                recorder(channel)
            if pings:
                from rxecho.console.pings import tell_of_pings

                tell_of_pings(channel, pings.on_next)

        if not reconnect:
            return connect(prepare)
        from rxecho.console.lasting import LastingChannel

        channels = open_channel(url, **options)
        lasting = LastingChannel(recorder(channels) if recorder else channels)
        prepare(lasting)
        return lasting
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except (OSError, RuntimeError) as error:
        raise click.ClickException(f"the system has nothing left to connect with: {error}") from error


def _pings() -> Subject[str]:
    """What is told of pings before anybody listens is kept."""
    from reactivex.subject import ReplaySubject

    return ReplaySubject(100)


def _recorder(file: str) -> Recorder:
    from rxecho.recording import RecordingError, record

    try:
        return record(file)
    except RecordingError as error:
        raise click.UsageError(str(error)) from error


def _is_unverified(url: str, options: Options) -> bool:
    tls: ssl.SSLContext | None = options.get("ssl")
    return url.lower().startswith("wss:") and tls is not None and not tls.verify_mode


def _demo(talk: Talk) -> int:
    from rxecho.server import EchoServer

    with ExitStack() as running:
        return talk(_start(running, EchoServer()).url, {})


def _serve(server: EchoServer) -> int:
    with suppress(KeyboardInterrupt), ExitStack() as running:
        _start(running, server)
        print(f"Listening on {server.url}", flush=True)
        server.serve_forever()
    return 0


def _start(running: ExitStack, server: _Server) -> _Server:
    try:
        running.enter_context(server)
    except OSError as error:
        reason = (error.strerror or str(error)).rpartition(": ")[2]
        raise click.ClickException(f"the server cannot listen: {reason}; try another --host or --port") from error
    return server


def _client_tls(ca: str | None, cert: str | None, key: str | None, *, insecure: bool) -> ssl.SSLContext | None:
    """What the TLS options ask for; `None` where they ask for nothing."""
    if ca and insecure:
        raise click.UsageError("--ca and --insecure exclude each other")
    if not (ca or cert or key or insecure):
        return None
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise click.UsageError(f"--ca {ca} holds no certificate in PEM form") from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _present(context, cert, key)
    return context


def _server_tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if not (cert or key):
        return None
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _present(context, cert, key)
    return context


def _present(context: ssl.SSLContext, cert: str | None, key: str | None) -> None:
    """Let `context` show a certificate to the other side, where there is one."""
    if not cert:
        if key:
            raise click.UsageError("--key needs the certificate it belongs to: give that with --cert")
        return

    def password() -> str:
        # Without this, OpenSSL would ask at the terminal.
        raise click.UsageError(f"the key in {key or cert} is encrypted: decrypt it first")

    try:
        context.load_cert_chain(cert, key, password)
    except OSError as error:
        files = f"--cert {cert} and --key {key} do" if key else f"--cert {cert} does"
        raise click.UsageError(
            f"{files} not hold a certificate and the private key that belongs to it, in PEM form"
        ) from error
