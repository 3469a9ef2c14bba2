"""The spread of each quote: a loop over ticks.

    python spread.py AAPL MSFT [--feed tcp://127.0.0.1:5550]

Leaving the `with` block, also by Ctrl-C, leaves the feed.
"""

from __future__ import annotations

import argparse

from bots import Quote, Subscriber

arguments = argparse.ArgumentParser()
arguments.add_argument("symbols", nargs="+")
arguments.add_argument("--feed", default="tcp://127.0.0.1:5550")
arguments.add_argument("--count", type=int, default=0, help="end after so many quotes")
options = arguments.parse_args()

count = 0
with Subscriber(options.symbols, ["quote"], feed=options.feed) as sub:
    for q in sub:
        assert isinstance(q, Quote)
        print(f"{q.symbol:8} {q.bid_px:.4f} / {q.ask_px:.4f}  spread {q.ask_px - q.bid_px:.4f}", flush=True)
        count += 1
        if count == options.count:
            break
