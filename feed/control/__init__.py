"""The control address: what a bot asks the feed, and what it reports."""

from feed.control.server import Control

__all__ = ["Control"]
