"""Layout of mode `bare-user-only`: plain files of whoever runs larix, with the mode that they have in the tree.

Nothing else of a file's metadata is kept, so only files of root without extended attributes can be in such a repo, and
with no mode bits but those of 0775. Anyone may have one, and check out of it by hard links.
"""

import os
import stat
from collections.abc import Callable, Iterable

from larix.errors import Invalid
from larix.formats.content import FileHeader, Piece
from larix.linux import reading, writing
from larix.repo.layout import Layout, StoredFile
from larix.repo.on_disk import read_content

PLAIN_BITS = 0o775


class BareUserOnly:
    mode = "bare-user-only"
    extension = "file"
    keeps_packed = False
    user_only = True
    writable = True

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[Piece]) -> None:
        check_mode(header)
        if header.uid or header.gid or header.xattrs:
            kept = f"owner {header.uid}:{header.gid}" if header.uid or header.gid else "extended attributes"
            raise Invalid(f"{kept} cannot be kept in a repo of mode {self.mode}")
        if header.is_symlink:
            writing.symlink(header.target, name, dir_fd)
            return
        with reading.closing(writing.create(name, dir_fd)) as fd:
            for piece in content:
                writing.write_all(fd, piece)
            writing.set_mode(fd, stat.S_IMODE(header.mode))
            writing.set_mtime(fd, 0)

    def read(self, name: str, dir_fd: int, *, exact: bool = False) -> StoredFile:
        fd = reading.open_unless_link(name, dir_fd)
        if fd is None:
            header, size = self.look(name, dir_fd)
            return StoredFile(header, size, iter(()))
        found = os.fstat(fd)
        return StoredFile(FileHeader(0, 0, found.st_mode), found.st_size, read_content(fd, found.st_size), fd)

    def look(self, name: str, dir_fd: int) -> tuple[FileHeader, int]:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return FileHeader(0, 0, found.st_mode, os.readlink(name, dir_fd=dir_fd)), 0
        return FileHeader(0, 0, found.st_mode), found.st_size

    def mode_and_size(self, name: str, dir_fd: int) -> tuple[int, int]:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        return found.st_mode, found.st_size

    def links(self, mode: int, *, user_mode: bool) -> bool:
        return user_mode and not stat.S_ISLNK(mode)

    def adopts(self, header: FileHeader, found: FileHeader) -> bool:
        return header.mode == found.mode and not header.is_symlink and not found.xattrs

    def gives(self, other: Layout, look: Callable[[], FileHeader]) -> bool:
        return other.mode == self.mode


def is_plain(header: FileHeader) -> bool:
    """Return whether it is a file of which mode bits are all there is to keep."""
    bits = stat.S_IMODE(header.mode)
    plain = bits & ~PLAIN_BITS == 0 and bits & stat.S_IRUSR != 0
    return plain and not (header.is_symlink or header.uid or header.gid or header.xattrs)


def check_mode(header: FileHeader) -> None:
    """Raises Invalid for a file with mode bits that this mode of repo does not keep."""
    if not header.is_symlink and (bits := stat.S_IMODE(header.mode) & ~PLAIN_BITS):
        raise Invalid(f"invalid mode 0{header.mode:o} with bits {bits:05o}")
