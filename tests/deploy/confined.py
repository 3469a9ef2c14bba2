"""Run a command as a unit's sandbox would: `python confined.py UNIT COMMAND...`.

What needs systemd itself (mounts, users) is left out; system calls, address families, capabilities, writable code and
the umask are as the unit says.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

__all__ = ["allowed", "settings"]

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
EQUAL = 4
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 24, 38, 65
"""linux/prctl.h; seccomp.h of libseccomp for the above."""


class _Compare(ctypes.Structure):
    """struct scmp_arg_cmp: what an argument of a system call is held against."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def settings(unit: Path) -> dict[str, list[str]]:
    """Every assignment of a unit file, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith(("#", ";", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@cache
def _group(name: str) -> frozenset[str]:
    """The system calls of a group such as @system-service, as this host's systemd has it."""
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True
    ).stdout
    calls: set[str] = set()
    for word in (line.strip() for line in text.splitlines()[1:]):
        if word.startswith("@"):
            calls |= _group(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return frozenset(calls)


def allowed(filters: list[str]) -> set[str]:
    """What is left of the SystemCallFilter= lines of a unit, in their order (systemd.exec(5))."""
    calls: set[str] = set()
    for line in filters:
        named: set[str] = set()
        for word in line.removeprefix("~").split():
            named |= _group(word) if word.startswith("@") else {word}
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def _confine(unit: dict[str, list[str]]) -> None:
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2")
    os.umask(int(unit["UMask"][-1], 8))
    if unit["CapabilityBoundingSet"] == [""] and os.geteuid() == 0:
        for capability in range(64):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # Linux 6.3 or later; systemd uses a filter on mmap and mprotect
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    for name in sorted(allowed(unit["SystemCallFilter"]) - {"socket"}):
        if (number := seccomp.seccomp_syscall_resolve_name(name.encode())) >= 0:
            seccomp.seccomp_rule_add_array(context, ALLOW, number, 0, None)
    number = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in unit["RestrictAddressFamilies"][-1].split():
        held = _Compare(0, EQUAL, int(getattr(socket, family)), 0)
        seccomp.seccomp_rule_add_array(context, ALLOW, number, 1, ctypes.byref(held))
    if seccomp.seccomp_load(context):
        raise OSError("the filter was not taken")


if __name__ == "__main__":
    _confine(settings(Path(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
