"""Bots' reports: checked, summed up, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.control import stats
from feed.control.skew import SETTLE_NS
from feed.control.stats import SILENT_NS, BotReport, Bots, parse_report, sanitise
from feed.errors import ControlError
from feed.metrics.counters import Counters
from feed.metrics.histogram import BUCKETS, Histogram

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {"name": "mean", "pid": 7, "host": "h", "transport": "shm"}
EPOCH = 3
"""The log's."""


@pytest.fixture
def counters(tmp_path: Path) -> Counters:
    return Counters.open(tmp_path, create=True)


def values(counters: Counters) -> dict[tuple[str, ...], int]:
    return {(row.name, *row.labels.values()): row.value for row in counters.rows()}


def latency(*ns: int) -> dict[str, Any]:
    histogram = Histogram()
    for each in ns:
        histogram.record(each)
    return histogram.report()


def test_a_bot_that_still_is_of_an_earlier_epoch_has_not_met_this_one(counters: Counters) -> None:
    bots = Bots(counters)
    reports = [parse_report({**GOOD, "ticks": 1, "epoch": epoch}) for epoch in (EPOCH - 1, EPOCH, EPOCH - 1)]
    row = "tickcast_bot_report_timestamp_seconds", "mean"
    bots.put(reports[0], 1, EPOCH)
    bots.put(reports[0], 2, 0)  # no log yet
    assert values(counters)[row] == 0
    bots.put(reports[1], 3, EPOCH)
    assert values(counters)[row] == 3
    bots.put(reports[2], 4, EPOCH)  # a durable one that goes back for what it lacks
    assert values(counters)[row] == 4
    assert values(counters)["tickcast_bot_ticks_total", "mean"] == 4


def test_a_report_reaches_the_counters(counters: Counters) -> None:
    bots = Bots(counters)
    report = parse_report(
        {
            **GOOD,
            "ticks": 10,
            "gaps": {"slow": 1},
            "lost": {"slow": 500},
            "lag_ns": 9,
            "lag_ticks": 2,
            "offset_ns": -3,
            "latency": {"wire": latency(100), "total": latency(1000, 2000), "handler": latency(5)},
        }
    )
    bots.put(report, 1, EPOCH)
    bots.put(report, 2, EPOCH)
    rows = values(counters)
    assert rows["tickcast_bot_ticks_total", "mean"] == 20
    assert rows["tickcast_gaps_total", "mean", "slow"] == 2
    assert rows["tickcast_lost_ticks_total", "mean", "slow"] == 1000
    assert rows["tickcast_bot_lag_seconds", "mean"] == 9
    assert rows["tickcast_clock_offset_seconds", "mean"] == -3
    assert rows["tickcast_bot_report_timestamp_seconds", "mean"] == 2
    histograms = {(row.name, *row.labels.values()): row.histogram for row in counters.rows() if row.histogram}
    assert {key: h.count for key, h in histograms.items()} == {
        ("tickcast_bot_latency_seconds", "mean", "shm"): 4,
        ("tickcast_latency_seconds", "wire", "shm"): 2,
        ("tickcast_latency_seconds", "total", "shm"): 4,
        ("tickcast_latency_seconds", "handler", "shm"): 2,
        ("tickcast_fanout_skew_seconds",): 0,
    }
    (answer,) = bots.answer()
    assert answer["ticks"] == 20
    assert answer["lost"] == {"slow": 1000}
    assert answer["latency_ns"]["max"] == 2000
    assert answer["latency_ns"]["p50"] == pytest.approx(1000, rel=0.01)


def test_a_restarted_control_counts_on(counters: Counters) -> None:
    Bots(counters).put(parse_report({**GOOD, "ticks": 10}), 1, EPOCH)
    again = Bots(counters)
    again.put(parse_report({**GOOD, "ticks": 5}), 2, EPOCH)
    assert again.answer()[0]["ticks"] == 15


def test_a_bot_without_latency_has_no_quantiles(counters: Counters) -> None:
    bots = Bots(counters)
    bots.put(parse_report(GOOD), 1, EPOCH)
    assert bots.answer()[0]["latency_ns"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "x",
        {},
        {**GOOD, "name": 5},
        {**GOOD, "name": "x" * 257},
        {**GOOD, "transport": "pigeon"},
        {**GOOD, "pid": -1},
        {**GOOD, "ticks": -1},
        {**GOOD, "ticks": 2**49},
        {**GOOD, "ticks": 1.5},
        {**GOOD, "lag_ns": True},
        {**GOOD, "gaps": {"Slow": 1}},
        {**GOOD, "gaps": {"a" * 33: 1}},
        {**GOOD, "gaps": {"slow": -1}},
        {**GOOD, "lost": {f"c{chr(97 + i)}": 1 for i in range(9)}},
        {**GOOD, "latency": {"venue": latency(1)}},
        {**GOOD, "latency": {"wire": {}}},
        {**GOOD, "latency": {"wire": {**latency(1), "counts": [[BUCKETS, 1]]}}},
        {**GOOD, "latency": {"wire": {**latency(1), "counts": [[0, -1]]}}},
        {**GOOD, "latency": {"wire": {**latency(1), "counts": [[0]]}}},
        {**GOOD, "latency": {"wire": {**latency(1), "sum_ns": 2**61}}},
    ],
)
def test_what_is_no_report(wrong: object) -> None:
    with pytest.raises(ControlError, match="not a bot's report: "):
        parse_report(wrong)


def test_fields_of_newer_bots_are_skipped() -> None:
    assert parse_report({**GOOD, "mood": "good"}) == parse_report(GOOD)


@given(st.text(max_size=256))
def test_names_become_labels(name: str) -> None:
    label = sanitise(name)
    assert 1 <= len(label) <= 48
    assert set(label) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")
    assert sanitise(label) == label


def test_causes_of_a_bot_are_bounded_over_time(counters: Counters) -> None:
    bots = Bots(counters)
    for letter in "abcdefgh":
        bots.put(parse_report({**GOOD, "ticks": 1, "lost": {letter: 1}}), 1, EPOCH)
    with pytest.raises(ControlError, match="too many causes"):
        bots.put(parse_report({**GOOD, "ticks": 1, "lost": {"i": 1}}), 1, EPOCH)
    assert values(counters)["tickcast_bot_ticks_total", "mean"] == 8, "a refused report counts in no part"


def test_bots_are_bounded_and_the_silent_give_way(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 8
    monkeypatch.setattr(stats, "BOTS_MAX", room)
    bots = Bots(counters)
    for number in range(room):
        bots.put(parse_report({**GOOD, "name": f"b{number}", "ticks": 1, "lost": {"slow": 1}}), number, EPOCH)
    with pytest.raises(ControlError, match="no room for another bot"):
        bots.put(parse_report({**GOOD, "name": "late"}), SILENT_NS - 1, EPOCH)
    bots.put(parse_report({**GOOD, "name": "late", "ticks": 3, "lost": {"slow": 1}}), SILENT_NS, EPOCH)
    assert len(bots) == room
    rows = values(counters)
    assert ("tickcast_bot_ticks_total", "b0") not in rows
    assert ("tickcast_lost_ticks_total", "b0", "slow") not in rows
    assert rows["tickcast_bot_ticks_total", "late"] == 3
    assert rows["tickcast_bot_ticks_total", "b1"] == 1
    assert counters.refused == 0


def test_one_name_over_two_transports_shares_its_counts(counters: Counters) -> None:
    bots = Bots(counters)
    bots.put(parse_report({**GOOD, "ticks": 1}), 1, EPOCH)
    bots.put(parse_report({**GOOD, "ticks": 2, "transport": "tcp"}), 1, EPOCH)
    assert len(bots) == 2
    assert values(counters)["tickcast_bot_ticks_total", "mean"] == 3


def test_the_defaults_of_a_report() -> None:
    report = parse_report(GOOD)
    assert (report.ticks, report.gaps, report.lost, report.latency) == (0, {}, {}, {})
    assert isinstance(report, BotReport)


def test_what_holds_a_bot_up_is_counted_and_its_clock_shown(counters: Counters) -> None:
    bots = Bots(counters)
    report = {
        **GOOD,
        "pauses": {"gc": 5, "gil": 7},
        "switches": {"voluntary": 2, "involuntary": 1},
        "faults": {"minor": 9},
        "offset_ns": -(10**17),
        "uncertainty_ns": 40,
        "metrics": "10.0.0.7:9465",
    }
    bots.put(parse_report(report), 1, EPOCH)
    bots.put(parse_report(report), 2, EPOCH)
    rows = values(counters)
    assert rows["tickcast_bot_pause_seconds_total", "mean", "gil"] == 14
    assert rows["tickcast_bot_context_switches_total", "mean", "involuntary"] == 2
    assert rows["tickcast_bot_page_faults_total", "mean", "minor"] == 18
    assert rows["tickcast_clock_offset_seconds", "mean"] == -(10**17)
    assert rows["tickcast_clock_uncertainty_seconds", "mean"] == 40
    assert rows["tickcast_bot_metrics_port", "mean", "10.0.0.7"] == 9465


def test_bots_that_have_the_same_ticks_are_compared(counters: Counters) -> None:
    bots = Bots(counters)
    for name, had_ns in (("mean", 100), ("late", 900)):
        samples = {"epoch": 3, "samples": [[64, had_ns]], "offset_ns": 0, "uncertainty_ns": 0}
        bots.put(parse_report({**GOOD, "name": name, **samples}), 0, EPOCH)
    bots.put(parse_report(GOOD), SETTLE_NS, EPOCH)
    rows = values(counters)
    assert rows["tickcast_bot_skew_seconds", "mean"] == 0
    assert rows["tickcast_bot_skew_seconds", "late"] == 800
    assert [bot["skew_ns"] for bot in bots.answer()] == [0, 800]


def test_a_bot_that_gives_way_leaves_no_row(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "BOTS_MAX", 1)
    bots = Bots(counters)
    full = {"gaps": {"slow": 1}, "pauses": {"gc": 5}, "faults": {"minor": 9}, "metrics": "h:1", "offset_ns": 1}
    bots.put(parse_report({**GOOD, **full, "uncertainty_ns": 1, "switches": {"voluntary": 2}}), 1, EPOCH)
    bots.put(parse_report({**GOOD, "name": "next"}), SILENT_NS + 2, EPOCH)
    assert not [row for row in values(counters) if "mean" in row]


@pytest.mark.parametrize(
    "wrong",
    [
        {"metrics": "no port"},
        {"metrics": "a b:1"},
        {"samples": [[64, 1]] * 65},
        {"samples": [[-1, 1]]},
        {"pauses": {"lunch": 1}},
        {"uncertainty_ns": -1},
        {"epoch": 2**63},
    ],
)
def test_figures_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match="not a bot's report"):
        parse_report({**GOOD, **wrong})
