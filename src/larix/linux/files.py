"""Files and directories by descriptor. Every change larix makes to a disk is made by a function of this file.

A name is always relative to an open directory, `dir_fd`. What others may read while it is written is first written
under a temporary name and then renamed.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from larix.errors import Error, NoSpace, NotFound
from larix.linux import syscalls

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Reading must neither follow a symlink nor hang on a FIFO.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turn an OSError of the block into an Error that begins with `what`."""
    try:
        yield
    except OSError as error:
        raise explained(what, error) from error


def explained(what: str, error: OSError) -> Error:
    kind = Error
    if isinstance(error, FileNotFoundError):
        kind = NotFound
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        kind = NoSpace
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    where = f" {name}:" if name and name not in what else ""
    return kind(f"{what}:{where} {error.strerror or error}")


def open_directory(name: str, dir_fd: int | None = None, *, follow: bool = True) -> int:
    return os.open(name, DIRECTORY | (0 if follow else os.O_NOFOLLOW), dir_fd=dir_fd)


def make_directory(name: str, dir_fd: int | None = None, mode: int = 0o777) -> bool:
    """Whether it had to be made."""
    try:
        os.mkdir(name, mode, dir_fd=dir_fd)
    except FileExistsError:
        return False
    return True


def make_parents(name: str, dir_fd: int) -> None:
    """Make the directories above `name`."""
    parts = name.split("/")[:-1]
    for i in range(len(parts)):
        make_directory("/".join(parts[: i + 1]), dir_fd)


def create(name: str, dir_fd: int, mode: int = 0o600) -> int:
    """A new file, open for writing."""
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=dir_fd)


def create_unnamed(directory: str, dir_fd: int) -> int:
    """A new file without a name, open for writing and reading; gone when it is closed."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    name = f"{directory}/.unnamed.{os.urandom(6).hex()}"
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=dir_fd)
    os.unlink(name, dir_fd=dir_fd)
    return fd


def write_all(fd: int, data: bytes) -> None:
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def set_mode(fd: int, mode: int) -> None:
    os.fchmod(fd, mode)


def set_owner(fd: int, uid: int, gid: int) -> None:
    os.fchown(fd, uid, gid)


def set_link_owner(name: str, dir_fd: int, uid: int, gid: int) -> None:
    os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)


def set_mtime(target: int | str, seconds: int, dir_fd: int | None = None) -> None:
    """Of an open file, or of a name in `dir_fd` (a symlink itself)."""
    if isinstance(target, int):
        os.utime(target, (seconds, seconds))
    else:
        os.utime(target, (seconds, seconds), dir_fd=dir_fd, follow_symlinks=False)


def symlink(target: str, name: str, dir_fd: int) -> None:
    os.symlink(target, name, dir_fd=dir_fd)


def link(source: str, source_fd: int, name: str, dir_fd: int) -> None:
    """A hard link; a symlink is linked itself."""
    os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd, follow_symlinks=False)


def rename(source: str, source_fd: int, name: str, dir_fd: int) -> None:
    os.rename(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd)


def remove(name: str, dir_fd: int) -> None:
    os.unlink(name, dir_fd=dir_fd)


def remove_directory(name: str, dir_fd: int) -> None:
    os.rmdir(name, dir_fd=dir_fd)


def remove_tree(name: str, dir_fd: int) -> None:
    """Remove a directory and what is below it, or nothing when it is not there."""
    with suppress(FileNotFoundError):
        shutil.rmtree(name, dir_fd=dir_fd)


def sync(fd: int) -> None:
    os.fsync(fd)


def sync_file_system(fd: int) -> None:
    syscalls.syncfs(fd)


def replace(name: str, data: bytes, dir_fd: int, *, durable: bool = True) -> None:
    """Give the file `name` this content, 0644: a reader sees the old or the new, whole."""
    parent, _, base = name.rpartition("/")
    temporary = f"{parent}/.{base}.{os.urandom(6).hex()}" if parent else f".{base}.{os.urandom(6).hex()}"
    fd = create(temporary, dir_fd)
    try:
        write_all(fd, data)
        set_mode(fd, 0o644)
        if durable:
            sync(fd)
        rename(temporary, dir_fd, name, dir_fd)
    except BaseException:
        with suppress(FileNotFoundError):
            remove(temporary, dir_fd)
        raise
    finally:
        os.close(fd)


def read(name: str, dir_fd: int, limit: int) -> bytes:
    """The whole content. Raises Error when it is longer than `limit` bytes."""
    fd = os.open(name, READ, dir_fd=dir_fd)
    try:
        size = os.fstat(fd).st_size
        if size > limit:
            raise Error(f"{name}: {size} bytes; at most {limit} are allowed")
        data = os.read(fd, size + 1)
        while len(data) < size and (more := os.read(fd, size - len(data))):
            data += more
        return data
    finally:
        os.close(fd)
