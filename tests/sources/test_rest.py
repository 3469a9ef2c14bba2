"""feed.sources.rest: a venue's answers, its pace and its refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from feed.errors import SourceError
from feed.sources.rest import Limited, Pace, Rest, waiting_s


def asked(answers: list[web.Response | None], asks: int, *, timeout_s: float = 5.0) -> list[bytes | SourceError]:
    """What `asks` questions in a row gave, from a venue that answers so; None: not at all. Its last answer stays."""
    return asyncio.run(_asked(answers, asks, timeout_s))


async def _asked(answers: list[web.Response | None], asks: int, timeout_s: float) -> list[bytes | SourceError]:
    async def answer(_: web.Request) -> web.Response:
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        if given is None:
            await asyncio.sleep(5)
        assert given is not None
        return web.Response(status=given.status, body=given.body, headers=given.headers)

    async def ask(rest: Rest) -> bytes | SourceError:
        try:
            return await rest.get("/depth", {"symbol": "BTCUSDT"})
        except SourceError as error:
            return error

    app = web.Application()
    app.router.add_get("/depth", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rest = Rest(f"http://127.0.0.1:{runner.addresses[0][1]}", Pace(1000.0, 10), timeout_s)
    try:
        return [await ask(rest) for _ in range(asks)]
    finally:
        await rest.close()
        await runner.cleanup()


def test_an_answer_is_its_bytes() -> None:
    assert asked([web.Response(body=b"[1.10]")], 2) == [b"[1.10]", b"[1.10]"]


def test_too_often_is_told_apart_and_waited_for() -> None:
    first, second = asked([web.Response(status=429, headers={"Retry-After": "0.3"}), web.Response(body=b"{}")], 2)
    assert isinstance(first, Limited)
    assert first.wait_s == 0.3
    assert second == b"{}"


@pytest.mark.parametrize("status", [400, 404, 500])
def test_another_status_is_an_error_with_what_was_said(status: int) -> None:
    (error,) = asked([web.Response(status=status, body=b'{"code":-1121}')], 1)
    assert isinstance(error, SourceError)
    assert f"{status}" in str(error)
    assert "-1121" in str(error)


def test_no_answer_is_an_error_in_time() -> None:
    (error,) = asked([None], 1, timeout_s=0.1)
    assert isinstance(error, SourceError)


def test_nobody_there_is_an_error() -> None:
    async def ask() -> None:
        rest = Rest("http://127.0.0.1:1", Pace(1000.0), 1.0)
        try:
            await rest.get("/depth", {})
        finally:
            await rest.close()

    with pytest.raises(SourceError, match="no answer"):
        asyncio.run(ask())


class ClockLoop(asyncio.SelectorEventLoop):
    """A loop whose time goes on only while somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        super().__init__()

    def time(self) -> float:
        return self._now_s

    def call_at(self, when: float, *args: Any, **more: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        self._now_s = max(self._now_s, when)
        return super().call_at(when, *args, **more)


def test_a_pace_lets_a_burst_through_and_then_one_after_the_other() -> None:
    async def turns() -> list[float]:
        loop, pace = asyncio.get_running_loop(), Pace(50.0, 5)
        began = loop.time()
        at = []
        for _ in range(10):
            await pace.turn()
            at.append(loop.time() - began)
        pace.hold(0.2)
        await pace.turn()
        return [*at, loop.time() - began]

    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        *turns_at, held = runner.run(turns())
    assert turns_at == pytest.approx([0, 0, 0, 0, 0, 0.02, 0.04, 0.06, 0.08, 0.1])
    assert held - turns_at[9] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2), ("0.5", 0.5), (None, 5), ("soon", 5), ("-3", 0), ("1e9", 3600), ("nan", 0), ("", 5)]
)
def test_how_long_to_wait(text: str | None, seconds: float) -> None:
    assert waiting_s(text) == seconds
