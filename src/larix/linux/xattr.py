"""Extended attributes of open files and of symlinks. A symlink is reached through its directory's descriptor."""

import errno
import os

Pairs = list[tuple[bytes, bytes]]


def get_all(fd: int) -> Pairs:
    """Return all attributes of an open file; none where the file system has no extended attributes."""
    return _get_all(fd, follow=True)


def get_all_of_link(name: str, dir_fd: int) -> Pairs:
    return _get_all(f"/proc/self/fd/{dir_fd}/{name}", follow=False)


def _get_all(target: int | str, *, follow: bool) -> Pairs:
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
    return [(os.fsencode(name), os.getxattr(target, name, follow_symlinks=follow)) for name in names]


def names(fd: int) -> set[bytes]:
    """Return the names of the attributes of an open file."""
    try:
        return {os.fsencode(name) for name in os.listxattr(fd)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return set()
        raise


def find(fd: int, name: bytes) -> bytes | None:
    """Return one attribute of an open file."""
    try:
        return os.getxattr(fd, name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise


def set_on(fd: int, name: bytes, value: bytes) -> None:
    os.setxattr(fd, name, value)


def remove_from(fd: int, name: bytes) -> None:
    os.removexattr(fd, name)


def set_on_link(name: str, dir_fd: int, key: bytes, value: bytes) -> None:
    os.setxattr(f"/proc/self/fd/{dir_fd}/{name}", key, value, follow_symlinks=False)
