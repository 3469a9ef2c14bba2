"""Runs every check and makes a finding of whatever comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.doctor import clock, cpu, limits, memory, network, zmq
from feed.doctor.finding import Check, Finding, Verdict, unknown
from feed.errors import TickcastError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feed.doctor.host import Host

__all__ = ["SUBJECTS", "examine", "fit"]

SUBJECTS: dict[str, Sequence[Check]] = {
    "processor": cpu.CHECKS,
    "clock": clock.CHECKS,
    "memory": memory.CHECKS,
    "network": network.CHECKS,
    "zmq": zmq.CHECKS,
    "limits": limits.CHECKS,
}


def examine(host: Host) -> list[Finding]:
    """A finding for each check, in the order of SUBJECTS; what can't be read is "unknown" and says why."""
    return [_finding(subject, check, host) for subject, checks in SUBJECTS.items() for check in checks]


def fit(findings: Sequence[Finding]) -> bool:
    """True if nothing is broken."""
    return all(each.status != "broken" for each in findings)


def _finding(subject: str, check: Check, host: Host) -> Finding:
    verdict = _look(check, host)
    return Finding(
        subject=subject,
        check=check.name,
        status=verdict.status,
        found=verdict.found,
        why=check.why,
        command=verdict.command,
    )


def _look(check: Check, host: Host) -> Verdict:
    try:
        return check.look(host)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return unknown(f"can't be read: {where}{error.strerror or error}")
    except TickcastError as error:
        return unknown(f"can't be read: {error}")
    except (ValueError, LookupError, StopIteration) as error:
        return unknown(f"not understood: {error or type(error).__name__}")
