"""The bot that the end-to-end tests run: a line in $COLLECT_TO for everything it is told."""

from __future__ import annotations

import os

from bots import Bot


class Collector(Bot):
    def on_start(self) -> None:
        self.file = open(os.environ["COLLECT_TO"], "a")  # noqa: PTH123, SIM115 - on_stop closes it
        self.say("start")

    def say(self, line: str) -> None:
        print(line, file=self.file, flush=True)

    def on_tick(self, tick) -> None:
        print("tick", tick.topic.replace("|", ""), tick.seq, tick.topic_seq, tick.record.hex(), file=self.file)

    on_trade = on_quote = on_bbo = on_book = on_order = on_bar = on_status = on_stat = on_imbalance = on_tick
    on_definition = on_tick

    def on_gap(self, gap) -> None:
        self.say(f"gap {gap.topic.rstrip('|')} {gap.first} {gap.last} {gap.cause}")

    def on_batch_end(self) -> None:
        self.file.flush()

    def on_live(self) -> None:
        self.say(f"live {self.subscriber.stats()['epoch']}")

    def on_stale(self, stale) -> None:
        self.say("stale")

    def on_stop(self) -> None:
        self.say("stop")
        self.file.close()
