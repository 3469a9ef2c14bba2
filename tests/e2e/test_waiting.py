"""A feed that is not there yet, goes away, or is somebody else's: bots say so and wait."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.e2e.processes import wait_for
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from tests.e2e.processes import Stage

TICKS = 500


def test_a_bot_waits_for_the_feed_and_for_the_next_one(stage: Stage) -> None:
    bots = [stage.bot(transport, transport, "*", "quote,trade,status") for transport in ("shm", "tcp")]
    for bot in bots:
        said = bot.process.says("waiting for")
        assert stage.address in said
        assert "feed run" in said
        assert "Traceback" not in said
        assert bot.collected.states == ["start"]
    for times in (1, 2):
        feed = stage.up(
            stage.feed(source__sim__ticks=TICKS, source__sim__rate=0, feed__wait_bots=2, feed__processes="one")
        )
        for bot in bots:
            bot.reaches(times * TICKS)
        assert feed.end(signal.SIGTERM) == 0, feed.said
        assert stage.left() == []
        for bot in bots:
            wait_for(lambda bot=bot: bot.collected.states.count("stale") == times, f"{bot.name} to notice")  # noqa: B023
    for bot in bots:
        assert bot.process.end() == 0, bot.process.said
        got = bot.collected
        assert got.states == ["start", "live", "stale", "live", "stale", "stop"]
        assert sorted(got.seqs) == sorted(2 * list(range(1, TICKS + 1)))
        assert got.gaps == [("*", 0, 0, "epoch")]
        assert "Traceback" not in bot.process.said


def test_ctrl_c_ends_watching_whether_there_is_a_feed_or_not(stage: Stage) -> None:
    with Terminal(stage, ["bots", "watch", "AAPL", "MSFT", "--feed", stage.address]) as terminal:
        terminal.shows("waiting")
        terminal.shows("no feed answers")
        feed = stage.up(stage.feed(source__sim__rate=2000, feed__processes="one"))
        terminal.shows("live")
        terminal.shows("MSFT")
        terminal.ctrl_c()
        assert terminal.wait() == 0, terminal.shown
        assert "Traceback" not in terminal.shown
        assert "\x1b[?25h" in terminal.shown, "the cursor is back"
    assert feed.end(signal.SIGTERM) == 0
    with Terminal(stage, ["bots", "watch", "AAPL", "--feed", stage.address]) as terminal:
        terminal.shows("no feed answers")
        terminal.ctrl_c()
        assert terminal.wait() == 0, terminal.shown
        assert "Traceback" not in terminal.shown


def test_ctrl_c_ends_a_bot_with_one_line(stage: Stage) -> None:
    stage.up(stage.feed(source__sim__rate=20_000, feed__processes="one"))
    example = "bots/examples/mean.py"
    with Terminal(stage, ["bots", "run", example, "--symbols", "*", "--feed", stage.address]) as terminal:
        terminal.shows("trades")
        terminal.ctrl_c()
        assert terminal.wait() == 0, terminal.shown
    assert "Traceback" not in terminal.shown
    *_, told, summary = terminal.shown.replace("^C", "").strip().splitlines()
    assert "trades" in told  # on_stop
    assert summary.startswith("Mean-")
    assert "0 gaps, 0 lost, latency p50" in summary
