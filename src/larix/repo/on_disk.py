"""A file, symlink or directory of this machine, as the object that it would be."""

import os
from collections.abc import Callable, Iterator

from larix.formats import xattrs as xattr_format
from larix.formats.content import FileHeader
from larix.formats.objects import DirMeta
from larix.linux import reading, xattr
from larix.repo.layout import PIECE, StoredFile

# Gives what is in an open file that had so many bytes a moment ago.
Content = Callable[[int, int], Iterator[bytes]]


def read_content(fd: int, size: int) -> Iterator[bytes]:
    while piece := os.read(fd, min(size, PIECE)):
        size -= len(piece)
        yield piece


def open_as_object(name: str, dir_fd: int, content: Content = read_content) -> StoredFile:
    """Open a file or symlink of an open directory. It may be neither a file nor a symlink, as its mode says. Raises
    OSError."""
    fd = reading.open_unless_link(name, dir_fd)
    if fd is None:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        target = os.readlink(name, dir_fd=dir_fd)
        return StoredFile(_header(found, target, xattr.get_all_of_link(name, dir_fd)), 0, iter(()))
    try:
        found = os.fstat(fd)
        return StoredFile(_header(found, "", xattr.get_all(fd)), found.st_size, content(fd, found.st_size), fd)
    except BaseException:
        os.close(fd)
        raise


def _header(found: os.stat_result, target: str, pairs: xattr.Pairs) -> FileHeader:
    return FileHeader(found.st_uid, found.st_gid, found.st_mode, target, xattr_format.canonical(pairs))


def read_dirmeta(fd: int) -> DirMeta:
    """Return owner, mode and attributes of an open directory."""
    found = os.fstat(fd)
    return DirMeta(found.st_uid, found.st_gid, found.st_mode, xattr_format.canonical(xattr.get_all(fd)))
