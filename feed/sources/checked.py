"""A source whose ticks are held against rules on their way into its sink (``[source.NAME.validate]``).

Ticks and limits of instruments are those of sources of kind "symbology", and of `definition` records that pass.

The rules stand between the source and whatever sink it has, for every kind of source alike
(:mod:`feed.normalize.validation`); what broke them is counted once per batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from feed.config import SymbologyConfig, duration_ns
from feed.normalize.validation import Validator
from feed.sources.source import Reading, Tally
from feed.sources.symbology import read_instruments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from feed.config import SourceConfig, ValidateTable
    from feed.errors import SourceError
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.normalize.instruments import Instrument, Instruments
    from feed.sources.source import Source

__all__ = ["Checked", "known_instruments", "validator"]


def known_instruments(sources: Iterable[SourceConfig]) -> Instruments:
    """What the files of sources of kind "symbology" say at the start. Raises SourceError."""
    return read_instruments([Path(f) for each in sources if isinstance(each, SymbologyConfig) for f in each.files])


def validator(rules: ValidateTable, sink: Sink, known: Iterable[Instrument] = ()) -> Validator:
    """A sink in front of `sink` that keeps `rules`, with the ticks and limits of `known`."""
    made = Validator(
        sink,
        rules.actions,
        band=rules.band,
        size_max=rules.size_max,
        ahead_ns=duration_ns(rules.ahead),
        behind_ns=duration_ns(rules.behind),
    )
    for each in known:
        made.know(each.symbol, each.tick, each.low, each.high)
    return made


class Checked:
    """The source that `make` gives, its ticks held against `rules`."""

    def __init__(
        self,
        make: Callable[[Sink], Source],
        rules: ValidateTable,
        sink: Sink,
        counters: Counters,
        known: Iterable[Instrument] = (),
    ) -> None:
        self._validator = validator(rules, sink, known)
        self._source = make(self._validator)
        self._tally = Tally(counters, self._source.name)
        self.name = self._source.name

    @property
    def error(self) -> SourceError | None:
        return self._source.error

    @property
    def finished(self) -> bool:
        return self._source.finished

    def poll(self, limit: int) -> int:
        n = self._source.poll(limit)
        if self._validator.broken:
            for rule, dropped, flagged in self._validator.take_broken():
                if dropped:
                    self._tally.rejected(rule, dropped)
                if flagged:
                    self._tally.flagged(rule, flagged)
        return n

    def due_ns(self) -> int:
        return self._source.due_ns()

    def park(self, timeout_ns: int) -> None:
        self._source.park(timeout_ns)

    def progress(self) -> str:
        return self._source.progress()

    def read(self) -> tuple[int, int]:
        """As of the source; nothing of nothing where it has no files."""
        return self._source.read() if isinstance(self._source, Reading) else (0, 0)

    def close(self) -> None:
        self._source.close()
