"""How long ticks take until this bot has them, second by second.

    python latency.py 'SIM*' [--transport tcp] [--idle spin] [--feed tcp://127.0.0.1:5550]

Stages: `wire` from the publisher's send (shm: from the commit) until here; `total` from the feed's receipt until here.
`stats()` knows, because every tick is measured natively; the feed shows the same figures (`bots lag`, `/metrics`).
"""

from __future__ import annotations

import argparse
import time

from bots import Subscriber

arguments = argparse.ArgumentParser()
arguments.add_argument("symbols", nargs="+")
arguments.add_argument("--feed", default="tcp://127.0.0.1:5550")
arguments.add_argument("--transport", default="auto", choices=["auto", "shm", "ipc", "tcp"])
arguments.add_argument("--idle", default="park", choices=["park", "spin"])
arguments.add_argument("--for", dest="seconds", type=float, default=float("inf"))
options = arguments.parse_args()

with Subscriber(options.symbols, feed=options.feed, transport=options.transport, idle=options.idle) as sub:
    end = time.monotonic() + options.seconds
    while (left := end - time.monotonic()) > 0:
        until = time.monotonic() + min(1.0, left)
        while (rest := until - time.monotonic()) > 0:
            sub.recv(rest)
        stats = sub.stats()
        print(f"{stats['ticks']:,} ticks over {stats['transport']}, {sum(stats['lost'].values())} lost")
        for stage, ns in stats["latency"].items():
            quantiles = "  ".join(f"{name} {ns[name] / 1000:,.1f}" for name in ("p50", "p90", "p99", "p999", "max"))
            print(f"  {stage:8} {quantiles} µs", flush=True)
