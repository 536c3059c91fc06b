"""Whole directories: removed however deep they are."""

import os
import stat
from contextlib import suppress

from larix.linux.reading import closing, open_directory

# Of directories that are removed from within, each of which holds a descriptor and a frame of Python's stack.
LEVELS = 20


def remove_tree(name: str, dir_fd: int) -> None:
    """Remove a directory and what is below it, however deep, or a file, or nothing when it is not there.

    What stands in the way of its owner, a mode, is changed.
    """
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=dir_fd)
            return
    except FileNotFoundError:
        return
    with closing(_open_to_change(name, dir_fd)) as fd:
        # What lies deeper is moved here, and goes in the next round.
        while inside := os.listdir(fd):
            for entry in inside:
                _remove_below(entry, fd, fd, 0)
    os.rmdir(name, dir_fd=dir_fd)


def remove_open(path: str, fd: int) -> None:
    """Remove a directory that is open, and what is below it, where it still has this path."""
    parent, _, name = path.rstrip("/").rpartition("/")
    top = "/" if path.startswith("/") else "."
    with suppress(FileNotFoundError), closing(open_directory(parent or top)) as above:
        if os.path.samestat(os.stat(name, dir_fd=above, follow_symlinks=False), os.fstat(fd)):
            remove_tree(name, above)


def _remove_below(name: str, dir_fd: int, top_fd: int, depth: int) -> None:
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        # The second is what POSIX has for directories, and what an unlink without permission is too.
        if not stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            raise
    if depth == LEVELS:
        # To be moved, a directory must be one that we may write to.
        os.close(_open_to_change(name, dir_fd))
        os.rename(name, f".{os.urandom(12).hex()}", src_dir_fd=dir_fd, dst_dir_fd=top_fd)
        return
    with closing(_open_to_change(name, dir_fd)) as fd:
        for entry in os.listdir(fd):
            _remove_below(entry, fd, top_fd, depth + 1)
    os.rmdir(name, dir_fd=dir_fd)


def _open_to_change(name: str, dir_fd: int) -> int:
    """Return a directory. Root may read and write any; its owner only where the mode says so."""
    if os.geteuid() == 0:
        return open_directory(name, dir_fd, follow=False)
    with closing(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)) as found:
        mode = stat.S_IMODE(os.fstat(found).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{found}", mode | stat.S_IRWXU)
        return open_directory(".", found)
