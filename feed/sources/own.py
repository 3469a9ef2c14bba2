"""The source of kind "python:package.module:Class": turns a user's own class (base.py) as the feed turns its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from feed import classes
from feed.clock import now_ns
from feed.errors import LogSpace, SourceError, SymbolError
from feed.sources import pushed
from feed.sources.pacing import Rate, sleep_full
from feed.sources.pushed import Pushed
from feed.sources.source import Tally
from feed.wire.records import BY_ID
from feed.wire.topics import check_symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import PythonConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.sources.base import Source

__all__ = ["Own"]

log = logging.getLogger("tickcast.ingest")

_T = TypeVar("_T")


class Own:
    """Makes ``config.class_`` with ``config.settings``. `clock`: wall ns.

    :raises ConfigError: there is no such class, or it does not take these settings.
    :raises SourceError: its constructor or a method raised; the log has the traceback.
    """

    error: SourceError | None = None

    def __init__(
        self, name: str, config: PythonConfig, sink: Sink, counters: Counters, *, clock: Callable[[], int] = now_ns
    ) -> None:
        self.name = name
        self._clock = clock
        self._sink = sink
        self._tally = Tally(counters, name)
        self._pushed = Pushed(sink, counters.histogram("tickcast_latency_seconds", stage="venue", transport=name))
        self._waiting: list[tuple[int, bytes]] = []
        self._done = 0
        self._rate = Rate(clock)
        self._label = config.class_
        cls = classes.find(config.class_, f"source.{name}.kind")
        settings = classes.settings_of(cls, config.settings, f"source.{name}")
        self._source: Source = self._call("constructor", lambda: cls(**settings))
        self._source.name = name

    @property
    def finished(self) -> bool:
        return self._source._ended and not self._waiting and not self._pushed.left

    def poll(self, limit: int) -> int:
        if not self._pushed.left and not self._waiting and not self._source._ended:
            self._call("poll()", self._source.poll)
            self._waiting = self._source._take()
        done = 0
        while done < limit and (self._pushed.left or self._waiting):
            if not self._pushed.left:
                self._begin(*self._waiting.pop(0))
            done += self._pushed.pour(limit - done)
            if self._pushed.full:
                break
        if done:
            self._pushed.flush()
            self._done += done
            for schema_id, n in self._pushed.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, n)
        return done

    def due_ns(self) -> int:
        return 0

    def park(self, timeout_ns: int) -> None:
        if self._pushed.left:
            sleep_full(self._clock(), timeout_ns)
        else:
            self._call("wait()", lambda: self._source.wait(timeout_ns / 1e9))

    def progress(self) -> str:
        rate = self._rate.look(self._done)
        return f"{self._done:,} records of {self._label}, {rate:,.0f}/s"

    def close(self) -> None:
        self._call("close()", self._source.close)

    def _begin(self, count: int, content: bytes) -> None:
        """Make a body the one at hand; if the log has no room for one of its topics, all of it is refused and
        counted."""
        found = self._pushed.take(content, 0, count, 0)
        if found == pushed.NEEDS_TOPICS:
            try:
                for symbol, schema_id, _ in self._pushed.missing():
                    topic = self._sink.topic(BY_ID[schema_id].word, check_symbol(symbol.decode("ascii")))
                    self._pushed.bind(symbol, schema_id, topic)
            except (LogSpace, SymbolError):
                self._tally.rejected("topic_refused", count)
                return
            found = self._pushed.take(content, 0, count, 0)
        assert not found, "the base class makes sound bodies"
        self._pushed.stamp(self._clock())

    def _call(self, what: str, of: Callable[[], _T]) -> _T:
        try:
            return of()
        except Exception as error:
            log.exception("source %s: %s of %s raised", self.name, what, self._label)
            raise SourceError(
                f"{what} of {self._label} raised", found=f"{type(error).__name__}: {error}", where=f"source.{self.name}"
            ) from error
