"""The tables of Nasdaq's sources: what is refused, what two of them share, and how the plan says them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feed import config
from feed.plan import picture

if TYPE_CHECKING:
    from pathlib import Path

MOLD = '[source.m]\nkind = "itch-mold"\n'
SOUP = '[source.s]\nkind = "itch-soup"\n'
GROUP = 'groups = ["239.1.1.1:5000"]\n'
WRONG = {
    MOLD: "source.m.groups: is missing: expected one or two groups",
    MOLD + "groups = []": "source.m.groups: names too few or too many: expected one or two groups, found 0",
    MOLD + 'groups = ["239.1.1.1:1", "239.1.1.1:1"]': "source.m.groups: names a group twice",
    MOLD + 'groups = ["239.1.1.1"]': "source.m.groups: not allowed",
    MOLD + 'groups = ["10.1.1.1:5000"]': "source.m.groups: not a multicast group",
    MOLD + 'groups = ["239.1.1.1:70000"]': "source.m.groups: not a multicast group",
    MOLD + 'groups = ["239.1.1:5000"]': "source.m.groups: not a multicast group",
    MOLD + GROUP + 'request = "nobody"': "source.m.request: not an endpoint",
    MOLD + GROUP + 'request = "host:0"': "source.m.request: nobody can be reached there",
    MOLD + GROUP + 'give_up = "2h"': "source.m.give_up: too short or too long: expected 1ms to 1min, found 2h",
    MOLD + GROUP + 'reconnect = "1us"': "source.m.reconnect: too short or too long: expected 1ms to 30s",
    MOLD + GROUP + 'date = "2020-02-30"': "source.m.date: not a date: expected such as 2020-01-30",
    SOUP: 'source.s.address: is missing: expected the address "HOST:PORT" of a SoupBinTCP server',
    SOUP + 'address = "*:5000"': "source.s.address: nobody can be reached there",
    SOUP + 'address = "h:1"\nglimpse = "h"': "source.s.glimpse: not an endpoint",
    SOUP + 'address = "h:1"\nsession = "a session"': "source.s.session: not allowed: expected at most 10 letters and",
    SOUP + 'address = "h:1"\npassword = "secret"': "source.s.password: unknown key",
    MOLD + GROUP + SOUP + 'address = "h:1"': "found the stocks of XNAS, which source.m has too",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "feed.toml"
    path.write_text(text)
    (error,) = config.check(path)
    assert message in str(error)


def test_two_sources_of_one_market_may_differ_in_stocks_or_schemas(tmp_path: Path) -> None:
    path = tmp_path / "feed.toml"
    for one, other in (('symbols = ["AAPL"]', 'symbols = ["MSFT"]'), ('schemas = ["quote"]', 'schemas = ["trade"]')):
        path.write_text(f'{MOLD}{GROUP}{one}\n{SOUP}address = "h:1"\n{other}\n')
        assert config.check(path) == []
    path.write_text(f'{MOLD}{GROUP}market = "XBOS"\n{SOUP}address = "h:1"\n')
    assert config.check(path) == []


def test_the_plan_says_where_they_listen_and_whom_they_ask(tmp_path: Path) -> None:
    path = tmp_path / "feed.toml"
    path.write_text(
        f'{MOLD}{GROUP}request = "h:2"\ninterface = "eth1"\nmarket = "XBOS"\n'
        f'{SOUP}address = "h:1"\nglimpse = "h:3"\nsymbols = ["A*"]\nschemas = ["order"]\n'
    )
    said = picture(config.load(path))
    assert "XBOS ITCH over MoldUDP64: 239.1.1.1:5000 over eth1 (all symbols, all but book and order), asks h:2" in said
    assert "XNAS ITCH over SoupBinTCP: h:1 (A*, order), the session that runs, snapshot from h:3" in said
