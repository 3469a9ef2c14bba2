"""The bot of a chaos run: writes down all that it is told (journal.py). `python -m tests.chaos.recorder JSON`.

The JSON has `file`, and what a Subscriber takes. It runs until SIGINT or SIGTERM.
"""

from __future__ import annotations

import logging
import signal
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bots import Bot, Gap, Subscriber, Tick
from bots.bot import run
from feed.log.observer import LogObserver
from feed.log.place import directory
from tests.chaos.journal import STALE, STOP, Journal

FEED_NAME = "main"


class Recorder(Bot):
    def __init__(self, file: Path) -> None:
        self.journal = Journal(file)
        for schema in ("trade", "quote", "status"):  # what the simulator has
            setattr(self, f"on_{schema}", self.writer())

    def writer(self) -> Callable[[Tick], None]:
        """A callback for one schema: to ask each tick for its own would cost more than all the rest."""
        journal = self.journal
        ids: dict[str, int] = {}

        def write(t: Tick) -> None:
            topic = ids.get(t.symbol)
            if topic is None:
                topic = ids[t.symbol] = journal.topic(t.topic)
            journal.tick(topic, t.topic_seq, t.seq, zlib.crc32(t.record), t.flags, t.folded)

        return write

    def on_gap(self, gap: Gap) -> None:
        self.journal.gap(gap.topic, gap.first, gap.last, gap.cause)

    def on_live(self) -> None:
        """From here on it gets everything: the log, which is on this host, says what that is."""
        self.journal.live(self.subscriber.stats()["epoch"], LogObserver(directory(FEED_NAME)).next_seq)

    def on_stale(self, *_: object) -> None:
        self.journal.note(STALE)

    def on_stop(self) -> None:
        self.journal.note(STOP)


def main(options: dict[str, Any]) -> None:
    logging.basicConfig(format="%(asctime)s %(message)s")
    bot = Recorder(Path(options.pop("file")))
    subscriber = Subscriber(**options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: subscriber.stop())
    run(bot, subscriber)
    bot.journal.close()


if __name__ == "__main__":
    main(orjson.loads(sys.argv[1]))
