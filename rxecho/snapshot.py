"""AsyncSnapshot, the latest a stream has to say: what a builder is given instead of callbacks.

On a message's way this is the last stop before drawing: `StreamBuilder` hands one to its `builder`, and
`operators.snapshots` turns a whole stream into them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AsyncSnapshot", "ConnectionState"]

T_co = TypeVar("T_co", covariant=True)


class ConnectionState(Enum):
    """Where a snapshot's reader stands with its stream. Flutter's `ConnectionState`.

    >>> AsyncSnapshot.waiting().connection_state
    <ConnectionState.WAITING: 'waiting'>
    """

    NONE = "none"
    """Not connected to any stream."""
    WAITING = "waiting"
    """Subscribed; nothing has come yet."""
    ACTIVE = "active"
    """Values are coming."""
    DONE = "done"
    """The stream has completed or failed."""


@dataclass(frozen=True, slots=True, repr=False)
class AsyncSnapshot(Generic[T_co]):
    """What is known of a stream at one moment. Flutter's `AsyncSnapshot`.

    It holds data, or an error, or neither; never both. As in Flutter, `None` is no data: a stream that
    emits `None` is `ACTIVE` and has none. Two snapshots are equal when state, data and error are.

    >>> AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!")
    AsyncSnapshot(ConnectionState.ACTIVE, data='Hello!')
    >>> AsyncSnapshot.waiting().has_data
    False

    Attributes:
        connection_state: Where the reader stands with the stream.
        data: The latest value, or `None`. It outlives the stream that brought it.
        error: What the stream failed with, or `None`.
    """

    connection_state: ConnectionState
    data: T_co | None = None
    error: Exception | None = None
    # Raising an exception lengthens its traceback, so the one it came with is kept to raise it with:
    # otherwise a builder that asks for the data of a failed stream at each frame would grow it for ever.
    _traceback: TracebackType | None = field(default=None, kw_only=True, compare=False)

    @classmethod
    def nothing(cls) -> AsyncSnapshot[T_co]:
        """No stream, no data, no error."""
        return cls(ConnectionState.NONE)

    @classmethod
    def waiting(cls) -> AsyncSnapshot[T_co]:
        """A stream that has not brought anything yet."""
        return cls(ConnectionState.WAITING)

    @classmethod
    def with_data(cls, state: ConnectionState, data: T_co) -> AsyncSnapshot[T_co]:  # type: ignore[misc]
        """The latest value, in the given state."""
        return cls(state, data)

    @classmethod
    def with_error(cls, state: ConnectionState, error: Exception) -> AsyncSnapshot[T_co]:
        """What the stream failed with, in the given state. Earlier data is gone, as in Flutter."""
        return cls(state, None, error, _traceback=error.__traceback__)

    def in_state(self, state: ConnectionState) -> AsyncSnapshot[T_co]:
        """The same data or error in another state."""
        return replace(self, connection_state=state)

    @property
    def has_data(self) -> bool:
        """Whether there is a value; an empty string or a zero is one, `None` is not."""
        return self.data is not None

    @property
    def has_error(self) -> bool:
        """Whether the stream failed."""
        return self.error is not None

    @property
    def require_data(self) -> T_co:
        """The data, for a builder that cannot do without.

        Raises:
            Exception: The error itself, if there is one.
            LookupError: There is neither data nor error.
        """
        if self.data is not None:
            return self.data
        if self.error is not None:
            raise self.error.with_traceback(self._traceback)
        raise LookupError(f"{self!r} has neither data nor error; look at has_data first")

    def __repr__(self) -> str:
        held = [f"{name}={value!r}" for name in ("data", "error") if (value := getattr(self, name)) is not None]
        return f"AsyncSnapshot({', '.join([str(self.connection_state), *held])})"
