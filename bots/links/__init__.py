"""The ways ticks come in; file names mirror feed/publish."""

from bots.links.link import Link
from bots.links.mold import MoldLink
from bots.links.shm import ShmLink
from bots.links.zmq import ZmqLink

__all__ = ["Link", "MoldLink", "ShmLink", "ZmqLink"]
