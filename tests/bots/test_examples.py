"""Every example is short, says how to run it, and runs as it says, on a real feed."""

from __future__ import annotations

import ast
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e import processes
from tests.e2e.processes import REPOSITORY, Process, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.processes import Stage

EXAMPLES = REPOSITORY / "bots" / "examples"
TESTED = {"mean.py", "spread.py", "batches.py", "asyncio_bot.py", "plain_zmq.py", "latency.py", "test_mean.py"}


@pytest.fixture(scope="module")
def market() -> Iterator[Stage]:
    with processes.market() as made:
        yield made


def run(market: Stage, name: str, *arguments: object) -> Process:
    """`python NAME.py ARGUMENTS`; the packages are found as if they were installed."""
    return market.start(f"bots.examples.{name}", *arguments)


def lines(process: Process) -> list[str]:
    assert process.wait() == 0, process.said
    return process.said.splitlines()


def test_none_is_forgotten_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


@pytest.mark.parametrize("name", sorted(TESTED))
def test_it_is_short_and_says_how_to_run_it(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) < 60
    doc = ast.get_docstring(ast.parse(text))
    assert doc is not None
    assert re.search(rf"^    (python|bots run|pytest) {re.escape(name)} ", doc, re.M)


def test_mean(market: Stage) -> None:
    example = market.start("bots", "run", EXAMPLES / "mean.py", "--symbols", "*", "--feed", market.address)
    example.says("1000 trades  ")
    assert example.end(signal.SIGINT) == 0, example.said
    last, summary = example.said.splitlines()[-2:]
    assert re.fullmatch(r"\d+ trades(  [A-Z.]+ \d+\.\d{4}){5}", last)
    assert summary.startswith("Mean-")


def test_spread(market: Stage) -> None:
    shown = lines(run(market, "spread", "AAPL", "MSFT", "--feed", market.address, "--count", 20))
    assert len(shown) == 20
    for line in shown:
        symbol, bid, _, ask, _, spread = line.split()
        assert symbol in {"AAPL", "MSFT"}
        assert float(spread) == pytest.approx(float(ask) - float(bid), abs=1e-6)
        assert float(spread) > 0


def test_batches(market: Stage) -> None:
    shown = lines(run(market, "batches", "*", "--feed", market.address, "--count", 3))
    found = [re.fullmatch(r"\d+ trades, ([\d,.]+) in \d+ symbols so far", line) for line in shown]
    totals = [float(match[1].replace(",", "")) for match in found if match]
    assert len(totals) == 3
    assert totals == sorted(totals)


def test_asyncio_bot(market: Stage) -> None:
    shown = lines(run(market, "asyncio_bot", "*", "--feed", market.address, "--count", 2500))
    assert [line.rpartition(" ")[2] for line in shown if ", the " in line] == ["1000th", "2000th", "2500th"]
    assert any(re.fullmatch(r"\d+ ticks over shm, lost 0", line) for line in shown)


def test_plain_zmq(market: Stage) -> None:
    imports = {
        name.split(".")[0]
        for node in ast.walk(ast.parse((EXAMPLES / "plain_zmq.py").read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imports == {"struct", "sys", "zmq"}
    example = run(market, "plain_zmq", "quote.AAPL", f"tcp://127.0.0.1:{market.tcp_port}")
    wait_for(lambda: example.said.count("\n") > 50, lambda: example.said)
    example.kill()
    found = [line.split() for line in example.said.splitlines()[:50]]
    numbers = [int(topic_seq) for _, topic_seq, _, _ in found]
    assert numbers == list(range(numbers[0], numbers[0] + 50))
    truth = {topic_seq: record for _, topic_seq, record in market.log()["quote.AAPL"]}
    for topic, topic_seq, bid, ask in found:
        assert topic == "quote.AAPL"
        prices = [int.from_bytes(truth[int(topic_seq)][at : at + 8], "little", signed=True) / 1e9 for at in (48, 56)]
        assert [float(bid), float(ask)] == prices


@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_latency(market: Stage, transport: str) -> None:
    shown = lines(run(market, "latency", "*", "--transport", transport, "--for", 1.5, "--feed", market.address))
    assert f"ticks over {transport}, 0 lost" in shown[0]
    for stage in ("wire", "total"):
        (line, *_) = [line for line in reversed(shown) if line.split()[0] == stage]
        values = [float(word.replace(",", "")) for word in line.split()[2:-1:2]]
        assert len(values) == 5
        assert values == sorted(values)
