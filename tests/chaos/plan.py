"""What goes wrong when in a chaos run. Pure: the same seed makes the same plan."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Blow", "plan"]

CUT_S = (0.5, 3.0)


class Blow(NamedTuple):
    """`at_s` after the beginning: an agent or a bot is killed (-9), or a bot's line is cut (`what`: kill, cut)."""

    at_s: float
    what: str
    target: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"kill {self.target}" if self.what == "kill" else f"cut {self.target} off for {self.seconds:.1f} s"


def plan(
    seed: int, seconds: float, *, every_s: float, agents: Sequence[str], bots: Sequence[str], lines: Sequence[str]
) -> list[Blow]:
    """One blow every `every_s`, the first after that time and the last no later than `seconds`.

    `agents` by name, publishers as "publish.NAME" count as one kind together; `bots` are killed, `lines` cut.
    """
    chance = random.Random(seed)
    kinds = sorted({name.partition(".")[0] for name in agents})
    blows = []
    for i in range(1, int(seconds / every_s) + 1):
        what = chance.choice([*kinds, "bot", "cut"])
        match what:
            case "bot":
                blow = Blow(i * every_s, "kill", chance.choice(list(bots)))
            case "cut":
                blow = Blow(i * every_s, "cut", chance.choice(list(lines)), round(chance.uniform(*CUT_S), 2))
            case _:
                found = [name for name in agents if name.partition(".")[0] == what]
                blow = Blow(i * every_s, "kill", chance.choice(found))
        blows.append(blow)
    return blows
