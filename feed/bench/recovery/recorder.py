"""A recording bot's process, seen from the measurement that started it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from feed.bench.children import python
from feed.bench.recovery.bot import BotSpec
from feed.bench.recovery.daemon import until
from feed.bench.recovery.ticks import Taken

if TYPE_CHECKING:
    from feed.bench.children import Children
    from feed.bench.recovery.daemon import Daemon

__all__ = ["Recorder", "sdk_lost"]

_START_S = 120.0
"""For a bot among many that start at once."""

_ANSWER_S = 60.0
_WELL_S = 60.0
_BEHIND_NS = 100_000_000


class Recorder:
    """Starts a bot of `feed`; `options` are those of a BotSpec. Several start at once: each is to be `opened` then.

    :ivar pid: its process.
    """

    def __init__(self, children: Children, feed: Daemon, name: str, transport: str, **options: Any) -> None:
        self.transport = transport
        self._out = children.work / f"{name}.taken"
        self._child = children.start(name, python("feed.bench.recovery.bot"))
        self._child.tell(BotSpec(name=name, feed=feed.address, transport=transport, out=str(self._out), **options))
        self.pid = self._child.pid

    def opened(self) -> Recorder:
        """Returns when its subscription is in force."""
        self._child.hear(_START_S)
        return self

    def tell(self, *words: str) -> None:
        """One of the words that bot.py lists."""
        self._child.tell(words)

    def hear(self) -> dict[str, Any]:
        """What it says next. :raises HostError: it says nothing, or has ended."""
        return self._child.hear(_ANSWER_S)

    def figures(self) -> dict[str, Any]:
        self.tell("figures")
        return self.hear()

    def until_well(self) -> None:
        """Until it is live, waits for nothing and is not behind; while ticks flow, some are always under way."""

        def well() -> bool:
            figures = self.figures()
            return bool(figures["live"] and not figures["waiting"] and figures["lag_ns"] < _BEHIND_NS)

        until(well, f"{self._out.stem} to catch up", _WELL_S)

    def end(self) -> tuple[Taken, dict[str, Any]]:
        """End it: its ticks and its last figures."""
        self.tell("end")
        figures = self.hear()
        taken = Taken.read(Path(self._out), figures.pop("topics"))
        self._out.unlink()
        self._child.end()
        return taken, figures


def sdk_lost(figures: dict[str, Any]) -> int:
    """Ticks that the SDK itself says are lost."""
    return sum(figures["lost"].values())
