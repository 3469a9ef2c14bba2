"""feed.monitor.events: each change once, figures summed, many at once told as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from feed.monitor.events import LAG_LEAST_NS, MANY, SILENT_NS, Events

S = 1_000_000_000
LOG = {"state": "open", "epoch": 5, "writer_alive": True}


def agent(state: str = "up", restarts: int = 0) -> dict[str, Any]:
    return {"agent": "ingest", "state": state, "restarts": restarts}


def bot(name: str = "mean", **figures: Any) -> dict[str, Any]:
    return {"bot": name, "report_age_ns": 0, "lag_ns": 0, "gaps": {}, "lost": {}, **figures}


@dataclass
class Watch:
    """A feed that is looked at once a second; `see` gives what happened since, as (kind, level, text)."""

    events: Events = field(default_factory=Events)
    second: int = 100
    now: dict[str, Any] = field(
        default_factory=lambda: {
            "agents": [agent()],
            "sources": [],
            "publishers": [],
            "bots": [],
            "log": LOG,
            "archive": None,
            "targets_ns": {"0.5": 13_400, "0.99": 100_000},
        }
    )

    def see(self, after_s: int = 1, **changed: Any) -> list[tuple[str, str, str]]:
        self.second += after_s
        self.now |= changed
        found = self.events.put(self.second * S, self.second * S, self.now)
        assert all(event["at_ns"] == self.second * S for event in found)
        return [(event["kind"], event["level"], event["text"]) for event in found]


@pytest.fixture
def watch() -> Watch:
    watch = Watch()
    watch.see()
    return watch


def test_a_feed_that_is_as_it_was_has_no_events(watch: Watch) -> None:
    assert watch.see(bots=[bot()]) == [("bot", "note", "bot mean is new")]
    assert watch.see() == []


def test_what_was_there_at_first_did_not_happen() -> None:
    there = bot(report_age_ns=2 * SILENT_NS, gaps={"slow": 9}, lost={"slow": 9})
    silent = {"source": "sim", "last_ns": S}
    dropped = {"publisher": "tcp", "dropped": {"overrun": 4}}
    watch = Watch()
    assert watch.see(bots=[there], sources=[silent], publishers=[dropped]) == []
    assert watch.see() == []


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([("up", 0)], []),
        ([("down", 0), ("down", 0)], ["bad agent ingest is down"]),
        (
            [("down", 0), ("starting", 1), ("up", 1), ("up", 1)],
            ["bad agent ingest is down", "good agent ingest is up again (restart 1)"],
        ),
        ([("starting", 1), ("up", 1)], ["bad agent ingest died and was started again (restart 1)"]),
        ([("up", 2)], ["bad agent ingest died and was started again (restart 2)"]),
        (
            [("stuck", 0), ("stuck", 0), ("up", 0)],
            ["bad agent ingest is stuck: its loop no longer turns", "good agent ingest is up again"],
        ),
    ],
)
def test_agents(watch: Watch, states: list[tuple[str, int]], told: list[str]) -> None:
    found = [event for state in states for event in watch.see(agents=[agent(*state)])]
    assert [f"{level} {text}" for _, level, text in found] == told
    assert {kind for kind, _, _ in found} <= {"agent"}


def test_an_agent_that_is_down_when_we_come_is_told() -> None:
    assert Watch().see(agents=[agent("down")]) == [("agent", "bad", "agent ingest is down")]


def test_a_bot_falls_silent_and_comes_back(watch: Watch) -> None:
    watch.see(bots=[bot()])
    assert watch.see(bots=[bot(report_age_ns=SILENT_NS + 1)]) == [("bot", "bad", "bot mean is silent")]
    assert watch.see() == []
    assert watch.see(bots=[bot()]) == [("bot", "good", "bot mean is reporting again")]
    assert watch.see(bots=[]) == []
    assert watch.see(bots=[bot()]) == [("bot", "note", "bot mean is new")]


def test_a_bot_lags_and_catches_up(watch: Watch) -> None:
    watch.see(bots=[bot()])
    assert watch.see(bots=[bot(lag_ns=LAG_LEAST_NS)]) == []
    assert watch.see(bots=[bot(lag_ns=250_000_000)]) == [("bot", "bad", "bot mean lags by 250 ms")]
    assert watch.see(bots=[bot(lag_ns=LAG_LEAST_NS - 1)]) == []
    assert watch.see(bots=[bot(lag_ns=2 * LAG_LEAST_NS)]) == []
    assert watch.see(bots=[bot(lag_ns=None)]) == [("bot", "good", "bot mean has caught up")]


def test_what_lag_is_depends_on_the_strictest_target(watch: Watch) -> None:
    watch.see(bots=[bot()], targets_ns={"0.5": 1_000, "0.99": 50_000_000})
    assert watch.see(bots=[bot(lag_ns=450_000_000)]) == []
    assert watch.see(bots=[bot(lag_ns=550_000_000)]) == [("bot", "bad", "bot mean lags by 550 ms")]
    watch = Watch()
    watch.see(bots=[bot()], targets_ns={})
    assert len(watch.see(bots=[bot(lag_ns=150_000_000)])) == 1


def test_gaps_and_losses_are_summed_for_five_seconds(watch: Watch) -> None:
    watch.see(bots=[bot()])
    assert watch.see(bots=[bot(gaps={"slow": 1})]) == [("gap", "note", "bot mean: 1 gap (slow)")]
    assert watch.see(bots=[bot(gaps={"slow": 2})]) == []
    assert watch.see(bots=[bot(gaps={"slow": 3}, lost={"slow": 1_000, "overrun": 1})]) == [
        ("gap", "bad", "bot mean: 1 tick lost (overrun)")
    ]
    assert watch.see(after_s=2) == []
    assert watch.see() == [("gap", "bad", "bot mean: 2 gaps, 1,000 ticks lost (slow)")]
    assert watch.see(after_s=60) == []
    # A bot of the same name that began anew.
    assert watch.see(bots=[bot(gaps={"slow": 1})]) == [("gap", "note", "bot mean: 1 gap (slow)")]


def test_drops_of_a_publisher(watch: Watch) -> None:
    watch.see(publishers=[{"publisher": "tcp", "dropped": {"overrun": 3}}])
    assert watch.see(publishers=[{"publisher": "tcp", "dropped": {"overrun": 10}}]) == []
    assert watch.see(after_s=4) == [("drop", "bad", "publisher tcp dropped 7 ticks: overrun")]


def test_a_source_falls_silent_and_comes_back(watch: Watch) -> None:
    def source(last_s: int | None) -> list[dict[str, Any]]:
        return [{"source": "sim", "last_ns": None if last_s is None else last_s * S}]

    assert watch.see(sources=source(None)) == []
    assert watch.see(sources=source(watch.second)) == []
    assert watch.see(after_s=4) == []
    assert watch.see() == [("source", "bad", "source sim is silent: no tick for 5 s")]
    assert watch.see() == []
    assert watch.see(sources=source(watch.second + 1)) == [("source", "good", "source sim ticks again")]


def test_the_logs_states(watch: Watch) -> None:
    def text(**changed: Any) -> list[str]:
        return [text for _, _, text in watch.see(log={**LOG, **changed})]

    assert text(writer_alive=False) == ["the log is without a writer"]
    assert text() == ["the log is open again"]
    assert text(state="closed") == ["the log is closed"]
    assert watch.see(log=None) == [("log", "bad", "the log is gone")]
    assert text(epoch=9) == [
        "the log is open again",
        "a new epoch of the log began: sequence numbers start again at 1",
    ]
    assert text(epoch=9, state="replaced") == ["the log is replaced"]


def test_the_archive_stops_misses_ticks_and_goes_on(watch: Watch) -> None:
    def archive(stopped: bool, **missing: int) -> dict[str, Any]:
        return {"stopped": stopped, "missing": missing}

    assert watch.see(archive=archive(False)) == []
    assert watch.see(archive=archive(True)) == [
        ("archive", "bad", "the archive has stopped: its disk is full or fails")
    ]
    assert watch.see(archive=archive(True, full=2_000)) == [
        ("archive", "bad", "the archive will never have 2,000 ticks: full")
    ]
    assert watch.see(archive=archive(False, full=2_000)) == [("archive", "good", "the archive goes on")]


def test_what_happens_to_many_bots_at_once_is_one_event(watch: Watch) -> None:
    names = [f"b{i}" for i in range(MANY + 1)]
    assert watch.see(bots=[bot(name) for name in names]) == [("bot", "note", f"{MANY + 1} bots are new")]
    lossy = [bot(name, gaps={"slow": 1}, lost={"slow": 10}) for name in names]
    assert watch.see(bots=lossy) == [
        ("gap", "bad", f"{MANY + 1} bots: {MANY + 1} gaps, {10 * (MANY + 1)} ticks lost (slow)")
    ]
    lagging = [bot(one["bot"], gaps=one["gaps"], lost=one["lost"], lag_ns=10**9) for one in lossy]
    assert watch.see(bots=lagging) == [("bot", "bad", f"{MANY + 1} bots are lagging")]
    assert watch.see(bots=[]) == []
