"""Figures: what is reported is what was added since the last report that was answered."""

from __future__ import annotations

import gc
import json
from typing import Any

from bots.delivery import Delivery
from bots.gap import Gap, Losses
from bots.offset import Offset
from bots.report import Reporter, latencies
from feed.control.stats import parse_report

SECOND = 1_000_000_000


class Control:
    """Remembers reports; answers when the test says so."""

    def __init__(self) -> None:
        self.bots: list[dict[str, Any]] = []
        self.answered: int | None = None
        self.connected = True

    def report(self, bot: dict[str, Any]) -> int | None:
        if not self.connected:
            return None
        self.bots.append(bot)
        return len(self.bots)

    def reported(self) -> int | None:
        number, self.answered = self.answered, None
        return number


class Nothing:
    """Hooks that are never called here."""


def test_only_what_was_answered_is_done_with() -> None:
    control, delivery, losses = Control(), Delivery(Nothing()), Losses()  # type: ignore[arg-type]
    reporter = Reporter(control, "mean")  # type: ignore[arg-type]

    def report() -> dict[str, Any]:
        reporter.report(0, delivery, losses, "shm", 5, 3, Offset(0, 0))
        return control.bots[-1]

    delivery.wire.record(100)
    losses.add(Gap("quote.A", 3, 7, "slow", 1))
    first = report()
    assert (first["name"], first["transport"], first["lag_ns"], first["lag_ticks"]) == ("mean", "shm", 5, 3)
    assert first["gaps"] == {"slow": 1}
    assert first["lost"] == {"slow": 5}
    assert first["latency"] == {"wire": {"counts": [[100, 1]], "sum_ns": 100, "max_ns": 100, "negative": 0}}
    delivery.wire.record(50)
    assert report()["latency"]["wire"]["counts"] == [[50, 1], [100, 1]]  # the first was not answered
    control.answered = 2
    losses.add(Gap("quote.A", 9, 9, "overrun", 1))
    third = report()
    assert third["latency"] == {}
    assert third["gaps"] == {"overrun": 1}
    control.connected = False
    reporter.report(0, delivery, losses, "tcp", 0, None, None)
    control.connected, control.answered = True, 3
    assert "gaps" in report()
    assert report()["gaps"] == {}


def test_a_report_waits_for_a_quiet_moment_but_not_for_ever() -> None:
    reporter = Reporter(Control(), "mean")  # type: ignore[arg-type]
    reporter.report(10 * SECOND, Delivery(Nothing()), Losses(), "shm", 0, 0, None)  # type: ignore[arg-type]
    assert not reporter.due(10 * SECOND + SECOND // 2, idle=True)
    assert reporter.due(11 * SECOND, idle=True)
    assert not reporter.due(11 * SECOND, idle=False)
    assert reporter.due(12 * SECOND, idle=False)
    assert reporter.due(5 * SECOND, idle=False), "the clock was set back"


def test_latencies_count_what_is_negative_apart() -> None:
    delivery = Delivery(Nothing())  # type: ignore[arg-type]
    assert latencies(delivery) == {}
    for ns in (10, 20, 30, -5):
        delivery.total.record(ns)
    total = latencies(delivery)["total"]
    assert (total["p50"], total["max"], total["count"], total["negative"]) == (20.0, 30, 3, 1)


def test_what_holds_the_process_up_is_in_it() -> None:
    control, delivery = Control(), Delivery(Nothing())  # type: ignore[arg-type]
    reporter = Reporter(control, "mean", "127.0.0.1:9465")  # type: ignore[arg-type]
    gc.collect()
    delivery.samples.put(128, 5)
    reporter.report(0, delivery, Losses(), "shm", 0, 0, Offset(-7, 3))
    report = control.bots[0]
    assert report["pauses"]["gc"] > 0
    assert set(report["switches"]) == {"voluntary", "involuntary"}
    assert report["faults"]["minor"] > 0
    assert report["metrics"] == "127.0.0.1:9465"
    assert (report["offset_ns"], report["uncertainty_ns"], report["samples"]) == (-7, 3, [(128, 5)])
    assert parse_report(json.loads(json.dumps(report))).samples == [(128, 5)]
    reporter.close()


def test_without_a_clock_there_is_nothing_to_compare() -> None:
    control, delivery = Control(), Delivery(Nothing())  # type: ignore[arg-type]
    reporter = Reporter(control, "mean")  # type: ignore[arg-type]
    delivery.samples.put(128, 5)
    reporter.report(0, delivery, Losses(), "tcp", 0, 0, None)
    assert not {"offset_ns", "uncertainty_ns", "samples"} & set(control.bots[0])
