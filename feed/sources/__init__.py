"""Where ticks come from, one file each: sim, replay, archive, push, and yours. What a source is: `source`, and for
yours `base`."""

from feed.sources.base import Source

__all__ = ["Source"]
