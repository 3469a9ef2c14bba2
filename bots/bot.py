"""Bots as classes of callbacks, and the loop that runs one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from bots.gap import Gap
    from bots.staleness import Stale
    from bots.subscriber import Subscriber
    from bots.ticks import Bar, Bbo, Book, Definition, Imbalance, Order, Quote, Stat, Status, Tick, Trade

__all__ = ["CALLBACKS", "Bot", "run", "schemas_of"]

CALLBACKS: Final = {
    "on_trade": ("trade",),
    "on_quote": ("quote",),
    "on_bbo": ("bbo",),
    "on_book": ("book",),
    "on_order": ("order",),
    "on_bar": ("bar1s", "bar1m", "bar1h", "bar1d"),
    "on_status": ("status",),
    "on_stat": ("stat",),
    "on_imbalance": ("imbalance",),
    "on_definition": ("definition",),
}
"""Callback for ticks → the schemas that it takes."""

log = logging.getLogger("bots")


class Bot:
    """Override what you need. Only schemas of overridden callbacks are subscribed to, unless the subscriber names some.

    A tick may be kept: its object is reused only when nobody else refers to it. Callbacks run in one thread, one at a
    time.
    """

    subscriber: Subscriber
    """Where the ticks come from; set before `on_start`. `self.subscriber.stop()` ends the run."""

    def on_start(self) -> None:
        """Before the feed is looked for."""

    def on_live(self) -> None:
        """The feed is there, and the subscription in force; again after each `on_stale`."""

    def on_stale(self, stale: Stale) -> None:
        """The feed is not heard of any more: what you know may be out of date. `stale.cause`: "feed" or "network"."""

    def on_trade(self, t: Trade) -> None: ...
    def on_quote(self, q: Quote) -> None: ...
    def on_bbo(self, q: Bbo) -> None: ...
    def on_book(self, b: Book) -> None: ...
    def on_order(self, o: Order) -> None: ...
    def on_bar(self, b: Bar) -> None: ...
    def on_status(self, s: Status) -> None: ...
    def on_stat(self, s: Stat) -> None: ...
    def on_imbalance(self, i: Imbalance) -> None: ...
    def on_definition(self, d: Definition) -> None: ...

    def on_gap(self, gap: Gap) -> None:
        """Ticks are missing; told before the first tick behind them."""

    def on_batch_end(self) -> None:
        """That was the last of what was waiting: time to act on it."""

    def on_stop(self) -> None:
        """The run ends, whatever the reason."""


def schemas_of(bot: Bot) -> list[str] | None:
    """Topic words of the callbacks that `bot` overrides; None, which stands for all, if there are none."""
    words = [word for name, schemas in CALLBACKS.items() if _overrides(bot, name) for word in schemas]
    return words or None


def run(bot: Bot, subscriber: Subscriber) -> None:
    """Call `bot` until `subscriber.stop()`, an exception or Ctrl-C (KeyboardInterrupt).

    A subscriber that is not open yet is opened, and closed in the end. Whatever a callback raises ends the run; which
    tick it was stands in the log and as a note on the exception.

    :raises ControlError: no feed within the subscriber's `timeout`.
    """
    if subscriber.schemas is None and not subscriber.opened:
        subscriber.schemas = schemas_of(bot)
    for name in ("on_gap", "on_stale", "on_live"):
        if _overrides(bot, name):
            setattr(subscriber, name, getattr(bot, name))
    bot.subscriber = subscriber
    handlers: dict[int, Callable[..., object]] = {
        BY_WORD[word].id: getattr(bot, name)
        for name, schemas in CALLBACKS.items()
        if _overrides(bot, name)
        for word in schemas
    }
    batch_end = bot.on_batch_end if _overrides(bot, "on_batch_end") else None
    try:
        bot.on_start()
        if subscriber.opened:
            bot.on_live()
            subscriber.delivery.dispatch(handlers, batch_end)
        else:
            with subscriber:
                subscriber.delivery.dispatch(handlers, batch_end)
    except Exception as error:
        _say_which(bot, subscriber.delivery.current, error)
        raise
    finally:
        bot.on_stop()


def _overrides(bot: Bot, name: str) -> bool:
    return getattr(getattr(bot, name), "__func__", None) is not getattr(Bot, name)


def _say_which(bot: Bot, tick: Tick | None, error: Exception) -> None:
    if tick is not None:
        which = f"{tick.schema} of {tick.symbol}, seq {tick.seq}, topic_seq {tick.topic_seq}"
        error.add_note(f"{type(bot).__name__} was given {which}")
