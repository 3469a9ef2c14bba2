"""libzmq: the one that pyzmq loaded, and what it was built with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.config import PgmConfig
from feed.doctor.finding import Check, Verdict, better, broken, ok

if TYPE_CHECKING:
    from feed.doctor.host import Host

__all__ = ["CHECKS"]

OLDEST = (4, 3, 0)
BUILD = "sudo apt install libzmq3-dev && pip install --force-reinstall --no-binary=pyzmq pyzmq"
"""Debian's library has them all."""

PGM = "sudo make pgm  # then .venv-pgm/bin/feed and .venv-pgm/bin/bots"


def _version(host: Host) -> Verdict:
    told = host.libzmq()
    found = f"libzmq {'.'.join(map(str, told.version))}, pyzmq {told.pyzmq}"
    return ok(found) if told.version >= OLDEST else better(found, "pip install --upgrade pyzmq")


def _ipc(host: Host) -> Verdict:
    if "ipc" in host.libzmq().has:
        return ok("yes")
    uses = [name for name, each in host.config.publish.items() if each.endpoint.startswith("ipc://")]
    return broken(f"no, and publish.{uses[0]} is for it", BUILD) if uses else better("no", BUILD)


def _curve(host: Host) -> Verdict:
    return ok("yes") if "curve" in host.libzmq().has else better("no", BUILD)


def _pgm(host: Host) -> Verdict:
    if "pgm" in host.libzmq().has:
        return ok("yes")
    uses = [name for name, each in host.config.publish.items() if isinstance(each, PgmConfig)]
    return (
        broken(f"no, and publish.{uses[0]} is for it", PGM)
        if uses
        else Verdict("ok", "no, and nothing configured needs it", PGM)
    )


CHECKS = [
    Check("version", "The feed is not tested with older ones.", _version),
    Check("ipc", "Without it a bot on this host that takes no shared memory goes through TCP.", _ipc),
    Check("curve", "Without it nothing that leaves this host is encrypted or authenticated.", _curve),
    Check("pgm", "Without it no epgm: each bot is a TCP stream of its own, sent one after the other.", _pgm),
]
