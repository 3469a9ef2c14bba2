"""Notional traded per symbol, from batches: for bots that count in arrays.

    python batches.py 'SIM*' [--feed tcp://127.0.0.1:5550]

`recv_many` gives what is waiting, ticks of one schema at a time: `batch.records` is a numpy structured array in the DBN
layout (prices are int64 in units of 1e-9), `batch.symbols`, `seq`, `topic_seq`, `ts_in` and `ts_bot` go with it.
"""

from __future__ import annotations

import argparse

import numpy as np

from bots import Subscriber

arguments = argparse.ArgumentParser()
arguments.add_argument("symbols", nargs="+")
arguments.add_argument("--feed", default="tcp://127.0.0.1:5550")
arguments.add_argument("--count", type=int, default=0, help="end after so many batches")
options = arguments.parse_args()

traded: dict[str, float] = {}
batches = 0
with Subscriber(options.symbols, ["trade"], feed=options.feed) as sub:
    while (batch := sub.recv_many(10_000)) is not None:
        notional = batch.records["price"] / 1e9 * batch.records["size"]
        symbols, which = np.unique(batch.symbols.astype(str), return_inverse=True)
        for symbol, amount in zip(symbols, np.bincount(which, weights=notional), strict=True):
            traded[str(symbol)] = traded.get(str(symbol), 0.0) + float(amount)
        batches += 1
        print(f"{len(batch)} trades, {sum(traded.values()):,.2f} in {len(traded)} symbols so far", flush=True)
        if batches == options.count:
            break
