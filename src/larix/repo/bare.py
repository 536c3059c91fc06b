"""Layout of mode `bare`: the object is the file itself, with its owner, mode and extended attributes. Needs root."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from larix.formats import xattrs as xattr_format
from larix.formats.content import FileHeader
from larix.linux import files, xattr
from larix.repo.layout import PIECE, StoredFile


class Bare:
    mode = "bare"
    extension = "file"
    keeps_packed = False
    user_only = False
    writable = True

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[bytes]) -> None:
        if header.is_symlink:
            files.symlink(header.target, name, dir_fd)
            files.set_link_owner(name, dir_fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on_link(name, dir_fd, key, value)
            return
        fd = files.create(name, dir_fd)
        try:
            for piece in content:
                files.write_all(fd, piece)
            # The owner first: to change it takes the set-uid bit and the capabilities away.
            files.set_owner(fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on(fd, key, value)
            files.set_mode(fd, stat.S_IMODE(header.mode))
            files.set_mtime(fd, 0)
        finally:
            os.close(fd)

    def read(self, name: str, dir_fd: int) -> StoredFile:
        try:
            fd = os.open(name, files.READ, dir_fd=dir_fd)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return _read_symlink(name, dir_fd)
        try:
            found = os.fstat(fd)
            pairs = xattr_format.canonical(xattr.get_all(fd))
        except BaseException:
            os.close(fd)
            raise
        header = FileHeader(found.st_uid, found.st_gid, found.st_mode, "", pairs)
        return StoredFile(header, found.st_size, read_content(fd, found.st_size), fd)

    def look(self, name: str, dir_fd: int) -> tuple[FileHeader, int]:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(name, dir_fd=dir_fd)
            return FileHeader(found.st_uid, found.st_gid, found.st_mode, target), 0
        return FileHeader(found.st_uid, found.st_gid, found.st_mode), found.st_size

    def links(self, header: FileHeader, *, user_mode: bool) -> bool:
        return not user_mode

    def adopts(self, header: FileHeader, found: FileHeader) -> bool:
        return header == found and not header.is_symlink


def _read_symlink(name: str, dir_fd: int) -> StoredFile:
    found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    target = os.readlink(name, dir_fd=dir_fd)
    pairs = xattr_format.canonical(xattr.get_all_of_link(name, dir_fd))
    return StoredFile(FileHeader(found.st_uid, found.st_gid, found.st_mode, target, pairs), 0, iter(()))


def read_content(fd: int, size: int) -> Iterator[bytes]:
    """What is in an open file that had `size` bytes a moment ago."""
    while piece := os.read(fd, min(size, PIECE)):
        size -= len(piece)
        yield piece
