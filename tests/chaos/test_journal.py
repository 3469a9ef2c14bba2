"""A bot's journal, and the truth that it is compared with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from bots.testing import LocalFeed
from feed.wire.records import BY_WORD
from tests.chaos import truth
from tests.chaos.journal import CAUSE_WORDS, GAP, LIVE, STALE, TICK, Journal, Life


def test_what_was_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "bot.1")
    journal.live(77, 1000)
    journal.tick(journal.topic("trade.A"), 5, 1001, 0xFFFFFFFF, 2, 3)
    journal.gap("quote.A", 7, 9, "expired")
    journal.note(STALE)
    journal.close()
    life = Life.read(tmp_path / "bot.1")
    assert life.topics == ["trade.A", "quote.A"]
    assert life.entries["kind"].tolist() == [LIVE, TICK, GAP, STALE]
    assert life.entries[1].tolist() == (5, 1001, 0, 0xFFFFFFFF, 3, 2, 0, TICK)
    assert CAUSE_WORDS[life.of(GAP)["cause"][0]] == "expired"
    assert life.live_seq == 1000


def test_lives_do_not_share_their_files(tmp_path: Path) -> None:
    for life in (1, 2):
        journal = Journal(tmp_path / f"bot.{life}")
        journal.tick(journal.topic(f"trade.{life}"), life, life, 0, 0, 0)
        journal.close()
    assert [Life.read(tmp_path / f"bot.{life}").topics for life in (1, 2)] == [["trade.1"], ["trade.2"]]


def test_a_bot_that_has_written_nothing_has_a_life_too(tmp_path: Path) -> None:
    life = Life.read(tmp_path / "bot.1")
    assert (life.topics, len(life.entries), life.live_seq) == ([], 0, None)


def test_it_grows_and_is_read_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.chaos.journal.GROW_BYTES", 4096)
    journal = Journal(tmp_path / "bot.1")
    for n in range(1, 1001):
        journal.tick(0, n, n, 0, 0, 0)
        if n % 64 in {0, 1}:
            assert len(Life.read(tmp_path / "bot.1").entries) == n
    journal.close()
    assert Life.read(tmp_path / "bot.1").entries["first"].tolist() == list(range(1, 1001))


def test_a_kill_costs_no_entry(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.chaos.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    n += 1; journal.tick(journal.topic('trade.A'), n, n, n, 0, 0); print(n, flush=True)\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "bot.1")]
    with subprocess.Popen(arguments, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as bot:
        assert bot.stdout is not None
        while int(bot.stdout.readline()) < 1000:
            pass
        os.kill(bot.pid, signal.SIGKILL)
        rest = bot.stdout.read().splitlines()
    last = int(rest[-1]) if rest else 1000
    numbers = Life.read(tmp_path / "bot.1").entries["first"]
    assert np.array_equal(numbers, np.arange(1, len(numbers) + 1))
    assert len(numbers) in {last, last + 1}


def test_the_truth_is_what_was_published() -> None:
    with LocalFeed(archive=True) as feed:
        for n in range(300):
            feed.publish("trade" if n % 3 else "quote", "A" if n % 2 else "B", price=n)
        feed.wait_idle()
        folder = feed.config.archive_directory
        assert folder is not None
        while truth.reached(folder) < 300:  # the archive may take its time
            time.sleep(0.01)
        found = truth.read(folder, 251)
        assert (found.epoch, found.missing, found.faults, found.ticks) == (feed.epoch, [], [], 250)
        expected = feed.log[:250]
    for name, topic in found.topics.items():
        facts = [fact for fact in expected if fact.topic == name]
        assert topic.first == 1
        assert topic.last == len(facts)
        assert topic.seqs.tolist() == [fact.seq for fact in facts]
        assert topic.crcs.tolist() == [zlib.crc32(fact.record) for fact in facts]
        assert all(len(fact.record) == BY_WORD[name.partition(".")[0]].record_bytes for fact in facts)
