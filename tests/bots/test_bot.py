"""Which callbacks a bot has, and what follows from it. That they are called: tests/links/test_contract.py."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import bots
from bots import Bot, Gap, Quote, Subscriber, Trade, run
from bots.bot import CALLBACKS, schemas_of
from feed.errors import ControlError
from feed.wire.records import BY_WORD


def test_every_schema_has_exactly_one_callback() -> None:
    words = [word for schemas in CALLBACKS.values() for word in schemas]
    assert sorted(words) == sorted(BY_WORD)


def test_the_callbacks_are_those_of_the_design() -> None:
    ours = {name for name, _ in inspect.getmembers(Bot, inspect.isfunction)}
    assert ours == {
        *CALLBACKS, "on_start", "on_gap", "on_stale", "on_live", "on_batch_end", "on_stop",
    }  # fmt: skip


def test_schemas_are_those_of_overridden_callbacks() -> None:
    class Some(Bot):
        def on_quote(self, q: Quote) -> None: ...
        def on_bar(self, b: bots.Bar) -> None: ...
        def on_gap(self, gap: Gap) -> None: ...

    some = Some()
    assert schemas_of(some) == ["quote", "bar1s", "bar1m", "bar1h", "bar1d"]
    some.on_trade = lambda t: None  # type: ignore[method-assign]
    assert schemas_of(some) == ["trade", "quote", "bar1s", "bar1m", "bar1h", "bar1d"]
    assert schemas_of(Bot()) is None


def test_schemas_that_were_asked_for_stay() -> None:
    class Some(Bot):
        def on_trade(self, t: Trade) -> None: ...

    sub = Subscriber(schemas=["quote"], log=Path("/nowhere"), timeout=0)
    with pytest.raises(ControlError):
        run(Some(), sub)
    assert sub.schemas == ["quote"]


def test_on_stop_follows_on_start_whatever_happens() -> None:
    told = []

    class Some(Bot):
        def on_start(self) -> None:
            told.append("start")

        def on_stop(self) -> None:
            told.append("stop")

    with pytest.raises(ControlError):
        run(Some(), Subscriber(log=Path("/nowhere"), timeout=0))
    assert told == ["start", "stop"]


def test_public_names() -> None:
    assert all(hasattr(bots, name) for name in bots.__all__)
    assert {type_.__name__ for type_ in bots.Tick.__subclasses__()} <= set(bots.__all__)
