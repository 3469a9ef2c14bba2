"""What the feed tells about itself: its identity, its transports, its symbols. Pure: numbers in, plain dicts out.

A transport's endpoint is what to connect to; a host of ``*`` means the host at which the control address was reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feed.config import PgmConfig, PushConfig, duration_ns
from feed.errors import ControlError, SymbolError
from feed.ports import Endpoint, parse_endpoint
from feed.wire.topics import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from feed.config import FeedConfig

__all__ = ["CHUNK", "SymbolIndex", "directory_answer", "entrances", "transports"]

CHUNK = 1000
"""Symbols in one answer at most."""

SCAN = 20_000
"""Symbols looked at for one answer at most: a rare pattern must not hold the others up."""

EVERYWHERE = frozenset({"*", "0.0.0.0", "::"})


class SymbolIndex:
    """The symbols of one epoch in the order in which they appeared, each with its schemas; it only grows."""

    def __init__(self) -> None:
        self._topics: dict[str, list[tuple[str, int]]] = {}  # schema and topic id
        self._order: list[str] = []

    def __len__(self) -> int:
        return len(self._order)

    def add(self, schema: str, symbol: str, topic_id: int) -> None:
        """A topic was announced."""
        known = self._topics.get(symbol)
        if known is None:
            self._topics[symbol] = [(schema, topic_id)]
            self._order.append(symbol)
        else:
            known.append((schema, topic_id))

    def answer(
        self,
        request: Mapping[str, Any],
        retired: Callable[[int], bool] = lambda _: False,
        due: Callable[[int], int] | None = None,
    ) -> dict[str, Any]:
        """One chunk: ``symbols``, their ``schemas``, and ``next``, the ``from`` to go on with, None when that was all.

        `request` may have ``pattern`` (default ``*``) and ``from`` (default 0); topics that are `retired` are left out.
        With `due`, the topic_seq that a topic's next record will have, those of the ``schemas`` stand in ``due``.
        Raises ControlError.
        """
        told = self._chunk(request, retired)
        if due is not None:
            told["due"] = [
                [due(topic_id) for schema, topic_id in self._topics[symbol] if not retired(topic_id)]
                for symbol in told["symbols"]
            ]
        return told

    def _chunk(self, request: Mapping[str, Any], retired: Callable[[int], bool]) -> dict[str, Any]:
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
            schemas = self._living(text, retired) if start == 0 else []
            return {"symbols": [text] if schemas else [], "schemas": [schemas] if schemas else [], "next": None}
        found: dict[str, list[str]] = {}
        at = start
        for at, symbol in enumerate(self._order[start : start + SCAN], start + 1):  # noqa: B007
            if pattern.matches(symbol) and (schemas := self._living(symbol, retired)):
                found[symbol] = schemas
                if len(found) == CHUNK:
                    break
        following = at if at < len(self._order) else None
        return {"symbols": list(found), "schemas": list(found.values()), "next": following}

    def _living(self, symbol: str, retired: Callable[[int], bool]) -> list[str]:
        return [schema for schema, topic_id in self._topics.get(symbol, ()) if not retired(topic_id)]


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
    alive_ns: int = 0,
    now_ns: int = 0,
    durable_seq: int = 0,
) -> dict[str, Any]:
    """All a bot needs to choose a transport; `epoch` in ns since 1970, `next_seq` of the record to come.

    `bound` says what publishers are really bound to, by name; it counts where the configuration leaves the port open.
    `alive_ns` is the sequencer's last sign of life, 0 for none yet; `durable_seq` what the archive has on disk, if any.
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
        "alive_age_ns": max(0, now_ns - alive_ns) if alive_ns else None,
        "archive": {"path": str(folder), "durable_seq": durable_seq} if (folder := config.archive_directory) else None,
        "heartbeat_ns": min((each["heartbeat_ns"] for each in offered), default=1_000_000_000),
        "transports": offered,
        "push": entrances(config, bound),
    }


def transports(config: FeedConfig, bound: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every publisher of `config`: publisher, transport, endpoint, firehose ("" for none), heartbeat_ns; and what its
    kind has to say besides.
    """
    return [
        {
            "publisher": name,
            "transport": publisher.transport,
            "firehose": _reachable(publisher.firehose),
            "heartbeat_ns": duration_ns(publisher.heartbeat),
            **(
                publisher.terms()
                if isinstance(publisher, PgmConfig)
                else {"endpoint": _reachable(bound.get(name) or publisher.endpoint)}
            ),
        }
        for name, publisher in config.publish.items()
    ]


def entrances(config: FeedConfig, bound: Mapping[str, str]) -> list[dict[str, str]]:
    """Where the push sources of `config` listen: source and endpoint, the socket of this host first."""
    found = []
    for name, source in config.source.items():
        if isinstance(source, PushConfig):
            told = (bound.get(f"push.{name}") or f"{source.endpoint} {source.tcp}").split()
            found += [{"source": name, "endpoint": _reachable(text)} for text in told]
    return found


def _reachable(text: str) -> str:
    if not text or text.startswith("mold://"):  # which says itself what holds elsewhere
        return text
    endpoint = parse_endpoint(text)
    if endpoint.transport == "tcp" and endpoint.host in EVERYWHERE:
        return str(Endpoint("tcp", host="*", port=endpoint.port))
    return str(endpoint)
