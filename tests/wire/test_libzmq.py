"""The library called without the GIL is the one that pyzmq loaded."""

from __future__ import annotations

from pathlib import Path

import zmq

from feed.wire import libzmq


def test_it_is_the_same_copy() -> None:
    assert libzmq.version() == zmq.zmq_version_info()
    loaded = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    assert len([name for name in loaded if name.startswith("libzmq") and ".cpython-" not in name]) == 1
