"""The log that control follows: its snapshot cache and its replay, taken up when there is a log, left when it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from feed import clock
from feed.control.replay import Replay
from feed.control.state import State
from feed.errors import ControlError, LogError, LogMissing
from feed.log.observer import LogObserver
from feed.roll import Roll

if TYPE_CHECKING:
    from pathlib import Path

    from feed.config import FeedConfig

__all__ = ["Following"]

log = logging.getLogger("tickcast.control")

SLICE_FRAMES = 16_384
"""Log frames that one poll takes in: about half a millisecond's."""

RETRY_NS = 100_000_000
"""Between two looks for a log, ns."""

LOOK_NS = 1_000_000_000
"""Between two looks whether it is still the one that is there, ns."""


class Following:
    """The log in `directory`, once there is one and a place among its readers; `poll` keeps up with it.

    :ivar left: how often a log was left.
    """

    def __init__(self, config: FeedConfig, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self._roll = Roll.parse(config.feed.roll, where="feed.roll")
        self._roll_ns = 0
        self._state: State | None = None
        self._replay: Replay | None = None
        self.left = 0
        self._next_look_ns = 0
        self._given_up = 0
        self._overruns = 0
        self._why = ""

    @property
    def state(self) -> State:
        """Raises ControlError while there is none."""
        if self._state is None:
            raise ControlError("the feed's log can't be read now; ask again", found=self._why or None)
        return self._state

    @property
    def replay(self) -> Replay:
        """Raises ControlError while there is none."""
        if self._replay is None:
            raise ControlError("the feed's log can't be read now; ask again", found=self._why or None)
        return self._replay

    def retired(self, topic_id: int) -> bool:
        """Is a topic of the present log to be told of no more?"""
        return self._state is not None and self._state.retired(topic_id)

    @property
    def retired_symbols(self) -> int:
        """Symbols of which every topic is retired."""
        return 0 if self._state is None else self._state.retired_symbols

    def poll(self) -> bool:
        """Take up a log, take in a slice of it, or leave it; true if there may be more: a moving log always has
        a little more, and whoever waited for its end would never sleep.
        """
        if self._state is None and not self._take_up():
            return False
        assert self._state is not None
        assert self._replay is not None
        try:
            more = self._state.follow(SLICE_FRAMES)
        except LogError as error:
            log.warning("the snapshot cache begins anew: %s", error)
            self._leave(str(error))
            return False
        self._replay.rest()
        if self._state.overruns > self._overruns:
            self._overruns = self._state.overruns
            log.warning("overtaken by the log: snapshots name the books of which records were missed")
        if self._state.books_given_up > self._given_up:
            if not self._given_up:
                log.warning("books of `order` topics were given up: control.book_orders is too small for them")
            self._given_up = self._state.books_given_up
        if self._roll is not None and clock.now_ns() >= self._roll_ns:
            self._state.roll(clock.now_ns())
            self._roll_ns = self._roll.next_ns(clock.now_ns())
        ended = not more and self._state.ended
        if ended or self._wiped(self._state):
            self._leave("it has ended" if ended else "it was wiped away")
            self._next_look_ns = 0
        return more

    def close(self) -> None:
        """Leave the log; the cache stays where it is, for the next control."""
        self._leave("")

    def _take_up(self) -> bool:
        now = clock.monotonic_ns()
        if now < self._next_look_ns:
            return False
        self._next_look_ns = now + RETRY_NS
        try:
            self._state = State.open(self._directory, orders=self._config.control.book_orders, now_ns=clock.now_ns())
            self._replay = Replay(self._directory, self._config.archive_directory)
        except LogMissing as error:
            self._leave(str(error))
            return False
        except LogError as error:
            if str(error) != self._why:
                log.warning("no snapshots and no replays for now: %s", error)
            self._leave(str(error))
            return False
        self._given_up = self._overruns = 0
        if self._roll is not None:
            self._roll_ns = self._roll.next_ns(self._state.rolled_ns)
        return True

    def _wiped(self, state: State) -> bool:
        """Is there another log by now, and nobody could tell the readers of this one? Looks once a second."""
        now = clock.monotonic_ns()
        if now < self._next_look_ns:
            return False
        self._next_look_ns = now + LOOK_NS
        try:
            return LogObserver(self._directory).epoch != state.epoch
        except LogMissing:
            return False

    def _leave(self, why: str) -> None:
        self._why = why
        self.left += self._state is not None
        if self._replay is not None:
            self._replay.close()
            self._replay = None
        if self._state is not None:
            self._state.close()
            self._state = None
