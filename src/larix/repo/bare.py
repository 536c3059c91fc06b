"""Layout of mode `bare`: the object is the file itself, with its owner, mode and extended attributes. Needs root."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator

from larix.formats import xattrs as xattr_format
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.linux import files, xattr
from larix.repo.archive import unpack
from larix.repo.layout import PIECE, Read, StoredFile


class Bare:
    mode = "bare"
    extension = "file"

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[bytes]) -> Checksum:
        if header.is_symlink:
            files.symlink(header.target, name, dir_fd)
            files.set_link_owner(name, dir_fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on_link(name, dir_fd, key, value)
            return Checksum(hashlib.sha256(header.encode()).hexdigest())
        fd = files.create(name, dir_fd)
        try:
            checksum = write_content(fd, header, content)
            # The owner first: to change it takes the set-uid bit and the capabilities away.
            files.set_owner(fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on(fd, key, value)
            files.set_mode(fd, stat.S_IMODE(header.mode))
            files.set_mtime(fd, 0)
        finally:
            os.close(fd)
        return checksum

    def receive(self, name: str, dir_fd: int, read: Read) -> tuple[Checksum, int]:
        arrived = unpack(read)
        return self.write(name, dir_fd, arrived.header, arrived.size, arrived.content), arrived.size

    def read(self, name: str, dir_fd: int) -> StoredFile:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(name, dir_fd=dir_fd)
            pairs = xattr_format.canonical(xattr.get_all_of_link(name, dir_fd))
            return StoredFile(FileHeader(found.st_uid, found.st_gid, found.st_mode, target, pairs), 0, iter(()))
        fd = os.open(name, files.READ, dir_fd=dir_fd)
        try:
            pairs = xattr_format.canonical(xattr.get_all(fd))
        except BaseException:
            os.close(fd)
            raise
        header = FileHeader(found.st_uid, found.st_gid, found.st_mode, "", pairs)
        return StoredFile(header, found.st_size, read_content(fd), fd)

    def links(self, header: FileHeader, *, user_mode: bool) -> bool:
        return not user_mode


def write_content(fd: int, header: FileHeader, content: Iterable[bytes]) -> Checksum:
    digest = hashlib.sha256(header.encode())
    for piece in content:
        digest.update(piece)
        files.write_all(fd, piece)
    return Checksum(digest.hexdigest())


def read_content(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, PIECE):
        yield piece
