"""[source.NAME.validate]: which rules the ticks of a source must keep, and what happens to one that breaks a rule."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from feed.config.values import Duration, Table

__all__ = ["Action", "ValidateTable"]

Action = Literal["pass", "flag", "drop"]


class ValidateTable(Table, frozen=True, kw_only=True):
    """Rule to action (feed.normalize.validation says what each rule is), and the bounds that rules go by. ``band``: as
    a share of the last price, 0 is none; ``ahead`` and ``behind``: ts_event against ts_in."""

    off_tick: Action = "pass"
    off_band: Action = "pass"
    band: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0
    size_zero: Action = "pass"
    size_absurd: Action = "pass"
    size_max: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)] = 2**32 - 1
    crossed: Action = "pass"
    locked: Action = "pass"
    time_future: Action = "pass"
    ahead: Duration = "1s"
    time_old: Action = "pass"
    behind: Duration = "1min"
    sequence_back: Action = "pass"
    duplicate: Action = "pass"

    @property
    def actions(self) -> dict[str, Action]:
        """Rule to action, of the rules that are looked at."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in found.items() if value in ("flag", "drop")}
