"""What every source is, for the ingest loop and for whoever writes a source of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from feed.errors import SourceError
    from feed.metrics.counters import Counter, Counters

__all__ = ["Hearing", "Reading", "Source", "Tally"]


class Source(Protocol):
    """Puts ticks into the sink it was made with, each when it is due. All of it is called from one thread.

    A source is made as ``Kind(name, config, sink, counters)``: `config` is its table of the configuration, `sink` a
    :class:`feed.log.sink.Sink` (the log, or a ring in front of it) whose ``topic(schema, symbol)`` numbers topics, and
    `counters` where it counts (see :class:`Tally`). What is wrong with the configuration raises ConfigError then, what
    is wrong with a file or a venue SourceError.
    """

    name: str

    @property
    def error(self) -> SourceError | None:
        """What broke its format, once all whole ticks before it are in; None: nothing did."""

    @property
    def finished(self) -> bool:
        """True once there is nothing more to come, ever."""

    def poll(self, limit: int) -> int:
        """Append at most `limit` ticks that are due, flush the sink once, and say how many they were. Never waits."""

    def due_ns(self) -> int:
        """When the next tick is due, in ns of the wall clock; 0: now, or not known."""

    def park(self, timeout_ns: int) -> None:
        """Sleep until the next tick is due, `timeout_ns` have passed, or a signal came."""

    def progress(self) -> str:
        """How far it is, for people: one line."""

    def close(self) -> None:
        """Give back files, sockets and memory. The sink is not the source's to close."""


class Hearing(Protocol):
    """A live source without its network: what its capture kept goes through the same decoder again.

    A live source keeps each message before it deals with it (:func:`feed.sources.capture.capture_of` gives what has
    ``keep(channel, payload, received_ns)``, or None), also the answers to its requests and, as messages of a channel of
    their own, whatever else its decoder reacts to, such as a connection that ended. Its class has a class method
    ``hearing(name, config, sink, counters)``, which gives one of these. Time is then nothing but `received_ns`.
    """

    name: str

    @property
    def waiting(self) -> bool:
        """Are there records that the sink has not taken yet?"""

    def hear(self, channel: str, payload: bytes, received_ns: int) -> None:
        """Deal with a message as it was kept, as if it came now. What it makes waits for poll()."""

    def poll(self, limit: int) -> int:
        """As of a Source: append at most `limit` of what hear() made, flush once, count."""

    def progress(self) -> str:
        """As of a Source."""

    def close(self) -> None:
        """As of a Source."""


@runtime_checkable
class Reading(Protocol):
    """A source of files, which knows how far it is."""

    name: str

    def read(self) -> tuple[int, int]:
        """Bytes of its files that it has read, and how many they have; of files that are packed, packed."""


class Tally:
    """What a source counts: once per batch, into ``tickcast_ticks_total``, ``tickcast_rejected_total`` and
    ``tickcast_flagged_total``."""

    def __init__(self, counters: Counters, source: str) -> None:
        self._counters = counters
        self._source = source
        self._ticks: dict[str, Counter] = {}
        self._rejected: dict[str, Counter] = {}
        self._flagged: dict[str, Counter] = {}

    def ticks(self, schema: str, n: int) -> None:
        """`n` ticks of `schema` are in the sink."""
        counter = self._ticks.get(schema)
        if counter is None:
            counter = self._counters.counter("tickcast_ticks_total", source=self._source, schema=schema)
            self._ticks[schema] = counter
        counter.add(n)

    def rejected(self, reason: str, n: int) -> None:
        """`n` ticks were refused; `reason` is one of a few fixed words, never a text of the venue's."""
        counter = self._rejected.get(reason)
        if counter is None:
            counter = self._counters.counter("tickcast_rejected_total", source=self._source, reason=reason)
            self._rejected[reason] = counter
        counter.add(n)

    def flagged(self, rule: str, n: int) -> None:
        """`n` ticks were put in although they break a rule of validation."""
        counter = self._flagged.get(rule)
        if counter is None:
            counter = self._counters.counter("tickcast_flagged_total", source=self._source, reason=rule)
            self._flagged[rule] = counter
        counter.add(n)
