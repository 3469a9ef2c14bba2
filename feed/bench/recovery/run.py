"""The measurements, one after the other. `run` is the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from feed.bench.recovery import append, catchup, fill, join, restart, stalled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from feed.bench.recovery.plan import Options
    from feed.bench.recovery.result import Row

__all__ = ["run"]

_MEASURES: Final[Mapping[str, Callable[[Options, Callable[[str], None]], list[Row]]]] = {
    "join": join.measure,
    "fill": fill.measure,
    "stalled": stalled.measure,
    "append": append.measure,
    "catchup": catchup.measure,
    "restart": restart.measure,
}


def run(options: Options, progress: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Measure; `progress` is told in a few words what comes next.

    :raises ConfigError: an option that is none.
    :raises HostError: a process failed, or this machine lacks what is needed; the remedy is in the text.
    """
    options.check()
    return [row for name in options.only for row in _MEASURES[name](options, progress)]
