"""A bot under test: its subscriber, its line to the feed, and what it has had or was told that it will not get."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from bots.bot import CALLBACKS, Bot, run
from feed.errors import CallerError
from feed.wire.topics import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bots.gap import Gap
    from bots.subscriber import Subscriber
    from bots.testing.line import Line
    from bots.ticks import Tick

__all__ = ["Tested"]


class Tested:
    """`subscriber` is not open yet; `topic_seqs` is what was published before, which need not reach the bot."""

    def __init__(
        self, subscriber: Subscriber, line: Line, symbols: list[str], group: str, topic_seqs: Mapping[str, int]
    ) -> None:
        self.subscriber = subscriber
        self.line = line
        self.group = group
        self.gaps: list[Gap] = []
        self.error: BaseException | None = None
        self.bot: Bot | None = None
        self._patterns = [Pattern(symbol) for symbol in symbols]
        self._before = dict(topic_seqs)
        self._seen: dict[tuple[int, str], int] = {}
        self._live = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._told = subscriber.on_gap
        subscriber.on_gap = self._on_gap

    def turn(self, bot: Bot, timeout_s: float) -> None:
        """Run `bot` in a thread; returns when it is live.

        :raises CallerError: it is not within `timeout_s`. What the bot raised until then is raised here.
        """
        self.bot = bot
        bot.subscriber = self.subscriber
        watched = self._watched(bot)
        self._thread = threading.Thread(target=self._run, args=(watched,), name=self.subscriber.name, daemon=True)
        self._thread.start()
        if not self._live.wait(timeout_s):
            raise CallerError("the bot did not become live", expected=f"within {timeout_s} s", where=self.name)
        self.check()

    @property
    def name(self) -> str:
        return self.subscriber.name if self.bot is None else f"{type(self.bot).__name__} ({self.subscriber.name})"

    def close(self) -> None:
        """End it. What it raised is left for check()."""
        self._closed = True
        self.subscriber.stop()
        if self._thread is not None:
            self._thread.join()
        self.subscriber.close()

    def check(self) -> None:
        """Raise, once, what the bot has raised."""
        error, self.error = self.error, None
        if error is not None:
            raise error

    def wants(self, topic: str) -> bool:
        """Is it subscribed to "trade.AAPL"?"""
        schema, _, symbol = topic.partition(".")
        schemas = self.subscriber.schemas
        return (schemas is None or schema in schemas) and any(each.matches(symbol) for each in self._patterns)

    def seen(self, epoch: int, topic: str) -> int:
        """Up to which topic_seq it was given ticks or told gaps."""
        return self._seen.get((epoch, topic), 0)

    def missing(self, epoch: int, topic_seqs: Mapping[str, int]) -> dict[str, int]:
        """Topics that it has not had to the end, and how far it is. Only for a bot that runs here."""
        if self.bot is None or self._closed:
            return {}
        return {
            topic: self.seen(epoch, topic)
            for topic, last in list(topic_seqs.items())  # other threads may publish
            if last > self._before.get(topic, 0) and self.seen(epoch, topic) < last and self.wants(topic)
        }

    def forget(self) -> None:
        """The numbering has begun anew."""
        self._before = {}

    def _run(self, watched: Bot) -> None:
        try:
            run(watched, self.subscriber)
        except BaseException as error:
            self.error = error
        finally:
            self._live.set()

    def _watched(self, bot: Bot) -> Bot:
        """A bot that calls `bot`, and notes what it had."""
        outer = Bot()
        for name in (name for name in dir(Bot) if name.startswith("on_")):
            inner = getattr(bot, name)
            if getattr(inner, "__func__", None) is getattr(Bot, name):
                continue  # not overridden: outer must not seem to be either
            setattr(outer, name, self._noting(inner) if name in CALLBACKS else inner)
        self._told = bot.on_gap

        def on_live() -> None:
            bot.on_live()
            self._live.set()

        setattr(outer, "on_gap", self._on_gap)  # noqa: B010 - a method of the class, and of this object another
        setattr(outer, "on_live", on_live)  # noqa: B010
        return outer

    def _noting(self, inner: Callable[[Any], object]) -> Callable[[Tick], None]:
        seen = self._seen
        delivery = self.subscriber.delivery

        def note(tick: Tick) -> None:
            inner(tick)
            seen[delivery.epoch, tick.topic] = tick.topic_seq

        return note

    def _on_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        if self._told is not None:
            self._told(gap)
        key = (gap.epoch, gap.topic)
        self._seen[key] = max(gap.last, self._seen.get(key, 0))
