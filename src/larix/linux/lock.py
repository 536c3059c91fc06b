"""Locks on open files: those of the open file description (OFD), which the C tool takes on the same files."""

import fcntl
import os
import struct

from larix.errors import Busy

# struct flock: type, whence, start, length, pid, with the padding of the C compiler.
_FLOCK = struct.Struct("hhqqi4x")


def lock_file(name: str, dir_fd: int, *, exclusive: bool, mode: int = 0o660) -> int:
    """Open `name`, made when needed, and lock it. Raises Busy where another holds it; closing the result unlocks."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=dir_fd)
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        os.close(fd)
        raise Busy(f"{name} is locked by another process") from None
    except BaseException:
        os.close(fd)
        raise
    return fd
