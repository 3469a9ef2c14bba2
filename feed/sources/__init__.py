"""Where ticks come from, one file each: sim, replay, archive, itch, push, and yours. What a source is: `source`; for
yours: `base`."""

from feed.sources.base import Source

__all__ = ["Source"]
