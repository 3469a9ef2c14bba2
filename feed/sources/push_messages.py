"""The messages of pushers, without their sockets: looked at whole, then the records at hand, or refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from feed.errors import CallerError, LogSpace, SymbolError
from feed.sources import pushed
from feed.sources.pushed import Pushed
from feed.sources.source import Tally
from feed.wire import fields
from feed.wire.pushing import HEADER_BYTES, MESSAGE_BYTES_MAX, Kind, body, parse_message
from feed.wire.records import BY_ID
from feed.wire.topics import check_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from feed.config import PushConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.wire.pushing import Message

__all__ = ["HeardPush", "PushMessages"]


class PushMessages:
    """Messages of source `name` into `into`, whose topics are those of `sink`.

    At most `limit` topics may be named; `named` holds those that were, and `own` is told of a new one before it is.
    """

    def __init__(
        self,
        name: str,
        into: Pushed,
        sink: Sink,
        limit: int,
        named: Collection[tuple[str, str]],
        own: Callable[[str, str], None],
    ) -> None:
        self._name = name
        self._pushed = into
        self._sink = sink
        self._limit = limit
        self._named = named
        self._own = own

    def look(self, heard: Message, data: bytes, skip: int) -> tuple[str, int]:
        """Make a message's records those at hand; or why not, and at which of them."""
        if len(data) > MESSAGE_BYTES_MAX:
            return f"too_large: {len(data):,} bytes, and a message has at most {MESSAGE_BYTES_MAX:,}", 0
        offset = HEADER_BYTES
        if heard.kind == Kind.JSON:
            try:
                data, offset = _records_of_json(data[HEADER_BYTES:], heard.records), 0
            except _BadTick as bad:
                return f"{bad.reason}: {bad}", bad.at
        found = self._pushed.take(data, offset, heard.records, skip)
        if found == pushed.NEEDS_TOPICS:
            for symbol, schema_id, at in self._pushed.missing():
                if why := self._name_topic(symbol, schema_id):
                    return why, at
            found = self._pushed.take(data, offset, heard.records, skip)
        return _FAULTS[found], self._pushed.fault

    def _name_topic(self, symbol: bytes, schema_id: int) -> str:
        """Find or make a topic; why not, or "" """
        schema = BY_ID[schema_id].word
        try:
            text = check_symbol(symbol.decode("latin-1"))
            if (schema, text) not in self._named:
                if len(self._named) >= self._limit:
                    return f"topic_refused: {schema}.{text} is one more than source.{self._name}.topics allows"
                self._own(schema, text)
            self._pushed.bind(symbol, schema_id, self._sink.topic(schema, text))
        except SymbolError as error:
            return f"bad_symbol: {error}"
        except LogSpace as error:
            return f"topic_refused: {error}"
        return ""


class HeardPush:
    """What a capture of a push source goes through (feed.sources.source.Hearing): what was taken is taken again, what
    was refused is passed over."""

    def __init__(self, name: str, config: PushConfig, sink: Sink, counters: Counters) -> None:
        self.name = name
        named: set[tuple[str, str]] = set()
        self._pushed = Pushed(sink, counters.histogram("tickcast_latency_seconds", stage="venue", transport=name))
        self._messages = PushMessages(name, self._pushed, sink, config.topics, named, lambda *topic: named.add(topic))
        self._tally = Tally(counters, name)
        self._done = 0

    @property
    def waiting(self) -> bool:
        return self._pushed.left > 0

    def hear(self, channel: str, payload: bytes, received_ns: int) -> None:
        skip, _, _ = channel.partition(" ")
        if not skip.isdecimal():
            return
        heard = parse_message(payload)
        why, _ = self._messages.look(heard, payload, int(skip))
        if why:
            self._tally.rejected(why.partition(":")[0], heard.records - int(skip))
            return
        self._pushed.stamp(received_ns)

    def poll(self, limit: int) -> int:
        n = self._pushed.pour(limit) if self._pushed.left else 0
        if n:
            self._pushed.flush()
            self._done += n
            for schema_id, ticks in self._pushed.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, ticks)
        return n

    def progress(self) -> str:
        return f"{self._done:,} records pushed"

    def close(self) -> None:
        """Nothing is open."""


class _BadTick(Exception):
    def __init__(self, reason: str, at: int, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.at = at


_FAULTS = {
    0: "",
    pushed.MALFORMED: "malformed: the body is not of so many records and their symbols, or not to its end",
    pushed.WRONG_LENGTH: "wrong_length: a record's length byte is not that of its rtype in DBN version 3",
    pushed.UNKNOWN_RTYPE: "unknown_rtype: a record's rtype is none that a schema carries",
}


def _records_of_json(data: bytes, count: int) -> bytes:
    """The body of records that a body of JSON stands for."""
    try:
        ticks = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _BadTick("bad_json", 0, str(error)) from None
    if not isinstance(ticks, list) or len(ticks) != count:
        raise _BadTick("bad_json", 0, f"an array of {count} objects is announced")
    symbols: dict[bytes, int] = {}
    which, records = bytearray(), bytearray()
    for at, tick in enumerate(ticks):
        try:
            schema, symbol = tick.pop("schema"), tick.pop("symbol")
            name = check_symbol(symbol).encode("ascii")
            records += fields.encode(schema, tick)
        except SymbolError as error:
            raise _BadTick("bad_symbol", at, str(error)) from None
        except CallerError as error:
            raise _BadTick("bad_json", at, str(error)) from None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise _BadTick("bad_json", at, "a tick is an object with schema, symbol and fields") from None
        which += symbols.setdefault(name, len(symbols)).to_bytes(2, "little")
    return body(list(symbols), bytes(which) if len(symbols) > 1 else b"", records)
