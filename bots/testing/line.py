"""A bot's way to a feed: its control address and its publishers, each behind a relay that can be made faulty."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import orjson

from bots.testing.faults import NONE, Chances, Dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bots.testing.proxy import Proxy
    from bots.testing.relay import Relay

__all__ = ["Line"]


class Line:
    """Relays to a feed's addresses. A bot that is given `address` as its feed's finds its way through all of them.

    The feed's directory is changed on its way to the bot, so that it names the relays.

    :param publishers: endpoint by the publisher's name.
    :param folder: where unix sockets go.
    """

    def __init__(
        self,
        proxy: Proxy,
        name: str,
        control: str,
        publishers: Mapping[str, str],
        folder: Path,
        *,
        seed: int = 0,
        chances: Chances = NONE,
    ) -> None:
        self.name = name
        self.control = proxy.relay(control, change=self._directory)
        self.data: dict[str, Relay] = {
            publisher: proxy.relay(
                endpoint,
                f"ipc://{folder}/{name}.{publisher}" if endpoint.startswith("ipc:") else "tcp://127.0.0.1:0",
                seed=seed,
                chances=chances,
            )
            for publisher, endpoint in publishers.items()
        }

    @property
    def address(self) -> str:
        """What to give a bot as its feed."""
        return self.control.endpoint

    @property
    def dropped(self) -> list[Dropped]:
        """The ticks that were lost on this line."""
        return [each for relay in self.data.values() for each in relay.dropped]

    @property
    def counts(self) -> dict[str, int]:
        """Messages by what became of them: passed, lost, duplicated, reordered, delayed."""
        counts: dict[str, int] = {}
        for relay in self.data.values():
            for fate, n in relay.faults.counts.items():
                counts[fate] = counts.get(fate, 0) + n
        return counts

    def lead(self, control: str, publishers: Mapping[str, str]) -> None:
        """The feed is elsewhere now, for connections to come."""
        self.control.upstream = control
        for publisher, endpoint in publishers.items():
            self.data[publisher].upstream = endpoint

    def each(self, do: Callable[[Relay], object]) -> None:
        """For every relay that ticks come through."""
        for relay in self.data.values():
            do(relay)

    def cut(self, seconds: float = 0.0) -> None:
        """End all connections; who connects within `seconds` is refused."""
        self.control.cut(seconds)
        self.each(lambda relay: relay.cut(seconds))

    def hold(self, seconds: float | None = None) -> None:
        """Nothing comes through any more, and nobody is told: until release(), or for `seconds`."""
        self.control.hold(seconds)
        self.each(lambda relay: relay.hold(seconds))

    def release(self) -> None:
        self.control.release()
        self.each(lambda relay: relay.release())

    def close(self) -> None:
        """Let go of its addresses."""
        for relay in (self.control, *self.data.values()):
            relay.end()

    def _directory(self, answer: bytes) -> bytes:
        """A directory that names our relays; any other answer as it is."""
        if b'"transports"' not in answer:
            return answer
        with contextlib.suppress(orjson.JSONDecodeError, TypeError, KeyError):
            told = orjson.loads(answer)
            for transport in told["transports"]:
                if transport["publisher"] in self.data:
                    transport["endpoint"] = self.data[transport["publisher"]].endpoint
            return orjson.dumps(told)
        return answer
