"""feed/monitor/web in a real Chromium: of a stand-in for the monitor, and of a running feed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import processes
from tests.e2e.processes import wait_for
from tests.monitor.chromium import Chromium
from tests.monitor.page.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

PAGE = Path(__file__).with_name("page")
AGENTS = "document.querySelectorAll('#agents tbody tr')"
BOTS = "document.querySelectorAll('#bots-table tbody tr')"
ENTER, TAB = ("Enter", 13, "\r"), ("Tab", 9)

SHOWN_NS = """((text) => {
  const [, figure, unit] = /([\\d.,]+) (ns|µs|ms|s)/.exec(text);
  return parseFloat(figure.replaceAll(',', '')) * { ns: 1, 'µs': 1e3, ms: 1e6, s: 1e9 }[unit];
})"""


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(body())


@asynccontextmanager
async def opened(folder: Path, server: StandIn, **size: int) -> AsyncIterator[Chromium]:
    """A browser that shows what the stand-in answers; at the end nothing must have gone wrong in it."""
    async with server, Chromium(folder, **size) as browser:
        await browser.open(server.url)
        await browser.shows(f"{BOTS}.length === {server.bots_count} && document.querySelectorAll('canvas').length >= 8")
        yield browser
        assert browser.complaints == []


async def polled(server: StandIn, browser: Chromium, times: int = 2) -> None:
    """Wait until it has asked (and shown, but for the last time) so often more."""
    wanted = server.polls + times
    await browser.until(lambda: server.polls >= wanted)


def test_it_loads_from_here_alone_and_without_complaint(tmp_path: Path) -> None:
    async def body() -> None:
        server = StandIn(bots_count=5, symbols=30)
        async with opened(tmp_path, server) as browser:
            await polled(server, browser)
            assert all(url.startswith(server.url) for url in browser.requests), browser.requests
            assert await browser.text("#feed") == "main"
            assert await browser.text("#health") == "Well"
            assert await browser.text("#bots-count") == "5"
            assert "30 topics, 3 sources" in await browser.text("#topics")
            assert re.search(r"shm within target.*tcp over target", await browser.text("#p50"))

    run(body)


def test_what_happens_is_seen(tmp_path: Path) -> None:
    async def body() -> None:
        server = StandIn(bots_count=20, symbols=30)
        async with opened(tmp_path, server) as browser:
            name = server.bot(7)["bot"]
            server.bots[name] = {"lag_ns": 700_000_000, "lost": {"overrun": 12}}
            server.bots[server.bot(3)["bot"]] = {"report_age_ns": 8_000_000_000}
            server.bots[server.bot(5)["bot"]] = {"filled": 31}
            server.agents["publish.tcp"] = "down"
            server.ills = ["agent publish.tcp is down"]
            server.happens("agent", "bad", "agent publish.tcp is down")
            await browser.shows("document.getElementById('health').textContent === 'Ill'")
            assert await browser.text("#ills") == "agent publish.tcp is down"
            assert re.search(r"publish\.tcpdown", await browser.text("#agents"))
            assert "agent publish.tcp is down" in await browser.text("#events li")
            assert await browser.text("#bots-ill") == "1 silent, 1 lagging, 1 filling"
            rows = await browser.value(f"Array.from({BOTS}, (row) => row.textContent).slice(0, 3)")
            assert "silent 8 s" in rows[0]
            assert rows[1].startswith(f"{name}lagging")
            assert "overrun 12" in rows[1]
            assert "ticks lost, filled" in rows[2]
            await browser.value("document.getElementById('bots-only').click()")
            assert await browser.value(f"{BOTS}.length") == 3

    run(body)


def test_names_are_text(tmp_path: Path) -> None:
    async def body() -> None:
        server = StandIn(bots_count=3, symbols=3)
        name = server.bot(0)["bot"]
        server.bots[name] = {"bot": "<img src=x onerror=alert(1)>"}
        server.happens("bot", "note", "<b>bot</b> is new")
        async with opened(tmp_path, server) as browser:
            assert "<img src=x" in await browser.text("#bots-table")
            assert "<b>bot</b>" in await browser.text("#events")
            assert await browser.value("document.querySelectorAll('#bots-table img, #events li b').length") == 0

    run(body)


def test_a_monitor_that_does_not_answer(tmp_path: Path) -> None:
    async def body() -> None:
        server = StandIn(bots_count=3, symbols=3)
        banner = "document.getElementById('silence')"
        async with opened(tmp_path, server) as browser:
            server.answers = False
            said = await browser.shows(f"!{banner}.hidden && {banner}.textContent")
            assert re.match(r"The monitor does not answer since \d\d:\d\d:\d\d", said)
            server.answers = True
            await browser.shows(f"{banner}.hidden")
            server.stands = True
            said = await browser.shows(f"!{banner}.hidden && {banner}.textContent")
            assert re.match(r"The monitor answers, but has nothing newer than \d\d:\d\d:\d\d", said)
            server.stands = False
            await browser.shows(f"{banner}.hidden")
            refused = [complaint for complaint in browser.complaints if "503" in complaint]
            assert browser.complaints == refused
            browser.complaints.clear()

    run(body)


def test_it_asks_only_while_it_is_seen(tmp_path: Path) -> None:
    async def body() -> None:
        server = StandIn(bots_count=3, symbols=3)
        async with opened(tmp_path, server) as browser:
            await browser.hide()
            await browser.shows("document.hidden")
            asked = server.polls
            await asyncio.sleep(1.7)
            assert server.polls <= asked + 1
            await browser.unhide()
            await polled(server, browser)

    run(body)


def test_symbols_are_filtered_by_the_monitor(tmp_path: Path) -> None:
    async def body() -> None:
        server = StandIn(bots_count=3, symbols=10_000)
        async with opened(tmp_path, server) as browser:
            await browser.value("document.getElementById('symbols-filter').focus()")
            await browser.type("sym0123")
            await browser.shows("document.querySelectorAll('#symbols tbody tr').length === 10")
            assert await browser.text("#symbols-found") == "10 of 10,000"

    run(body)


def test_the_table_sorts_with_the_keyboard(tmp_path: Path) -> None:
    async def body() -> None:
        names = f"Array.from({BOTS}, (row) => row.cells[0].textContent)"
        sort = "Array.from(document.querySelectorAll('#bots-table thead th'), (head) => head.ariaSort)"
        async with opened(tmp_path, StandIn(bots_count=20, symbols=3)) as browser:
            assert (await browser.value(sort))[:3] == [None, "descending", None]
            await browser.value("document.querySelector('#bots-table').parentElement.focus()")
            await browser.press(*TAB)
            assert await browser.value("document.activeElement.textContent") == "bot"
            await browser.press(*ENTER)
            assert (await browser.value(sort))[:2] == ["ascending", None]
            assert (found := await browser.value(names)) == sorted(found)
            await browser.press(*ENTER)
            assert (await browser.value(sort))[0] == "descending"
            assert (found := await browser.value(names)) == sorted(found, reverse=True)
            for _ in range(3):
                await browser.press(*TAB)
            await browser.press(*ENTER)
            assert (await browser.value(sort))[3] == "descending"
            rates = await browser.value(
                f"Array.from({BOTS}, (row) => parseFloat(row.cells[3].textContent.replace(',', '')))"
            )
            assert rates == sorted(rates, reverse=True)

    run(body)


def test_dark_and_light(tmp_path: Path) -> None:
    async def body() -> None:
        ground = "getComputedStyle(document.body).backgroundColor"
        press = "document.getElementById('theme').click()"
        async with opened(tmp_path, StandIn(bots_count=3, symbols=3)) as browser:
            grounds = {}
            for theme in ("light", "dark"):
                await browser.prefer(theme)
                await browser.shows(f"document.documentElement.dataset.theme === '{theme}'")
                grounds[theme] = await browser.value(ground)
            assert grounds["light"] != grounds["dark"]
            for chosen in ("dark", "light"):
                await browser.value(press)
                assert await browser.text("#theme") == f"Theme: {chosen}"
                assert await browser.value(ground) == grounds[chosen]
            await browser.call("Page.reload")
            await browser.shows("document.querySelector('#theme')?.textContent === 'Theme: light'")
            assert await browser.value(ground) == grounds["light"]
            await browser.value(press)
            assert await browser.text("#theme") == "Theme: system"
            assert await browser.value(ground) == grounds["dark"]

    run(body)


def test_a_screen_reader_is_told_everything(tmp_path: Path) -> None:
    async def body() -> None:
        server = StandIn(bots_count=3, symbols=3)
        async with opened(tmp_path, server) as browser:
            await polled(server, browser)
            tree = await browser.tree()
            named = {
                "button",
                "checkbox",
                "searchbox",
                "image",
                "table",
                "region",
                "heading",
                "link",
                "progressbar",
                "log",
            }
            nameless = [node for node in tree if node["role"] in named and not node["name"].strip()]
            assert nameless == []
            roles = [node["role"] for node in tree]
            assert {"banner", "main", "contentinfo", "log", "status"} <= set(roles)
            charts = [node["name"] for node in tree if node["role"] == "image"]
            assert len(charts) == 9
            assert any(re.search(r"Latency, total.*shm: p50 [\d.]+ µs, p99 [\d.]+ µs", name) for name in charts)
            assert any(re.search(r"Spread.*% within the p50 target of 13\.4 µs", name) for name in charts)
            levels = [node["level"] for node in tree if node["role"] == "heading"]
            assert levels[:2] == [1, 2]
            assert set(levels) == {1, 2, 3}
            for wrong in ("th:not([scope])", "table:not(:has(caption))"):
                assert await browser.value(f"document.querySelectorAll('{wrong}').length") == 0, wrong

    run(body)


def test_nothing_sticks_out(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, StandIn(bots_count=20, symbols=30)) as browser:
            for width in (390, 1440, 2560):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                await browser.call("Emulation.setDeviceMetricsOverride", **size)
                await browser.shows(f"innerWidth === {width}")
                assert await browser.value("document.documentElement.scrollWidth") <= width

    run(body)


def test_200_bots_and_10_000_symbols(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def body() -> None:
        server = StandIn()
        async with opened(tmp_path, server) as browser:
            paint = await browser.shows("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
            before = await browser.metrics()
            await asyncio.sleep(3)
            busy = ((await browser.metrics())["TaskDuration"] - before["TaskDuration"]) / 3
            server.per_poll = 1  # from here on its clock goes with the page's
            await browser.hurry(5)
            nodes, heap = (await browser.metrics())["Nodes"], await browser.heap()
            await browser.hurry(60)
            grown, more = await browser.heap() - heap, (await browser.metrics())["Nodes"] - nodes
            with capsys.disabled():
                print(f"\n  first paint {paint:.0f} ms, {busy:.1%} of a core, heap {heap / 1e6:.1f} MB", end=" ")
                print(f"{grown / 1e6:+.2f} MB, nodes {more:+.0f} after 60 more answers")
            assert grown < 1e6
            assert await browser.value(f"{BOTS}.length") == 200

    run(body)


async def shown_of_a_window(browser: Chromium, stage: str, transport: str, count: str) -> list[str]:
    """The cells of a row of the windows' table, once it has so many: the page asks once a second."""
    script = f"""Array.from(document.querySelectorAll('#windows tbody tr'),
        (row) => Array.from(row.cells, (cell) => cell.textContent)
    ).find((cells) => cells[0] === '{stage}' && cells[1] === '{transport}' && cells[17] === '{count}')"""
    found: list[str] = await browser.shows(script)
    return found


def test_a_running_feed(tmp_path: Path) -> None:
    """It ticks 20,000 times and then stands still, so that all who look must see the same."""

    async def body() -> None:
        with processes.stage() as stage:
            feed = stage.feed(source__sim__rate=10_000, source__sim__ticks=20_000, feed__wait_bots=2)
            stage.bot("quick", "shm", "*")
            stage.start(
                "bots",
                "run",
                PAGE / "sleeper.py",
                "--symbols",
                "*",
                "--transport",
                "tcp",
                "--slow",
                "fill",
                "--name",
                "sleeper",
                "--feed",
                stage.address,
            )
            stage.up(feed)
            async with Chromium(tmp_path) as browser:
                await browser.open(f"http://127.0.0.1:{stage.monitor_port}/")
                await browser.shows("document.getElementById('log').textContent.includes('20,001')")
                wait_for(lambda: ("quick", 20_000) in [(bot["bot"], bot["ticks"]) for bot in stage.stat()["bots"]])
                await the_same_as_stat(browser, json.loads(stage.run("feed", "stat", "--json")))
                await browser.shows(f"Array.from({BOTS}).some((row) => row.textContent.startsWith('sleeperlagging'))")
                assert await browser.shows("/bot sleeper lags by/.test(document.getElementById('events').textContent)")
                assert "1 lagging" in await browser.text("#bots-ill")

                killed = stage.agent("publish.tcp")["pid"]
                os.kill(killed, signal.SIGKILL)
                await browser.shows("/agent publish.tcp/.test(document.getElementById('events').textContent)")
                row = f"Array.from({AGENTS}).find((row) => row.textContent.startsWith('publish.tcp'))"
                await browser.shows(f"{row}.cells[3].textContent === '1' && {row}.cells[1].textContent === 'up'")
                assert await browser.value(f"{row}.cells[2].textContent") == str(stage.agent("publish.tcp")["pid"])
                wait_for(lambda: stage.agent("publish.tcp")["pid"] != killed)
                stage.agents.add(stage.agent("publish.tcp")["pid"])
                assert browser.complaints == []

    run(body)


async def the_same_as_stat(browser: Chromium, stat: dict[str, Any]) -> None:
    """What the page says is what `feed stat --json` says, to the figures that are shown."""
    assert stat["log"]["next_seq"] == 20_001
    assert "20,000" in await browser.text("#sources")
    agents = await browser.value(
        f"Array.from({AGENTS}, (row) => [row.cells[0].textContent, +row.cells[2].textContent])"
    )
    assert agents == [[agent["agent"], agent["pid"]] for agent in stat["agents"]]
    assert await browser.value(f"Array.from({BOTS}, (row) => row.cells[0].textContent).sort()") == [
        bot["bot"] for bot in stat["bots"]
    ]
    # Of tcp the sleeper still gets some.
    settled = [one for one in stat["latency"] if one["transport"] != "tcp" and one["count"]]
    shown_cells = [
        await shown_of_a_window(browser, one["stage"], one["transport"], f"{one['count']:,}") for one in settled
    ]
    answer = await browser.value("fetch('/api/recent?since=0').then((answer) => answer.json())")
    windows = {(one["stage"], one["transport"]): one for one in answer["now"]["windows"]["15m"]}
    for one, cells in zip(settled, shown_cells, strict=True):
        of_15m = windows[one["stage"], one["transport"]]
        assert cells[17] == f"{one['count']:,}" == f"{of_15m['count']:,}"
        for cell, key in zip(cells[12:17], ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"), strict=True):
            shown = await browser.value(f"{SHOWN_NS}({cell!r})") if cell != "0" else 0
            assert shown == pytest.approx(of_15m[key], rel=0.006, abs=0.6), (one, cells)
            assert shown == pytest.approx(one[key], rel=0.02, abs=2), (one, cells)
