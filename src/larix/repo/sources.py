"""File objects on their way into a repo: where each comes from, how it is hashed, and how it is written.

What fits into memory is hashed first, and written only where it is new. What does not is hashed while it is written
under another name. What is shared is linked. `Transaction` decides all the rest, for all of them alike.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Protocol

from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, Piece, content_checksum
from larix.formats.objects import ObjectName
from larix.linux import writing
from larix.repo.archive import read_all, unpack, unpack_bytes
from larix.repo.layout import INFLATED_WHOLE, WHOLE, Layout, Read, StoredFile
from larix.repo.repo import Repo


class FileSource(Protocol):
    """`checksum` is None until it is written, where it is only known then. `room` is what it takes on the disk at most,
    in bytes."""

    @property
    def header(self) -> FileHeader: ...

    @property
    def checksum(self) -> Checksum | None: ...

    @property
    def room(self) -> int: ...

    def write(self, layout: Layout, name: str, dir_fd: int) -> None:
        """Make the new file `name` the object. Not durable; on an error the file may be left behind. Raises OSError."""


class Whole:
    """Content in memory."""

    def __init__(self, header: FileHeader, data: Piece) -> None:
        self.header = header
        self.checksum = content_checksum(header, [data])
        self.room = len(data)
        self._data = data

    def write(self, layout: Layout, name: str, dir_fd: int) -> None:
        layout.write(name, dir_fd, self.header, self.room, [self._data])


class Stream:
    """Content in pieces."""

    def __init__(self, header: FileHeader, size: int, content: Iterable[Piece]) -> None:
        self.header = header
        self.checksum: Checksum | None = None
        self.room = size
        self._content = content

    def write(self, layout: Layout, name: str, dir_fd: int) -> None:
        digest = hashlib.sha256(self.header.encode())

        def hashed() -> Iterator[Piece]:
            for piece in self._content:
                digest.update(piece)
                yield piece

        layout.write(name, dir_fd, self.header, self.room, hashed())
        self.checksum = Checksum(digest.hexdigest())


class Packed:
    """A `.filez` in memory, to be kept as it is."""

    def __init__(self, stored: StoredFile, data: Piece, packed: bytes) -> None:
        self.header = stored.header
        self.checksum = content_checksum(stored.header, [data])
        self.room = len(packed)
        self._packed = packed

    def write(self, layout: Layout, name: str, dir_fd: int) -> None:
        writing.put(name, dir_fd, [self._packed])


class PackedStream:
    """A `.filez` in pieces, to be kept as it is."""

    def __init__(self, read: Read, packed_size: int) -> None:
        self._read = read
        self._kept: list[bytes] = []
        self._stored = unpack(self._read_and_keep, packed_size)
        self.header = self._stored.header
        self.size = self._stored.size
        self.checksum: Checksum | None = None
        self.room = packed_size

    def write(self, layout: Layout, name: str, dir_fd: int) -> None:
        digest = hashlib.sha256(self.header.encode())

        def packed() -> Iterator[Piece]:
            for piece in self._stored.content:
                digest.update(piece)
                yield from self._kept
                self._kept.clear()
            yield from self._kept

        writing.put(name, dir_fd, packed())
        self.checksum = Checksum(digest.hexdigest())

    def _read_and_keep(self, size: int) -> bytes:
        self._kept.append(self._read(size))
        return self._kept[-1]


class CannotLink(Exception):
    """The file system does not share what was to be shared; nothing was read of it."""


class Inode:
    """A file that is given away, open as `found`: it becomes the object itself."""

    room = 0

    def __init__(self, header: FileHeader, found: StoredFile) -> None:
        self.header = header
        self.checksum: Checksum | None = None
        self._found = found
        # Before it was read.
        self.state = (0, 0, 0, 0)

    def write(self, layout: Layout, name: str, dir_fd: int) -> None:
        """Raises CannotLink."""
        # The file that is open, whatever has its name by now.
        if not writing.link_open(self._found.fileno(), name, dir_fd):
            raise CannotLink
        self.state = state_of(os.fstat(self._found.fileno()))
        self.checksum = content_checksum(self.header, self._found.content)


def state_of(about: os.stat_result) -> tuple[int, int, int, int]:
    """Modification time in nanoseconds, mode, owner, group: what tells that somebody changed a file."""
    return about.st_mtime_ns, about.st_mode, about.st_uid, about.st_gid


class Shared:
    """An object of a repo of the same mode, which is believed to be what it is called."""

    room = 0

    def __init__(self, repo: Repo, name: ObjectName) -> None:
        self.checksum = name.checksum
        self._repo = repo
        self._name = name

    @property
    def header(self) -> FileHeader:
        return self._repo.look_at_file(self.checksum)[0]

    def write(self, layout: Layout, name: str, dir_fd: int) -> None:
        """Raises CannotLink."""
        try:
            writing.link(self._repo.object_path(self._name), self._repo.objects_fd, name, dir_fd)
        except OSError as error:
            if error.errno in writing.CANNOT_LINK:
                raise CannotLink from None
            raise


def of_content(header: FileHeader, size: int, content: Iterable[Piece]) -> Whole | Stream:
    return Stream(header, size, content) if size > WHOLE else Whole(header, whole(content))


def of_packed(read: Read, packed_size: int, layout: Layout) -> tuple[FileSource, int]:
    """Return what comes as a `.filez` of so many bytes, and the size of its content. Raises Corrupt, also when
    written."""
    packed = b""
    if packed_size <= INFLATED_WHOLE:
        packed = read_all(read, packed_size)
        stored = unpack_bytes(packed)
        if stored.size <= INFLATED_WHOLE:
            data = whole(stored.content)
            return Packed(stored, data, packed) if layout.keeps_packed else Whole(stored.header, data), stored.size
        read = BytesIO(packed).read
    if layout.keeps_packed:
        stream = PackedStream(read, packed_size)
        return stream, stream.size
    stored = unpack(read, packed_size)
    return of_content(stored.header, stored.size, stored.content), stored.size


def whole(content: Iterable[Piece]) -> Piece:
    pieces = list(content)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
