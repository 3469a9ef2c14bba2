"""The bot that the end-to-end tests run: a line in $COLLECT_TO for all that it is told, even if it is killed."""

from __future__ import annotations

import os

from bots import Bot


class Collector(Bot):
    def on_start(self) -> None:
        self.file = open(os.environ["COLLECT_TO"], "a", buffering=1)  # noqa: PTH123, SIM115 - on_stop closes it
        self.say("start")

    def say(self, line: str) -> None:
        print(line, file=self.file)

    def on_tick(self, tick) -> None:
        self.say(f"tick {tick.topic.rstrip('|')} {tick.seq} {tick.topic_seq} {tick.flags} {tick.record.hex()}")

    on_trade = on_quote = on_bbo = on_book = on_order = on_bar = on_status = on_stat = on_imbalance = on_tick
    on_definition = on_tick

    def on_gap(self, gap) -> None:
        self.say(f"gap {gap.topic.rstrip('|')} {gap.first} {gap.last} {gap.cause}")

    def on_live(self) -> None:
        self.say(f"live {self.subscriber.stats()['epoch']}")

    def on_stale(self, stale) -> None:
        self.say("stale")

    def on_stop(self) -> None:
        self.say("stop")
        self.file.close()
