"""The configuration of a feed that lives in a test, and where it puts its files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feed import config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["configured", "new_root", "variables"]

SHARED_MEMORY = Path("/dev/shm")
ROOT_VARIABLE = "TICKCAST_LOG_ROOT"
STATE_VARIABLE = "TICKCAST_STATE"
"""Where durable bots keep their positions: those of a test end with its feed."""


def new_root() -> Path:
    """A folder of its own, in shared memory where there is any."""
    shared = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="tickcast-test-", dir=shared))


def configured(root: Path, settings: Mapping[str, Any], archive: bool) -> config.FeedConfig:
    """The test's settings over the kit's. Raises ConfigError."""
    publisher = {"kind": "zmq", "heartbeat": "50ms", "batch": 1}
    base: dict[str, Any] = {
        "publish": {"tcp": {**publisher, "endpoint": "tcp://127.0.0.1:0"}, "ipc": publisher},
        "control": {"endpoint": "tcp://127.0.0.1:0"},
        "monitor": {"endpoint": ""},
        # Whatever the test does, the publishers miss nothing; only its bots do.
        "log": {"bytes": "4MiB", "max_topics": 4096, "gating": ["publish.tcp", "publish.ipc"], "gate_timeout": "10s"},
    }
    if archive:
        base["archive"] = {"path": str(root / "archive")}
        base["log"]["gating"].append("archive")
    for key, value in settings.items():
        *tables, last = key.split(".")
        at = base
        for table in tables:
            at = at.setdefault(table, {})
        at[last] = value
    return config.load(None, {ROOT_VARIABLE: str(root / "log")}, base=base)


@contextlib.contextmanager
def variables(root: Path) -> Iterator[None]:
    """The environment in which bots find the feed, for the length of a block."""
    values = {ROOT_VARIABLE: str(root / "log"), STATE_VARIABLE: str(root / "state")}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
