"""The PGM publisher, epgm:// or pgm://: the ZeroMQ publisher with a socket whose frames go to a group.

Whoever has joined the group gets every frame; nobody can say what he wants, nor that he came. libpgm brings what a bot
lost as long as its window holds it; what it does not, the bot sees by the numbering and asks control for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

from feed.config import PgmConfig
from feed.errors import HostError
from feed.publish.zmq import ZmqPublisher, queue_frames
from feed.wire import pgm

if TYPE_CHECKING:
    from feed.config import FeedConfig, PublishConfig
    from feed.wire.pgm import Group

__all__ = ["PgmPublisher", "refuse"]


def refuse(config: FeedConfig) -> None:
    """Raise HostError if this host can't do what a PGM publisher of `config` needs: before anything starts."""
    for name, publisher in config.publish.items():
        if isinstance(publisher, PgmConfig):
            _here(publisher, f"publish.{name}.endpoint")


class PgmPublisher(ZmqPublisher):
    """An agent (feed.agent), alone in its process: libpgm may abort it.

    :raises HostError: pyzmq has no PGM, or the interface will not do.
    """

    everyone = True

    def _bind(self, text: str, where: str, config: PublishConfig) -> tuple[Group, zmq.Socket[bytes]]:
        assert isinstance(config, PgmConfig)
        group = _here(config, where)
        bound = self._context.socket(zmq.XPUB)
        self._sockets.append(bound)
        pgm.apply(config.window, bound)
        bound.setsockopt(zmq.SNDHWM, queue_frames(config))
        # The queue only fills when `rate` holds the sender back. Then it waits, and the log keeps what is to come.
        bound.setsockopt(zmq.XPUB_NODROP, 1)
        try:
            bound.bind(str(group))
        except zmq.ZMQError as error:
            raise HostError(f"can't send to {group}: {error}", where=where) from None
        if group.transport == "epgm":
            pgm.guard(group)
        return group, bound


def _here(config: PgmConfig, where: str) -> Group:
    group = pgm.parse_group(config.endpoint, where=where)
    pgm.require(group, where=where)
    return pgm.here(group, config.window, where=where)
