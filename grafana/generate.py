"""`python -m grafana.generate` writes the dashboards of grafana/boards to grafana/dashboards, as Grafana takes them."""

from __future__ import annotations

import json
from pathlib import Path

from grafana.boards.bots import bots
from grafana.boards.feed import feed
from grafana.boards.host import host
from grafana.boards.venues import venues

__all__ = ["TO", "files"]

TO = Path(__file__).with_name("dashboards")


def files() -> dict[str, str]:
    """Name and text of each file in grafana/dashboards."""
    boards = [board() for board in (feed, bots, venues, host)]
    return {f"{board.name}.json": json.dumps(board.json(), indent=2, ensure_ascii=False) + "\n" for board in boards}


if __name__ == "__main__":
    TO.mkdir(exist_ok=True)
    for name, text in files().items():
        (TO / name).write_text(text)
