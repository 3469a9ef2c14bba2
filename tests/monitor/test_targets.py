"""feed.monitor.targets: the bots that Prometheus may ask themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.monitor.reading import Probe
from feed.monitor.targets import GONE_NS, service_targets

if TYPE_CHECKING:
    from tests.monitor.conftest import FakeFeed


def test_bots_with_a_port_that_still_report(fake_feed: FakeFeed) -> None:
    counters = fake_feed.counters
    fake_feed.report("plain", 1)
    for bot, host, port, age_ns in (
        ("mean", "10.0.0.7", 9_000, 0),
        ("six", "fe80::1", 9_001, 0),
        ("none", "box", 0, 0),
        ("gone", "box", 9_002, 2 * GONE_NS),
    ):
        fake_feed.report(bot, 1)
        counters.gauge("tickcast_bot_metrics_port", bot=bot, host=host).set(port)
        counters.gauge("tickcast_bot_report_timestamp_seconds", bot=bot).set(now_ns() - age_ns)
    probe = Probe(fake_feed.directory)
    found = service_targets(probe.read(), "main")
    probe.close()
    assert found == [
        {"targets": ["10.0.0.7:9000"], "labels": {"bot": "mean", "feed": "main"}},
        {"targets": ["[fe80::1]:9001"], "labels": {"bot": "six", "feed": "main"}},
    ]
