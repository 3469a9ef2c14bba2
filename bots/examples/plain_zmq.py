"""The same frames without tickcast: ten lines of pyzmq. Any ZeroMQ SUB in any language can (feed/wire/README.md).

    python plain_zmq.py quote.AAPL [tcp://127.0.0.1:5551]      (a publisher's address, not the control address)

What it leaves out: heartbeats, gaps (topic_seq jumps), a feed that comes back with another epoch.
"""

import struct
import sys

import zmq

sub = zmq.Context().socket(zmq.SUB)
sub.connect(sys.argv[2] if len(sys.argv) > 2 else "tcp://127.0.0.1:5551")
sub.subscribe(sys.argv[1].encode() + b"|")
while True:
    topic, _, rest = sub.recv().partition(b"|")
    count, size, epoch, seq, topic_seq = struct.unpack_from("<HHQQQ", rest, 4)
    for i in range(count):
        bid, ask = struct.unpack_from("<qq", rest, 56 + i * size + 48)
        print(topic.decode(), topic_seq + i, bid / 1e9, ask / 1e9, flush=True)
