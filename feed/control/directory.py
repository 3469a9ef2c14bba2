"""What the feed tells about itself: its identity, its transports, its symbols. Pure: numbers in, plain dicts out.

A transport's endpoint is what to connect to; a host of ``*`` means the host at which the control address was reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feed.config import duration_ns
from feed.errors import ControlError, SymbolError
from feed.ports import Endpoint, parse_endpoint
from feed.wire.topics import Pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from feed.config import FeedConfig

__all__ = ["CHUNK", "SymbolIndex", "directory_answer", "transports"]

CHUNK = 1000
"""Symbols in one answer at most."""

SCAN = 20_000
"""Symbols looked at for one answer at most: a rare pattern must not hold the others up."""

EVERYWHERE = frozenset({"*", "0.0.0.0", "::"})


class SymbolIndex:
    """The symbols of one epoch in the order in which they appeared, each with its schemas; it only grows."""

    def __init__(self) -> None:
        self._schemas: dict[str, list[str]] = {}
        self._order: list[str] = []

    def __len__(self) -> int:
        return len(self._order)

    def add(self, schema: str, symbol: str) -> None:
        """A topic was announced."""
        known = self._schemas.get(symbol)
        if known is None:
            self._schemas[symbol] = [schema]
            self._order.append(symbol)
        else:
            known.append(schema)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One chunk: ``symbols``, their ``schemas``, and ``next``, the ``from`` to go on with, None when that was all.

        `request` may have ``pattern`` (default ``*``) and ``from`` (default 0). Raises ControlError.
        """
        text, start = request.get("pattern", "*"), request.get("from", 0)
        if not isinstance(text, str):
            raise ControlError("not a pattern", expected="a string such as ES*", found=type(text).__name__)
        if type(start) is not int or start < 0:
            raise ControlError(
                "not a place to go on from",
                expected="a whole number",
                found=str(start) if type(start) is int else type(start).__name__,
            )
        try:
            pattern = Pattern(text)
        except SymbolError as error:
            raise ControlError(str(error)) from None
        if not pattern.open:
            found = [text] if start == 0 and text in self._schemas else []
            return self._chunk(found, None)
        found = []
        at = start
        for at, symbol in enumerate(self._order[start : start + SCAN], start + 1):  # noqa: B007
            if pattern.matches(symbol):
                found.append(symbol)
                if len(found) == CHUNK:
                    break
        return self._chunk(found, at if at < len(self._order) else None)

    def _chunk(self, symbols: list[str], following: int | None) -> dict[str, Any]:
        return {"symbols": symbols, "schemas": [self._schemas[symbol] for symbol in symbols], "next": following}


def directory_answer(
    config: FeedConfig,
    bound: Mapping[str, str],
    *,
    version: str,
    pid: int,
    boot_id: str,
    epoch: int,
    next_seq: int,
    symbols: int,
) -> dict[str, Any]:
    """All a bot needs to choose a transport; `epoch` in ns since 1970, `next_seq` of the record to come.

    `bound` says what publishers are really bound to, by name; it counts where the configuration leaves the port open.
    """
    offered = transports(config, bound)
    return {
        "feed": config.feed.name,
        "version": version,
        "pid": pid,
        "boot_id": boot_id,
        "log_path": str(config.directory),
        "epoch": epoch,
        "next_seq": next_seq,
        "symbols": symbols,
        "heartbeat_ns": min((each["heartbeat_ns"] for each in offered), default=1_000_000_000),
        "transports": offered,
    }


def transports(config: FeedConfig, bound: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every publisher of `config`: publisher, transport, endpoint, firehose ("" for none), heartbeat_ns."""
    return [
        {
            "publisher": name,
            "transport": parse_endpoint(publisher.endpoint).transport,
            "endpoint": _reachable(bound.get(name) or publisher.endpoint),
            "firehose": _reachable(publisher.firehose),
            "heartbeat_ns": duration_ns(publisher.heartbeat),
        }
        for name, publisher in config.publish.items()
    ]


def _reachable(text: str) -> str:
    if not text:
        return ""
    endpoint = parse_endpoint(text)
    if endpoint.transport == "tcp" and endpoint.host in EVERYWHERE:
        return str(Endpoint("tcp", host="*", port=endpoint.port))
    return str(endpoint)
