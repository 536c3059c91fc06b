"""Layout of mode `bare`: the object is the file itself, with its owner, mode and extended attributes. Needs root."""

import os
import stat
from collections.abc import Callable, Iterable

from larix.formats.content import FileHeader, Piece
from larix.linux import reading, writing, xattr
from larix.repo.layout import Layout, StoredFile
from larix.repo.on_disk import open_as_object


class Bare:
    mode = "bare"
    extension = "file"
    keeps_packed = False
    user_only = False
    writable = True

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[Piece]) -> None:
        if header.is_symlink:
            writing.symlink(header.target, name, dir_fd)
            writing.set_link_owner(name, dir_fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on_link(name, dir_fd, key, value)
            return
        with reading.closing(writing.create(name, dir_fd)) as fd:
            for piece in content:
                writing.write_all(fd, piece)
            # The owner first: to change it takes the set-uid bit and the capabilities away.
            writing.set_owner(fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on(fd, key, value)
            writing.set_mode(fd, stat.S_IMODE(header.mode))
            writing.set_mtime(fd, 0)

    def read(self, name: str, dir_fd: int, *, exact: bool = False) -> StoredFile:
        return open_as_object(name, dir_fd)

    def look(self, name: str, dir_fd: int) -> tuple[FileHeader, int]:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(name, dir_fd=dir_fd)
            return FileHeader(found.st_uid, found.st_gid, found.st_mode, target), 0
        return FileHeader(found.st_uid, found.st_gid, found.st_mode), found.st_size

    def mode_and_size(self, name: str, dir_fd: int) -> tuple[int, int]:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        return found.st_mode, found.st_size

    def links(self, mode: int, *, user_mode: bool) -> bool:
        return not user_mode

    def adopts(self, header: FileHeader, found: FileHeader) -> bool:
        return header == found and not header.is_symlink

    def gives(self, other: Layout, look: Callable[[], FileHeader]) -> bool:
        return other.mode == self.mode
