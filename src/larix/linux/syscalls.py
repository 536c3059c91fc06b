"""The calls of the kernel that Python's `os` lacks: the only place with ctypes."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(fd: int) -> None:
    """Make everything written to the file system of `fd` durable. Raises OSError."""
    if _libc.syncfs(fd) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
