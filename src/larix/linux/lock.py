"""Locks on open files: those of the open file description (OFD), which the C tool takes on the same files."""

import fcntl
import os
import struct
import time

from larix.errors import Busy

# Seconds between two tries.
POLL = 0.05
# struct flock: type, whence, start, length, pid, with the padding of the C compiler.
_FLOCK = struct.Struct("hhqqi4x")


def lock_file(name: str, dir_fd: int, *, exclusive: bool, mode: int = 0o660, timeout: float = 0) -> int:
    """Open `name`, made when needed, and lock it; closing the result unlocks.

    Raises Busy where another holds it for `timeout` seconds; a negative number is for ever.
    """
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=dir_fd)
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    wanted = _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
    end = time.monotonic() + timeout
    try:
        if timeout < 0:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, wanted)
            return fd
        while True:
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
                return fd
            except BlockingIOError:
                left = end - time.monotonic()
            if left <= 0:
                waited = f", still after {timeout:g} seconds" if timeout else ""
                raise Busy(f"{name} is locked by another process{waited}")
            # The kernel waits only for ever.
            time.sleep(min(left, POLL))
    except BaseException:
        os.close(fd)
        raise
