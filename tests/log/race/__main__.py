"""The soak: as long as one likes, with a fault or without."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.log.race.race import REPOSITORY, handshakes, race
from tests.log.race.seeded import MODULES, build

parser = argparse.ArgumentParser(prog="python -m tests.log.race", description=__doc__)
parser.add_argument(
    "--seconds", type=float, default=60.0, help="for each of three: readers against a writer, a sleeper, four"
)
parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance")
parser.add_argument("--fault", choices=sorted(MODULES), help="plant it; then something must go wrong")
options = parser.parse_args()

with (
    tempfile.TemporaryDirectory(prefix="tickcast-race-", dir="/dev/shm") as logs,
    tempfile.TemporaryDirectory() as copy,
):
    feed = build(options.fault, Path(copy)) if options.fault else REPOSITORY
    verdicts = [
        race(Path(logs, "race"), options.seconds, feed=feed, seed=options.seed),
        handshakes(Path(logs, "one"), options.seconds, sleepers=1, feed=feed, seed=options.seed),
        handshakes(Path(logs, "four"), options.seconds, sleepers=4, feed=feed, seed=options.seed),
    ]
for verdict in verdicts:
    print(verdict)
sys.exit(any(verdict.wrong for verdict in verdicts))
