"""The source of captures: what a live source kept (capture.py) goes through that source's own decoder once more.

The records are those of the first time, to the byte, and in their order; ts_in is when a message was due now, or at
speed ``max`` when it was dealt with. A file that breaks off gives all that is whole before that place, then ends.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from feed.clock import now_ns
from feed.config import (
    BinanceConfig,
    CoinbaseConfig,
    ItchMoldConfig,
    ItchSoupConfig,
    KrakenConfig,
    PushConfig,
    SourceConfig,
)
from feed.errors import ConfigError, SourceError
from feed.log.through import Restamped
from feed.sources.capture import CaptureFile
from feed.sources.pacing import PASS_NS, sleep_until_due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feed.config import CaptureConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.sources.capture import Entry
    from feed.sources.source import Hearing

__all__ = ["Captured"]

_SOURCES: dict[type, str] = {
    BinanceConfig: "feed.sources.binance:BinanceSource",
    ItchMoldConfig: "feed.sources.itch_mold:ItchMold",
    ItchSoupConfig: "feed.sources.itch_soup:ItchSoup",
    KrakenConfig: "feed.sources.kraken:KrakenSource",
    CoinbaseConfig: "feed.sources.coinbase:CoinbaseSource",
    PushConfig: "feed.sources.push:Push",
}
"""Whose captures can be played: the source of each kind of table."""


class Captured:
    """Plays ``config.files``, one after the other; with ``loop`` again and again, until one is damaged or a pass has no
    message. `clock`: wall ns.

    :raises ConfigError: a file is not there.
    :raises SourceError: a file is no capture.
    """

    def __init__(
        self, name: str, config: CaptureConfig, sink: Sink, counters: Counters, *, clock: Callable[[], int] = now_ns
    ) -> None:
        self.name = name
        self.error: SourceError | None = None
        self.finished = False
        self._config = config
        self._sink = Restamped(sink)
        self._counters = counters
        self._clock = clock
        self._paths = [self._path(file) for file in config.files]
        self._settings = [_settings(path) for path in self._paths]
        self._sizes = [path.stat().st_size for path in self._paths]
        self._at = -1
        self._heard = self._pass_heard = 0
        self._due_ns = 0
        self._base_ns = self._began_ns = 0
        """Of the pass: when its first message was received then, and is due now."""
        self._file: CaptureFile | None = None
        self._entries: Iterator[Entry] = iter(())
        self._next: Entry | None = None
        self._decoder: Hearing | None = None
        self._next_file()

    def poll(self, limit: int) -> int:
        done = 0
        now = self._clock()
        while not self.finished and done < limit:
            assert self._decoder is not None
            n = self._decoder.poll(limit - done)
            done += n
            if self._decoder.waiting:
                break
            if self._next is None:
                self._next_file()
                continue
            self._due_ns = self._due(self._next)
            if self._due_ns > now:
                break
            self._sink.ts_in = self._due_ns
            self._decoder.hear(*self._next[::2], self._next.received_ns)
            self._heard += 1
            self._pass_heard += 1
            self._next = self._following()
        return done

    def due_ns(self) -> int:
        return self._due_ns

    def park(self, timeout_ns: int) -> None:
        full = self._decoder is not None and self._decoder.waiting
        sleep_until_due(self._due_ns, self._clock(), timeout_ns, full=full)

    def read(self) -> tuple[int, int]:
        here = 0 if self._file is None else self._file.read_bytes
        return sum(self._sizes[: self._at]) + here, sum(self._sizes)

    def progress(self) -> str:
        file, path = self._file, self._paths[min(self._at, len(self._paths) - 1)]
        share = 100.0 if file is None else 100 * file.read_bytes / max(1, file.file_bytes)
        decoder = "" if self._decoder is None else f": {self._decoder.progress()}"
        return f"{self._heard:,} messages, {share:.1f} % of {path}{decoder}"

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        if self._file is not None:
            self._file.close()
        self._decoder = self._file = None

    # --- messages ---------------------------------------------------------------------------------------------------

    def _due(self, entry: Entry) -> int:
        """When a message is due, ns since 1970; 0: at once."""
        if self._config.speed == "max":
            return 0
        if not self._base_ns:
            self._base_ns = entry.received_ns
            self._began_ns = self._clock() + (PASS_NS if self._heard else 0)
        return self._began_ns + int((entry.received_ns - self._base_ns) / self._config.factor)

    def _following(self) -> Entry | None:
        try:
            return next(self._entries, None)
        except SourceError as error:
            self.error = self.error or error
            return None

    # --- files ------------------------------------------------------------------------------------------------------

    def _next_file(self) -> None:
        """Turn to the next file that holds a message, or end."""
        self.close()
        self._at += 1
        if self._at == len(self._paths):
            if not (self._config.loop and self._pass_heard and self.error is None):
                self.finished = True
                return
            self._at = self._pass_heard = self._base_ns = 0
        self._file = CaptureFile(self._paths[self._at])
        settings = self._settings[self._at]
        make = _decoder(settings)
        assert make is not None
        self._decoder = make(self.name, settings, self._sink, self._counters)
        self._entries = iter(self._file)
        self._next = self._following()

    def _path(self, file: str) -> Path:
        if not Path(file).is_file():
            raise ConfigError(
                "there is no such file", found=file, where=f"source.{self.name}.files", remedy="Name captures"
            )
        return Path(file)


def _settings(path: Path) -> SourceConfig:
    """The table of the source whose capture it is. Raises SourceError."""
    file = CaptureFile(path)
    file.close()
    try:
        settings: SourceConfig = msgspec.convert(file.about["settings"], SourceConfig)
    except msgspec.ValidationError as error:
        raise SourceError("the capture is of another version", found=str(error), where=str(path)) from None
    if _decoder(settings) is None:
        raise SourceError("no kind of source that keeps anything", found=settings.kind, where=str(path))
    return settings


def _decoder(settings: SourceConfig) -> Callable[[str, Any, Sink, Counters], Hearing] | None:
    """What a capture of such a source goes through; None: it keeps nothing."""
    where = _SOURCES.get(type(settings))
    if where is None:
        return None
    module, _, source = where.partition(":")
    made: Callable[[str, Any, Sink, Counters], Hearing] = getattr(importlib.import_module(module), source).hearing
    return made
