"""feed.monitor.health: one verdict per state."""

from __future__ import annotations

import pytest

from feed.log.observer import LogFigures
from feed.metrics.counters import Row
from feed.monitor.health import STUCK_NS, agents, health

NOW = 1_700_000_000 * 10**9
LOG = LogFigures(
    state="open",
    writer_pid=7,
    writer_alive=True,
    epoch=NOW - 10**9,
    next_seq=5,
    tail=800,
    tail_ns=NOW - 3_600 * 10**9,
    alive_ns=NOW,
    log_bytes=1 << 20,
    topics=1,
    readers=[],
)


def rows(*, up: int = 1, beat_ns: int = NOW, restarts: int = 0) -> list[Row]:
    values = {"up": up, "pid": 7, "restarts_total": restarts, "heartbeat_timestamp_seconds": beat_ns}
    return [Row(f"tickcast_agent_{key}", {"agent": "ingest"}, "gauge", value, None, 1) for key, value in values.items()]


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (rows(), "up"),
        (rows(beat_ns=NOW - STUCK_NS), "up"),
        (rows(beat_ns=NOW - STUCK_NS - 1), "stuck"),
        (rows(beat_ns=NOW + 10**9), "up"),
        (rows(beat_ns=0), "starting"),
        (rows(up=0), "down"),
        (rows(up=0, beat_ns=0), "down"),
        (rows()[3:], "up"),
    ],
)
def test_the_state_of_an_agent(given: list[Row], state: str) -> None:
    (agent,) = agents(given, NOW)
    assert agent["state"] == state
    well, answer = health(given, LOG, NOW)
    assert well == (state == "up")
    assert answer["ills"] == ([] if well else [f"agent ingest is {state}"])
    assert answer["status"] == ("well" if well else "ill")


def test_an_agent_shows_its_figures() -> None:
    assert agents(rows(beat_ns=NOW - 5, restarts=3), NOW) == [
        {"agent": "ingest", "state": "up", "pid": 7, "restarts": 3, "heartbeat_age_ns": 5}
    ]


def test_a_quiet_log_is_well() -> None:
    well, answer = health(rows(), LOG, NOW)
    assert well
    assert answer["log"]["age_ns"] == 3_600 * 10**9


@pytest.mark.parametrize(
    ("log", "ill"),
    [
        (None, "there is no log"),
        (LOG._replace(state="closed"), "the log is closed"),
        (LOG._replace(state="replaced", writer_alive=False), "the log is replaced"),
        (LOG._replace(writer_alive=False), "nobody writes the log: process 7 is gone"),
    ],
)
def test_a_log_that_nobody_writes_is_ill(log: LogFigures | None, ill: str) -> None:
    well, answer = health(rows(), log, NOW)
    assert not well
    assert answer["ills"] == [ill]


def test_a_log_without_a_tick_yet_has_no_age() -> None:
    _, answer = health([], LOG._replace(tail_ns=0), NOW)
    assert answer["log"]["age_ns"] is None
