"""What it takes to miss nothing: joining late, filling gaps, slow bots, the archive, catching up, restarts.

Each is measured on a feed as a user runs one (feed.py), with bots in processes of their own (bot.py) whose ticks are
counted by their numbers, not by what the SDK says of itself (ticks.py). The way in: run.run().
"""

from feed.bench.recovery.plan import Options
from feed.bench.recovery.result import Row
from feed.bench.recovery.show import show

__all__ = ["Options", "Row", "show"]
