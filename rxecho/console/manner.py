"""How a conversation is held, in the console and in plain mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rxecho.console.lines import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reactivex.subject import Subject

    from rxecho.console.lines import AsMessage
    from rxecho.expression import Pipe

__all__ = ["TEXT", "Manner"]


@dataclass(frozen=True, slots=True)
class Manner:
    """What lines are as messages, what becomes of messages before they are shown, and how they are.

    Attributes:
        as_message: What a line is as a message.
        is_json: Whether lines are JSON, and JSON that comes is indented, and coloured in a terminal.
        pings: What is told of pings and pongs, each in some words; `None` where nothing is.
        pipes: Operators that messages go through before they are shown.
    """

    as_message: AsMessage = as_text
    is_json: bool = False
    pings: Subject[str] | None = None
    pipes: Sequence[Pipe] = ()


TEXT = Manner()
