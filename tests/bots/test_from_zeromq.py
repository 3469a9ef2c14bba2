"""The programs of bots/FROM_ZEROMQ.md, as printed."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bots.subscriber import Subscriber
from feed import config
from tests.e2e import processes
from tests.e2e.processes import REPOSITORY, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.processes import Stage

PAGE = (REPOSITORY / "bots" / "FROM_ZEROMQ.md").read_text()
PROGRAMS = dict(re.findall(r"<!-- example (\w+) -->\n```python\n(.*?)```\n<!-- end -->", PAGE, re.S))


@pytest.fixture(scope="module")
def market() -> Iterator[Stage]:
    with processes.market() as made:
        yield made


class Script:
    """A program of the page, with this test's addresses in place of those printed there."""

    def __init__(self, text: str, file: Path, environment: dict[str, str]) -> None:
        file.write_text(text)
        self._output = file.with_suffix(".output")
        with self._output.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, str(file)], stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            )  # fmt: skip

    def says(self, pattern: str, times: int) -> list[str]:
        """Wait for so many lines of that kind; all that it printed."""

        def there() -> bool:
            assert self._process.poll() is None, self._output.read_text()
            return len(re.findall(rf"^{pattern}$", self._output.read_text(), re.M)) >= times

        wait_for(there, self._output.read_text)
        text = self._output.read_text()
        return text[: text.rfind("\n")].splitlines()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def running(name: str, folder: Path, endpoint: str, stage: Stage | None = None) -> Iterator[Script]:
    """The program `name`; `endpoint` is where its socket goes, and its Subscriber is given the feed of `stage`."""
    text = re.sub(r"tcp://127\.0\.0\.1:555[16]", endpoint, PROGRAMS[name])
    if stage is not None:
        text = re.sub(r"(Subscriber\(.*?),?\s*\) as sub", rf"\1, feed={stage.address!r}) as sub", text, flags=re.S)
    script = Script(text, folder / f"{name}.py", {} if stage is None else stage.env)
    try:
        yield script
    finally:
        script.end()


def test_what_one_has(tmp_path: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{processes.free_port()}"
    with running("publisher", tmp_path, endpoint), running("subscriber", tmp_path, endpoint) as subscriber:
        assert all(line.startswith("AAPL 420.0") for line in subscriber.says(r"AAPL 420\.0\d* 420\.08", 3))


def test_the_publisher_pushes(tmp_path: Path) -> None:
    (settings,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    (tmp_path / "mine.toml").write_text(settings)
    with processes.stage() as stage:
        stage.up(stage.feed("run", tmp_path / "mine.toml", feed__processes="one"))
        (tmp_path / "pusher.py").write_text(PROGRAMS["pusher"].replace("tcp://127.0.0.1:5550", stage.address))
        pusher = Script((tmp_path / "pusher.py").read_text(), tmp_path / "pusher.py", stage.env)
        try:
            with running("sdk", tmp_path, "", stage) as subscriber:
                lines = subscriber.says(r"AAPL 420\.0\d* 420\.08", 10)
        finally:
            pusher.end()
    assert all(line.startswith("AAPL 420.0") for line in lines)


@pytest.mark.parametrize("name", ["plain", "sdk"])
def test_the_same_subscriber(name: str, tmp_path: Path, market: Stage) -> None:
    with running(name, tmp_path, f"tcp://127.0.0.1:{market.tcp_port}", market) as script:
        lines = script.says(r"\S+ [\d.]+ [\d.]+", 20)
    for line in lines:
        symbol, bid, ask = line.split()
        assert symbol in {"AAPL", "quote.AAPL"}
        assert 0 < float(bid) < float(ask)


def test_what_should_happen(tmp_path: Path, market: Stage) -> None:
    with running("careful", tmp_path, "", market) as script:
        lines = script.says(r"(quote|trade) (AAPL|MSFT) \d+ -?\d+ µs", 50)
    numbers: dict[str, list[int]] = {}
    for line in lines:
        schema, symbol, number, _, _ = line.split()
        numbers.setdefault(f"{schema} {symbol}", []).append(int(number))
    for found in numbers.values():
        assert found == sorted(set(found))


def test_a_bot_that_is_looked_after(tmp_path: Path, market: Stage) -> None:
    (command,) = re.findall(r"^bots run (cheap\.py .*?)  +#", PAGE, re.M)
    (tmp_path / "cheap.py").write_text(PROGRAMS["bot"])
    words = [str(tmp_path / "cheap.py") if word == "cheap.py" else word for word in command.split()]
    for _ in range(2):
        bot = market.start("bots", "run", *words, "--feed", market.address)
        wait_for(lambda bot=bot: re.search(r"^(AAPL|MSFT) ", bot.said, re.M), lambda bot=bot: bot.said)  # type: ignore[misc]
        assert bot.end() == 0, bot.said
        assert re.search(r"ticks, 0 gaps, 0 lost", bot.said)


def test_every_program_is_run_and_every_name_exists() -> None:
    assert set(PROGRAMS) == {"publisher", "subscriber", "pusher", "plain", "sdk", "careful", "bot"}
    assert PAGE.count("```python") == len(PROGRAMS)
    parameters = Subscriber.__init__.__annotations__
    for option in set(re.findall(r"`(\w+)=[^`]*`", PAGE)):
        assert option in parameters, option
    made = config.load()
    assert f":{made.control.endpoint.rpartition(':')[2]} (control)" in PAGE
    assert f":{made.publish['tcp'].endpoint.rpartition(':')[2]} (publisher)" in PAGE
