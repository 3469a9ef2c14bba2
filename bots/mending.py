"""Asks the control address for what recovery wants, and hands it the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feed.errors import WireError
from feed.wire.frames import log_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bots.directory import ControlClient
    from bots.recovery import Recovery

__all__ = ["Mender"]

ANSWER_NS = 1_000_000
"""How often it is looked whether an awaited answer has come."""


class Mender:
    """One request is under way at a time. `patterns` and `schemas` are what the bot subscribed to."""

    def __init__(
        self, recovery: Recovery, control: ControlClient, patterns: Sequence[str], schemas: Sequence[str] | None
    ) -> None:
        self._recovery = recovery
        self._control = control
        self._what: dict[str, Any] = {
            "patterns": list(patterns),
            "schemas": schemas if schemas is None else list(schemas),
        }
        self._number: int | None = None

    def look(self, now_ns: int) -> int:
        """Take an answer that has come; send what is to be asked. Never waits. `now_ns` is monotonic.

        Gives in how many ns to look again.
        """
        if self._number is not None:
            answer = self._control.answer(self._number)
            if answer is not None:
                self._number = None
                words, pieces = answer
                try:
                    runs = [log_frames(piece) for piece in pieces]
                except WireError as error:
                    words, runs = {"error": str(error)}, []
                self._recovery.accept(words, runs, now_ns)
        asked = self._recovery.ask(now_ns)
        if asked is None:
            return ANSWER_NS if self._number is not None else self._recovery.rest_ns(now_ns)
        if self._number is not None:
            self._control.forget(self._number)
        request, fields = asked
        self._number = self._control.request(request, **fields, **(self._what if request == "snapshot" else {}))
        return ANSWER_NS
