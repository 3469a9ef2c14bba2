"""A bot that takes 20 ms for each quote, so that it falls behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bots import Bot

if TYPE_CHECKING:
    from bots import Quote


class Sleeper(Bot):
    def on_quote(self, q: Quote) -> None:
        time.sleep(0.02)
