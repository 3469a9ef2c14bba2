"""The user's benchmarks: real processes through the public SDK, beside peers in one call. The way in: run.run().

recovery/ has a way in of its own: real feeds, their agents and archives, and what it takes to miss nothing.
"""

from feed.bench.plan import Options
from feed.bench.result import Result
from feed.bench.show import show

__all__ = ["Options", "Result", "show"]
