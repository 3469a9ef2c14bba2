"""What the kernel says of this host's clock: is it steered, and how far may it be off. adjtimex(2)."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

__all__ = ["Timex", "timex"]


class Timex(NamedTuple):
    """``maxerror_us`` grows while nobody disciplines the clock."""

    synchronized: bool
    maxerror_us: int
    esterror_us: int


class _TimexStruct(ctypes.Structure):
    """struct timex of adjtimex(2) up to what is read here; the rest of it is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


def timex() -> Timex:
    """Ask the kernel; needs no rights and changes nothing. OSError: a container's filter forbids it."""
    told = _TimexStruct()  # modes 0 reads
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "adjtimex")
    return Timex(state != _TIME_ERROR and not told.status & _STA_UNSYNC, told.maxerror, told.esterror)
