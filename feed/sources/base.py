"""A source of your own, inside the feed: derive a class, name it in the configuration.

    # prices.py                                     # feed.toml
    from feed.sources import Source                 [source.prices]
                                                    kind = "python:prices:Prices"
    class Prices(Source):                           url = "wss://..."
        def __init__(self, url: str, depth: int = 10) -> None:
            ...

        def poll(self) -> None:
            for each in self.socket.what_is_there():
                self.trade(each.symbol, price=each.price, size=each.size)

The table's other keys are the constructor's arguments, checked against its names and types before the feed starts. For
a process of its own instead, in any language: feed.push.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from feed.clock import now_ns
from feed.wire.batching import Batch, bodies
from feed.wire.fields import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from typing_extensions import Buffer

__all__ = ["Source"]


class Source:
    """Base of users' own sources. All of it is called from one thread, which other agents may share: never block in
    `poll`.

    What is put in by `tick`, `trade`, `quote` and `records` goes into the log, in that order, when `poll` returns; it
    is called again only when all of it is in. Whatever `poll` raises ends ingest, which is then started again, and with
    it this source: constructor first. `name`: that of its table.
    """

    name: str = ""
    _batch: Batch | None = None
    _ready: list[tuple[int, bytes]]
    _ended = False

    # --- yours ------------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Put in what there is now, some hundred ticks at a time, and return. To be overridden."""
        raise NotImplementedError(f"{type(self).__name__} has no poll()")

    def wait(self, timeout_s: float) -> None:
        """Sleep until there may be more, at most `timeout_s`; called after a poll that put in nothing. Default: 1
        ms."""
        time.sleep(min(timeout_s, 0.001))

    def close(self) -> None:
        """Give back sockets and files. Default: nothing."""

    # --- for you to call --------------------------------------------------------------------------------------------

    def trade(self, symbol: str, **fields: Any) -> None:
        """``price``, ``size``, ``side``, ...: see `tick`."""
        self.tick("trade", symbol, **fields)

    def quote(self, symbol: str, **fields: Any) -> None:
        """``bid_px``, ``ask_px``, ``bid_sz``, ``ask_sz``, ...: see `tick`."""
        self.tick("quote", symbol, **fields)

    def tick(self, schema: str, symbol: str, **fields: Any) -> None:
        """One record of any schema, its fields as feed/wire/fields.py says: prices exact as text, Decimal, whole number
        or ``price_raw`` in 1e-9, rounded to 1e-9 as float. ``ts_event`` is now, unless given.

        :raises CallerError: a field or the symbol is wrong; nothing was put in.
        """
        fields.setdefault("ts_event", now_ns())
        record = encode(schema, fields)
        if self._batch is None:
            self._batch = Batch()
        self._batch.add(symbol, record)
        if self._batch.full:
            self._seal()

    def records(
        self,
        records: np.ndarray[Any, Any] | Buffer,
        symbols: str | Sequence[str] | np.ndarray[Any, Any],
        *,
        schema: str = "",
    ) -> None:
        """Many at once, unchanged: an array of the dtype of a schema (feed.wire.records.BY_WORD), or bytes of DBN v3
        records.

        `symbols`: one for all, or one for each. With `schema`, an array's length and rtype are filled in. Raises
        CallerError.
        """
        made = list(bodies(records, symbols, schema))
        self._seal()
        self._ready = [*getattr(self, "_ready", ()), *made]

    def end(self) -> None:
        """There is nothing more to come, ever."""
        self._ended = True

    # --- the feed's -------------------------------------------------------------------------------------------------

    def _seal(self) -> None:
        if self._batch is not None and self._batch.count:
            count = self._batch.count
            self._ready = [*getattr(self, "_ready", ()), (count, self._batch.take())]

    def _take(self) -> list[tuple[int, bytes]]:
        """(count, body) of all that was put in since the last call."""
        self._seal()
        made = getattr(self, "_ready", [])
        self._ready = []
        return made
