"""What the kernel and the C library can do and Python's `os` lacks: the only place with ctypes."""

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sync_file_range.argtypes = ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
_libc.strverscmp.argtypes = ctypes.c_char_p, ctypes.c_char_p
_libc.prctl.argtypes = ctypes.c_int, *[ctypes.c_ulong] * 4
SYNC_FILE_RANGE_WRITE = 2
SET_PARENT_DEATH_SIGNAL = 1
_libc.renameat2.argtypes = ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
RENAME_NOREPLACE = 1
_libc.syscall.argtypes = ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t
_libc.syscall.restype = ctypes.c_long
# The same number on all architectures; glibc has no function for it.
OPENAT2 = 437
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10


def compare_versions(one: bytes, other: bytes) -> int:
    """Below, at or above 0, as strverscmp(3): numbers in texts are compared as numbers."""
    return int(_libc.strverscmp(one, other))


def syncfs(fd: int) -> None:
    """Make everything written to the file system of `fd` durable. Raises OSError."""
    _check(_libc.syncfs(fd))


def start_writing(fd: int) -> None:
    """Have what was written to the file go to the disk, without waiting for it. Raises OSError."""
    _check(_libc.sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE))


def rename_to_new(source: str, source_fd: int, name: str, dir_fd: int) -> None:
    """Rename, unless the new name is there. Raises OSError: FileExistsError, or EINVAL where a file system cannot."""
    _check(_libc.renameat2(source_fd, os.fsencode(source), dir_fd, os.fsencode(name), RENAME_NOREPLACE))


def open_without_symlinks(path: str, dir_fd: int, flags: int) -> int:
    """Open a path, no part of which may be a symlink. Raises OSError, also where the kernel cannot do it."""
    return _open(path, dir_fd, flags, RESOLVE_NO_SYMLINKS)


def open_in_root(path: str, root_fd: int, flags: int) -> int:
    """Open a path as if the directory were the root: `..` and symlinks do not leave it. Raises OSError, as above."""
    return _open(path, root_fd, flags, RESOLVE_IN_ROOT)


def _open(path: str, dir_fd: int, flags: int, resolve: int) -> int:
    how = struct.pack("=QQQ", flags, 0, resolve)
    found = _libc.syscall(OPENAT2, dir_fd, os.fsencode(path), how, len(how))
    _check(min(found, 0))
    return int(found)


def end_with_parent(signal: int) -> None:
    """Have this process be sent a signal when the thread that forked it ends. Raises OSError."""
    _check(_libc.prctl(SET_PARENT_DEATH_SIGNAL, signal, 0, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
