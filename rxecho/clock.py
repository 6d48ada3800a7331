"""What time it is for those who measure it: the system's, or a scheduler's, which may be virtual."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

__all__ = ["clock_of"]


def clock_of(scheduler: abc.SchedulerBase | None) -> Callable[[], float]:
    """A clock that tells the seconds from now on, and never goes back.

    Args:
        scheduler: Whose time it tells; the system's monotonic time unless given.
    """
    if scheduler is None:
        begin = perf_counter()
        return lambda: perf_counter() - begin
    start = scheduler.now
    latest = 0.0

    def elapsed() -> float:
        nonlocal latest
        latest = max(latest, (scheduler.now - start).total_seconds())
        return latest

    return elapsed
