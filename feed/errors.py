"""Every exception tickcast raises on purpose.

    TickcastError
    ├── CallerError          what the user wrote or typed is wrong; mend that
    │   ├── ConfigError      a key, a value, a command-line option
    │   └── SymbolError      a symbol, topic, schema or pattern
    ├── PeerError            what somebody sent us is wrong; we count it and go on where we can
    │   ├── WireError        bytes that are no tickcast frame
    │   ├── SourceError      a file or a venue that breaks its own format
    │   ├── ControlError     a control request that was refused or not answered
    │   │   └── ControlRefused   it was sound, but it is too much
    │   └── PushError        a feed that refused what was pushed, or can't be pushed to
    │       └── PushBehind   it does not keep up, or is not there
    └── HostError            this machine or this process cannot do what is needed
        ├── LogError         the tick log in shared memory
        │   ├── LogBusy      another writer holds it
        │   ├── LogMissing   no feed of that name has a log here
        │   └── LogSpace     shared memory is too small
        ├── StoreError       the archive's files
        │   └── ArchiveBusy  another writer holds the folder
        └── AddressInUse     somebody else is bound there

An error says in one sentence what was expected, what was found and where, and then what to do; the parts stay
readable as attributes.
"""

from __future__ import annotations

__all__ = [
    "AddressInUse",
    "ArchiveBusy",
    "CallerError",
    "ConfigError",
    "ControlError",
    "ControlRefused",
    "HostError",
    "LogBusy",
    "LogError",
    "LogMissing",
    "LogSpace",
    "PeerError",
    "PushBehind",
    "PushError",
    "SourceError",
    "StoreError",
    "SymbolError",
    "TickcastError",
    "WireError",
]


class TickcastError(Exception):
    """Base of all. ``str()`` is "WHERE: what; expected E, found F. Remedy"."""

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.where = where
        self.remedy = remedy
        parts = [what]
        if expected is not None:
            parts.append(f"expected {expected}")
        if found is not None:
            parts.append(f"found {found}")
        text = parts[0] if len(parts) == 1 else f"{parts[0]}: {', '.join(parts[1:])}"
        if where:
            text = f"{where}: {text}"
        if remedy:
            text = f"{text}. {remedy}"
        super().__init__(text)


class CallerError(TickcastError):
    """The caller's fault."""


class ConfigError(CallerError):
    """A configuration key or value; ``where`` is the key's path."""


class SymbolError(CallerError):
    """A symbol, topic, schema or pattern that is not one."""


class PeerError(TickcastError):
    """The other side's fault."""


class WireError(PeerError):
    """Bytes that are no tickcast frame."""


class SourceError(PeerError):
    """A file or a venue that breaks its own format; ``where`` is file and byte offset, or the venue."""


class ControlError(PeerError):
    """A control request was refused or not answered."""


class ControlRefused(ControlError):
    """A control request beyond a limit; ``limit`` is the one word by which programs know which."""

    def __init__(self, limit: str, what: str, **parts: object) -> None:
        super().__init__(what, **parts)  # type: ignore[arg-type]
        self.limit = limit


class PushError(PeerError):
    """A feed refused what was pushed to it, or can't be pushed to."""


class PushBehind(PushError):
    """A feed that does not keep up, or is not there: as much as may be waits for it already."""


class StaleData(TickcastError):
    """A bot whose policy is "stop" would have been given old ticks, or not all of them."""


class HostError(TickcastError):
    """Our fault or the machine's."""


class LogError(HostError):
    """The tick log in shared memory."""


class LogBusy(LogError):
    """Another process writes this log; ``holder`` is its process id."""

    def __init__(self, what: str, *, holder: int, **parts: object) -> None:
        super().__init__(what, **parts)  # type: ignore[arg-type]
        self.holder = holder


class LogMissing(LogError):
    """No feed of that name has a log on this host."""


class LogSpace(LogError):
    """Shared memory is too small for the log that was asked for."""


class StoreError(HostError):
    """The archive's files; ``full``: the disk has no room left."""

    def __init__(self, what: str, *, full: bool = False, **parts: object) -> None:
        super().__init__(what, **parts)  # type: ignore[arg-type]
        self.full = full


class ArchiveBusy(StoreError):
    """Another process writes this archive; ``holder`` is its process id."""

    def __init__(self, what: str, *, holder: int, **parts: object) -> None:
        super().__init__(what, **parts)  # type: ignore[arg-type]
        self.holder = holder


class AddressInUse(HostError):
    """The address is taken; ``found`` names who has it where the kernel tells."""
