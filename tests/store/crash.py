"""What a file system may leave after a power cut, rebuilt from a recording of what was asked of it.

POSIX promises what was synced, and nothing else. Of a file, since its last fdatasync: each 4 KiB page is as after any
of the writes to it, or a mixture of two of these by 512-byte sectors; its length is any that it had. Of the folder,
since its last fsync: each entry that was made, renamed or removed may be so, or not yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from feed.store.disk import Disk

PAGE, SECTOR = 4096, 512
SECTORS = PAGE // SECTOR

Choose = Callable[[int], int]
"""Gives a number from 0 up to, not including, what it is given."""


class Op(NamedTuple):
    call: str
    file: int = 0
    at: int = 0
    data: bytes = b""
    name: str = ""
    new_name: str = ""


class Recorder(Disk):
    """The real disk, and a list of what it was asked, each file by a number that stays its own."""

    def __init__(self, there: dict[str, bytes]) -> None:
        self.ops: list[Op] = []
        self.there = dict(there)
        self._files = {name: i for i, name in enumerate(there)}
        self._made = len(there)
        self._fds: dict[int, int] = {}

    def durable(self, first: int, last: int) -> None:
        """The writer says that all up to `last` is durable, having written from `first` on."""
        self.ops.append(Op("durable", first, last))

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._files[path.name] = self._fds[fd] = self._made
        self.ops.append(Op("create", self._made, name=path.name))
        self._made += 1
        return fd

    def open(self, path: Path) -> int:
        fd = super().open(path)
        self._fds[fd] = self._files[path.name]
        return fd

    def write(self, fd: int, offset: int, data: bytes | memoryview) -> int:
        self.ops.append(Op("write", self._fds[fd], offset, bytes(data)))
        return super().write(fd, offset, data)

    def truncate(self, fd: int, nbytes: int) -> None:
        self.ops.append(Op("truncate", self._fds[fd], nbytes))
        super().truncate(fd, nbytes)

    def sync(self, fd: int) -> None:
        self.ops.append(Op("sync", self._fds[fd]))

    def sync_folder(self, folder: Path) -> None:
        self.ops.append(Op("sync_folder"))

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._files[new.name] = self._files.pop(old.name)
        self.ops.append(Op("rename", self._files[new.name], name=old.name, new_name=new.name))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.ops.append(Op("unlink", self._files.pop(path.name), name=path.name))


class File:
    """Its bytes now, and since the last sync what each page was and how long it was."""

    def __init__(self, data: bytes = b"") -> None:
        self.now = bytearray(data)
        self.sync()

    def sync(self) -> None:
        self.safe = bytes(self.now)
        self.lengths = [len(self.now)]
        self.pages: dict[int, list[bytes]] = {}

    def change(self, at: int, data: bytes, end: int) -> None:
        touched = range(min(at, len(self.now), end) // PAGE, -(-max(at + len(data), len(self.now)) // PAGE))
        before = {page: self.page(self.now, page) for page in touched}
        if at > len(self.now):
            self.now += bytes(at - len(self.now))
        self.now[at : at + len(data)] = data
        del self.now[end:]
        for page, was in before.items():
            content = self.page(self.now, page)
            if content != was:
                self.pages.setdefault(page, [self.page(self.safe, page)]).append(content)
        if end != self.lengths[-1]:
            self.lengths.append(end)

    def image(self, length: int, pages: dict[int, bytes]) -> bytes:
        data = bytearray(self.safe.ljust(max(self.lengths), b"\0"))
        for page, content in pages.items():
            data[page * PAGE : (page + 1) * PAGE] = content
        return bytes(data[:length].ljust(length, b"\0"))

    @staticmethod
    def page(data: bytes | bytearray, page: int) -> bytes:
        return bytes(data[page * PAGE : (page + 1) * PAGE]).ljust(PAGE, b"\0")


def torn(old: bytes, new: bytes, mask: int) -> bytes:
    """The sectors of `new` that `mask` says, the others of `old`."""
    return b"".join((new if mask >> i & 1 else old)[i * SECTOR : (i + 1) * SECTOR] for i in range(SECTORS))


class Surface:
    """What may be found when the power goes after these operations.

    :param there: the files at first; `held`: the seqs in them that are whole; `durable`: those that have to stay so.
    :ivar durable: the seqs that have to be found.
    """

    def __init__(
        self,
        there: dict[str, bytes],
        ops: list[Op],
        held: frozenset[int] = frozenset(),
        durable: frozenset[int] = frozenset(),
    ) -> None:
        self.held = held
        self.files = dict(enumerate(map(File, there.values())))
        self.names = {name: i for i, name in enumerate(there)}
        self.pending: list[Op] = []
        self.durable = durable
        for op in ops:
            self._apply(op)

    def _apply(self, op: Op) -> None:
        match op.call:
            case "write":
                file = self.files[op.file]
                file.change(op.at, op.data, max(len(file.now), op.at + len(op.data)))
            case "truncate":
                self.files[op.file].change(op.at, b"", op.at)
            case "sync":
                self.files[op.file].sync()
            case "sync_folder":
                self.names = self._entries([True] * len(self.pending))
                self.pending = []
            case "durable":
                self.durable = frozenset({*self.held, *range(op.file, op.at + 1)} & set(range(op.at + 1)))
            case _:
                self.pending.append(op)
                if op.call == "create":
                    self.files[op.file] = File()

    def _entries(self, happened: list[bool]) -> dict[str, int]:
        names = dict(self.names)
        for op, so in zip(self.pending, happened, strict=True):
            if so:
                if op.call != "create":
                    names.pop(op.name, None)
                if op.call != "unlink":
                    names[op.new_name or op.name] = op.file
        return names

    def every_image(self) -> Iterator[dict[str, bytes]]:
        """All of them but for pages torn otherwise than at one place, and for more than one torn page at a time."""
        for happened in product((False, True), repeat=len(self.pending)):
            names = self._entries(list(happened))
            for contents in product(*(self._every_content(self.files[file]) for file in names.values())):
                yield dict(zip(names, contents, strict=True))

    @staticmethod
    def _every_content(file: File) -> set[bytes]:
        found = set()
        for length in set(file.lengths):
            for versions in product(*file.pages.values()):
                pages = dict(zip(file.pages, versions, strict=True))
                found.add(file.image(length, pages))
                for page, whole in pages.items():
                    for other in file.pages[page]:
                        for first in range(1, SECTORS):
                            found.add(file.image(length, pages | {page: torn(whole, other, (1 << first) - 1)}))
        return found

    def some_image(self, choose: Choose) -> dict[str, bytes]:
        """Any one of all."""
        names = self._entries([choose(2) == 1 for _ in self.pending])
        return {name: self._some_content(self.files[file], choose) for name, file in names.items()}

    @staticmethod
    def _some_content(file: File, choose: Choose) -> bytes:
        pages = {
            page: torn(
                versions[choose(len(versions))],
                versions[choose(len(versions))],
                (0, (1 << SECTORS) - 1, choose(1 << SECTORS))[choose(3)],
            )
            for page, versions in file.pages.items()
        }
        return file.image(file.lengths[choose(len(file.lengths))], pages)


def put(image: dict[str, bytes], folder: Path) -> None:
    """Make the folder what the crash left."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, data in image.items():
        fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o640)
        os.write(fd, data)
        os.close(fd)
