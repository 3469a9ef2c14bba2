"""The command `bots`: what it says when it is typed wrong, and that each command does its job on a real feed."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import orjson
import pytest
from typer.testing import CliRunner

from bots import cli
from tests.e2e import processes
from tests.e2e.processes import free_port, wait_for
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.processes import Stage

RAISING = """
from bots import Bot
from helper import TENTH

class Raising(Bot):
    seen = 0

    def on_quote(self, q):
        self.seen += 1
        if self.seen == TENTH:
            raise RuntimeError("I do not like it")

    def on_stop(self):
        print("stopped after", self.seen)
"""
TWO = "from bots import Bot\nclass One(Bot): ...\nclass Two(Bot): ...\n"


@pytest.fixture(scope="module")
def market() -> Iterator[Stage]:
    with processes.market() as made:
        yield made


@pytest.mark.parametrize("command", ["watch", "run", "lag"])
def test_help_teaches_with_an_example(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: bots {command} " in shown.stdout
    assert "--feed" in shown.stdout


def test_help_says_what_a_group_is() -> None:
    shown = " ".join(CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "160"}).stdout.split())
    assert "Divide the ticks with all bots of this name" in shown
    assert "symbol: all ticks of a symbol to the same bot" in shown


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        (["watch", "A|B"], "not allowed"),
        (["watch", "AAPL", "--schemas", "quotes"], "no such schema"),
        (["watch", "AAPL", "--feed", "127.0.0.1"], "--feed: not an address"),
        (["run", "missing.py", "--symbols", "AAPL"], "no such file"),
        (["run", "two.py", "--symbols", "AAPL"], "bots run two.py:One"),
        (["run", "two.py:Three", "--symbols", "AAPL"], "expected One, Two, found 'Three'"),
        (["run", "two.py:Two", "--symbols", "AAPL|"], "not allowed"),
        (["run", "two.py:Two", "--symbols", "AAPL", "--group", "of mine"], "not a group's name"),
        (["run", "two.py:Two", "--symbols", "AAPL", "--share", "turn"], "share: only bots of a group share"),
        (["run", "two.py:Two", "--symbols", "AAPL", "--group", "g", "--start", "snapshot"], "found a snapshot"),
        (["lag", "--feed", "tcp://localhost"], "--feed: not an address"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_exit_code_2(
    typed: list[str],
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "two.py").write_text(TWO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "argv", ["bots", *typed])
    with pytest.raises(SystemExit) as end:
        cli.main()
    sys.modules.pop("two", None)
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert what in said


def test_a_bot_that_raises_shows_its_own_lines_and_which_tick(market: Stage, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("TENTH = 10\n")
    file = tmp_path / "raising.py"
    file.write_text(RAISING)
    bot = market.start("bots", "run", file, "--symbols", "AAPL,MSFT", "--feed", market.address)
    assert bot.wait() == 1
    lines = bot.said.splitlines()
    at = lines.index("Traceback (most recent call last):")
    assert lines[at + 1] == f'  File "{file}", line 11, in on_quote'
    assert "RuntimeError: I do not like it" in lines
    assert "/bots/cli.py" not in bot.said
    assert any("quote of " in line and "topic_seq" in line and ", seq " in line for line in lines)
    assert "stopped after 10" in lines
    assert lines[-1].startswith("Raising-")
    assert " 10 ticks, 0 gaps, 0 lost" in lines[-1]


def test_sigterm_ends_a_bot_cleanly_with_a_summary(market: Stage) -> None:
    bot = market.bot("terminated", "shm", "*")
    wait_for(lambda: bot.collected.count > 10, "ticks")
    assert bot.process.end(signal.SIGTERM) == 0
    assert bot.collected.states == ["start", "live", "stop"]
    assert bot.process.said.startswith(f"terminated: {bot.collected.count:,} ticks, 0 gaps, 0 lost, latency p50 ")
    assert bot.process.said.count("\n") == 1


def test_in_stream_order_all_symbols_come_as_the_feed_had_them(market: Stage) -> None:
    bot = market.bot("ordered", "tcp", "*", "quote,trade,status", "--order", "stream")
    bot.reaches(2000)
    assert bot.process.end() == 0, bot.process.said
    got = bot.collected
    assert got.seqs == list(range(got.seqs[0], got.seqs[0] + got.count))
    assert got.gaps == []


def test_watch_shows_its_symbols_and_no_others(market: Stage) -> None:
    said = watched(market, "AAPL", "MS*")
    assert said.startswith("live  ")
    assert "over shm" in said
    symbols = {line.split()[0] for line in said.splitlines()[4:] if line.strip()}
    assert {"AAPL", "MSFT"} <= symbols
    assert all(symbol == "AAPL" or symbol.startswith("MS") for symbol in symbols), said


def test_watch_takes_other_schemas_and_transports(market: Stage) -> None:
    said = watched(market, "*", "--schemas", "trade", "--transport", "tcp")
    assert "over tcp" in said
    (row,) = [line.split() for line in said.splitlines() if line.strip().startswith("AAPL ")]
    assert row[1:5] == ["-"] * 4, "no quotes were asked for"
    assert row[5] != "-"


def test_watch_ends_by_itself(market: Stage) -> None:
    assert market.run("bots", "watch", "AAPL", "--for", "0", "--feed", market.address)


def watched(market: Stage, *arguments: str) -> str:
    """What `bots watch` has shown when Ctrl-C ends it, once it has told the feed of its ticks."""
    process = market.start("bots", "watch", *arguments, "--feed", market.address)

    def ticks() -> int:
        return sum(bot["ticks"] for bot in market.ask("bots")["bots"] if bot["name"] == f"watch-{process.pid}")

    wait_for(lambda: ticks() > 500, lambda: process.said)
    assert process.end() == 0, process.said
    return process.said


def test_lag_lists_each_bot(market: Stage) -> None:
    bots = [market.bot(f"lagging-{transport}", transport, "AAPL") for transport in ("shm", "tcp")]
    names = {bot.name for bot in bots}
    wait_for(
        lambda: sum(bot["ticks"] > 0 for bot in market.ask("bots")["bots"] if bot["name"] in names) == 2, "two reports"
    )
    listed = orjson.loads(market.run("bots", "lag", "--json", "--feed", market.address))
    found = {bot["name"]: bot for bot in listed if bot["name"] in names}
    assert {name: bot["transport"] for name, bot in found.items()} == {"lagging-shm": "shm", "lagging-tcp": "tcp"}
    assert all(bot["latency_ns"]["p50"] > 0 and not bot["lost"] for bot in found.values())
    shown = market.run("bots", "lag", "--feed", market.address)
    for bot in bots:
        assert any(line.split()[:2] == [bot.name, bot.transport] for line in shown.splitlines()), shown
        bot.process.end()


def test_lag_can_be_watched(market: Stage) -> None:
    with Terminal(market, ["bots", "lag", "--watch", "--feed", market.address]) as terminal:
        terminal.shows("behind, lately")
        terminal.ctrl_c()
        assert terminal.wait() == 0, terminal.shown
    assert "Traceback" not in terminal.shown


def test_lag_without_a_feed_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "ANSWER_S", 0.2)
    address = f"tcp://127.0.0.1:{free_port()}"
    monkeypatch.setattr(sys, "argv", ["bots", "lag", "--feed", address])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert said.startswith(f"error: {address}: no feed answers")
    assert said.count("\n") == 1
