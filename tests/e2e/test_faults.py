"""kill -9 under load: who notices what, and that nothing is lost in silence."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.processes import Bot, Collected, Stage

RATE = 3000
KILLS = 5


def advance(*bots: Bot, by: int = RATE) -> None:
    """Wait until each bot was told so much more."""
    goals = [(bot, bot.lines() + by) for bot in bots]
    for bot, goal in goals:
        bot.reaches(goal)


def finish(*bots: Bot) -> list[Collected]:
    for bot in bots:
        assert bot.process.end() == 0, bot.process.said
    return [bot.collected for bot in bots]


def test_a_killed_publisher_costs_nobody_anything(stage: Stage) -> None:
    feed = stage.up(stage.feed(source__sim__rate=RATE, source__sim__symbols=10, feed__wait_bots=2))
    shm, tcp = (stage.bot(transport, transport, "*", "quote,trade,status") for transport in ("shm", "tcp"))
    advance(shm, tcp)
    for _ in range(KILLS):
        stage.kill_agent("publish.tcp")
        advance(shm, tcp)
    assert stage.agent("ingest")["restarts"] == 0
    (via_tcp,) = finish(tcp)
    shm.reaches(max(via_tcp.seqs))  # it has every seq, and so by now all that the other one had
    (via_shm,) = finish(shm)

    assert via_shm.gaps == via_tcp.gaps == []
    assert "stale" not in via_shm.states
    assert via_shm.seqs == list(range(1, via_shm.count + 1))
    assert len({*via_tcp.epochs, *via_shm.epochs}) == 1
    for name, ticks in via_tcp.ticks.items():
        received = via_tcp.topic_seqs(name)
        assert received == list(range(1, max(received) + 1)), f"{name}: in order, nothing missing, nothing twice"
        truth = {topic_seq: record for _, topic_seq, record in via_shm.ticks[name]}
        assert all(truth[topic_seq] == record for _, topic_seq, record in ticks), name
    assert feed.end(signal.SIGTERM) == 0, feed.said
    assert stage.left() == []


def test_a_killed_sequencer_continues_epoch_and_numbering_and_nobody_loses_anything(stage: Stage) -> None:
    feed = stage.up(stage.feed(source__sim__rate=RATE, source__sim__symbols=10, feed__wait_bots=2))
    shm, tcp = (stage.bot(transport, transport, "*", "quote,trade,status") for transport in ("shm", "tcp"))
    advance(shm, tcp)
    epoch = stage.stat()["log"]["epoch"]
    stage.kill_agent("ingest")
    advance(shm, tcp)
    assert stage.stat()["log"]["epoch"] == epoch
    assert stage.agent("publish.tcp")["restarts"] == 0
    for got in finish(shm, tcp):
        assert got.gaps == []
        for name in got.ticks:
            received = got.topic_seqs(name)
            assert received == list(range(1, len(received) + 1)), name
    assert shm.collected.seqs == list(range(1, shm.collected.count + 1))
    assert feed.end(signal.SIGTERM) == 0, feed.said
    assert stage.left() == []
