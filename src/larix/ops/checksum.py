"""What checksums files and directories would have as objects; nothing is stored."""

import os
from collections.abc import Iterable

from larix.errors import NotFound
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, Piece, content_checksum
from larix.formats.objects import DirTree, ObjectType, checksum_of, decode_dirtree
from larix.linux import reading
from larix.linux.failures import doing
from larix.ops.commit.scan import open_entry
from larix.ops.tree.modify import Modifier
from larix.repo.incoming import Handed
from larix.repo.layout import StoredFile
from larix.repo.on_disk import read_dirmeta


class Checksums:
    """Takes objects, and keeps dirtrees alone."""

    def __init__(self, *, threads: bool = False) -> None:
        self.threads = threads
        self._dirtrees: dict[Checksum, bytes] = {}

    def load_dirtree(self, checksum: Checksum) -> DirTree:
        return decode_dirtree(self._dirtrees[checksum])

    def look_at_file(self, checksum: Checksum) -> tuple[FileHeader, int]:
        raise NotFound(f"File {checksum} was read, and not kept")

    def open_file(self, checksum: Checksum) -> StoredFile:
        raise NotFound(f"File {checksum} was read, and not kept")

    def add_metadata(self, kind: ObjectType, data: bytes) -> Checksum:
        checksum = checksum_of(data)
        if kind == ObjectType.DIR_TREE:
            self._dirtrees[checksum] = data
        return checksum

    def add_file(self, header: FileHeader, size: int, content: Iterable[Piece]) -> Checksum:
        return content_checksum(header, content)

    def hand_over(self) -> Handed:
        return Handed(0, [], [])

    def take_over(self, handed: Handed, unchanged: int = 0) -> None:
        pass


def checksum_path(path: str, *, xattrs: bool = True) -> Checksum:
    """Return the checksum of a file or symlink, or of the dirmeta of a directory; with or without extended attributes.

    Raises Error for sockets and devices.
    """
    modifier = Modifier(xattrs=xattrs)
    if os.path.isdir(path) and not os.path.islink(path):
        with doing(f"Reading {path}"), reading.closing(reading.open_directory(path)) as fd:
            return checksum_of(modifier.directory("/", read_dirmeta(fd)).encode())
    parent, name = os.path.split(path)
    with doing(f"Reading {path}"):
        fd = reading.open_directory(parent or ".")
    with reading.closing(fd), open_entry(name, fd, path) as entry:
        return content_checksum(modifier.file("/", entry.header), entry.content)
