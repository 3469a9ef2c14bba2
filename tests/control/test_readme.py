"""The specification's example program runs as printed, and its examples name what the code answers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import zmq

from feed.wire.frames import encode
from feed.wire.records import BY_WORD
from feed.wire.topics import topic
from tests.control.conftest import Served

README = (Path(__file__).parents[2] / "feed" / "control" / "README.md").read_text()


def quote(number: int) -> bytes:
    record = np.zeros(1, BY_WORD["quote"].dtype)
    record["bid_px"], record["ask_px"] = number, number + 1
    return record.tobytes()


def test_the_late_bot_joins_and_fills_a_gap(served: Served) -> None:
    program = README.split("<!-- example late -->\n```python\n")[1].split("```\n<!-- end -->")[0]
    topic_id = served.writer.topic("quote", "AAPL")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    publisher.linger = 0
    publisher.rcvtimeo = 30_000
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    (served.at / "endpoints" / "tcp").write_text(f"tcp://127.0.0.1:{port}")

    def send(number: int) -> None:
        message = encode(topic("quote", "AAPL"), quote(number), epoch=served.writer.epoch, seq=number, topic_seq=number)
        publisher.send(message)

    for number in (1, 2, 3):
        served.writer.publish(topic_id, quote(number))
    bot = subprocess.Popen(
        [sys.executable, "-c", program.replace("tcp://127.0.0.1:5550", served.control.endpoint)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert bot.stdout is not None
    try:
        assert publisher.recv() == b"\x01quote.AAPL|"
        publisher.send(encode(topic("quote", "AAPL"), epoch=served.writer.epoch, seq=4, topic_seq=4))
        lines = [bot.stdout.readline()]
        for number in range(4, 9):
            served.writer.publish(topic_id, quote(number))
        for number in (3, 4, 8):  # one that it has, one, and then some are lost
            send(number)
        lines += [bot.stdout.readline() for _ in range(5)]
    finally:
        bot.kill()
        bot.communicate()
        publisher.close()
        context.term()
    assert lines == [
        "state 3 3 4\n",
        "live 4 4 5\n",
        *(f"replayed {number} {number} {number + 1}\n" for number in (5, 6, 7)),
        "live 8 8 9\n",
    ]


def test_the_examples_have_the_fields_that_answers_have(served: Served) -> None:
    served.writer.publish(served.writer.topic("quote", "AAPL"), quote(1))
    objects = [orjson.loads(text) for text in _objects(README.split("## A late bot")[0])]
    asked = {each["id"]: each for each in objects if "request" in each and each["id"] < 10}
    answered = {each["id"]: each for each in objects if "answer" in each and each["id"] < 10}
    assert set(asked) == set(answered) == set(range(1, 10))
    for number, request in asked.items():
        words = served.asker.ask(request.pop("request"), **{k: v for k, v in request.items() if k != "id"}).words
        assert set(words) == set(answered[number]), number


def _objects(text: str) -> list[str]:
    """The JSON objects in indented blocks, one or more lines each."""
    blocks = re.findall(r"(?:^    .*\n)+", text, re.M)
    found = []
    for block in blocks:
        depth, begin = 0, 0
        for i, c in enumerate(block):
            if c == "{":
                begin = i if depth == 0 else begin
                depth += 1
            elif c == "}":
                depth -= 1
                if depth == 0 and "..." not in block[begin : i + 1] and '"why"' not in block[begin : i + 1]:
                    found.append(block[begin : i + 1].replace("\n", " "))
    return found
