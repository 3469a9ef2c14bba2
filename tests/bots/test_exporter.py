"""A bot's own metrics: served over HTTP, as the table names them."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bots.delivery import Delivery
from bots.exporter import Exporter
from bots.gap import Gap, Losses
from feed.errors import ConfigError, HostError
from feed.metrics.table import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def exporter(losses: Losses) -> Iterator[Exporter]:
    delivery = Delivery(None)  # type: ignore[arg-type]  # hooks: nothing comes
    for ns in (1_000, 2_000, 3_000_000):
        delivery.total.record(ns)
    exporter = Exporter(0, "mean", delivery, losses)
    yield exporter
    exporter.close()


def test_its_figures_can_be_scraped(exporter: Exporter, losses: Losses) -> None:
    losses.add(Gap("trade.AAPL", 5, 9, "slow", 1))
    with urllib.request.urlopen(f"http://{exporter.address}/metrics") as answer:
        families = {each.name: each for each in text_string_to_metric_families(answer.read().decode())}
    assert all(name in BY_NAME or f"{name}_total" in BY_NAME for name in families)
    values = {(s.name, *s.labels.values()): s.value for each in families.values() for s in each.samples}
    assert values["tickcast_bot_latency_seconds_count", "mean", "none"] == 3
    assert values["tickcast_lost_ticks_total", "mean", "slow"] == 5
    assert values["tickcast_gaps_total", "mean", "slow"] == 1


def test_it_is_on_this_machine_alone_unless_told_otherwise(exporter: Exporter) -> None:
    assert exporter.address.startswith("127.0.0.1:")


def test_a_taken_port_is_said_so(exporter: Exporter, losses: Losses) -> None:
    with pytest.raises(HostError, match="metrics port"):
        Exporter(exporter.address, "other", Delivery(None), losses)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["", "host", "host:", "127.0.0.1:99999", -1])
def test_what_is_no_port_is_said_so(where: int | str, losses: Losses) -> None:
    with pytest.raises(ConfigError, match="not a port"):
        Exporter(where, "mean", Delivery(None), losses)  # type: ignore[arg-type]
