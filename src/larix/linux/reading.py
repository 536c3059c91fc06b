"""Opening and reading by descriptor: a name is always relative to an open directory, `dir_fd`."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress

from larix.errors import Corrupt
from larix.linux import syscalls

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Reading must neither follow a symlink nor hang on a FIFO.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
COPY_PIECE = 1 << 20
# In characters, of which each may have four bytes.
LONGEST_PART = 1000


def open_directory(name: str, dir_fd: int | None = None, *, follow: bool = True) -> int:
    return os.open(name, DIRECTORY | (0 if follow else os.O_NOFOLLOW), dir_fd=dir_fd)


def names_are_utf8() -> bool:
    """Return whether this Python takes names of files for UTF-8, as they are in a commit."""
    return sys.getfilesystemencoding() == "utf-8"


class closing:
    """Close the descriptor at the end of the block."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *about: object) -> None:
        os.close(self._fd)


def names(directory: str, dir_fd: int) -> list[str]:
    """Return what is in a directory, sorted; nothing where it is missing."""
    try:
        fd = open_directory(directory, dir_fd)
    except (FileNotFoundError, NotADirectoryError):
        return []
    with closing(fd):
        return sorted(os.listdir(fd))


def directories(fd: int) -> list[str]:
    """Return the names of directories in an open one; no symlinks."""
    with os.scandir(fd) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def open_unless_link(name: str, dir_fd: int) -> int | None:
    """Open a file for reading; None for a symlink."""
    try:
        return os.open(name, READ, dir_fd=dir_fd)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None


def open_below(fd: int, path: str) -> int:
    """Open the directory `path`, of any length, below an open one; symlinks are not followed."""
    found = os.dup(fd)
    for part in _parts_to_open(path):
        with closing(found):
            below = _open_part(part, found)
        found = below
    return found


def open_in_root(path: str, root_fd: int, flags: int = DIRECTORY) -> int:
    """Open what lies below an open directory; symlinks lead where they do for who has that directory as the root."""
    return syscalls.open_in_root(path, root_fd, flags | os.O_CLOEXEC)


def _parts_to_open(path: str) -> Iterator[str]:
    """Yield parts of a path, as long as the kernel takes them."""
    while len(path) > LONGEST_PART:
        cut = path.rfind("/", 0, LONGEST_PART)
        if cut < 0:
            break
        yield path[:cut]
        path = path[cut + 1 :]
    if path:
        yield path


def _open_part(path: str, dir_fd: int) -> int:
    if "/" in path:
        with suppress(OSError):
            return syscalls.open_without_symlinks(path, dir_fd, DIRECTORY)
    # An older kernel; or the error, of that which is in the way.
    found = os.dup(dir_fd)
    for name in path.split("/"):
        with closing(found):
            below = open_directory(name, found, follow=False)
        found = below
    return found


def is_link(name: str, dir_fd: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def pieces(fd: int) -> Iterator[bytes]:
    """Yield what is left of an open file, in pieces."""
    while piece := os.read(fd, COPY_PIECE):
        yield piece


def read_whole(path: str) -> bytes:
    """Return the whole content of what a user names: a symlink is followed, and a pipe waited for; or of a file of
    /proc."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY), "rb") as file:
        return file.read()


def read(name: str, dir_fd: int, limit: int, *, follow: bool = False) -> bytes:
    """Return the whole content. Raises Corrupt when it is longer than `limit` bytes."""
    with closing(os.open(name, READ & ~os.O_NOFOLLOW if follow else READ, dir_fd=dir_fd)) as fd:
        size = os.fstat(fd).st_size
        if size > limit:
            raise Corrupt(f"{name}: {size} bytes; at most {limit} are allowed")
        data = os.read(fd, size + 1)
        while len(data) < size and (more := os.read(fd, size - len(data))):
            data += more
        return data
