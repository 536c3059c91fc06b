"""Changes to a disk, by descriptor: every one that larix makes is made by a function of this file or of trees.py.

A name is always relative to an open directory, `dir_fd`. What others may read while it is written is first written
under a temporary name and then renamed.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from larix.linux import syscalls, xattr
from larix.linux.reading import READ, closing, open_directory, pieces

# What a hard link fails with where there could be a copy: other file systems, none with links, too many, not allowed.
CANNOT_LINK = errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP
# Of FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL.
GET_FLAGS, SET_FLAGS, IMMUTABLE = 0x80086601, 0x40086602, 0x10


def make_directory(name: str, dir_fd: int | None = None, mode: int = 0o775) -> bool:
    """Make a directory, unless it is there. Return whether it had to be made."""
    try:
        os.mkdir(name, mode, dir_fd=dir_fd)
    except FileExistsError:
        return False
    return True


def make_all(path: str) -> None:
    """Make the directory, and those above it that are missing."""
    os.makedirs(path, 0o775, exist_ok=True)


def make_parents(name: str, dir_fd: int) -> None:
    """Make the directories above `name`."""
    parts = name.split("/")[:-1]
    for i in range(len(parts)):
        make_directory("/".join(parts[: i + 1]), dir_fd)


def create(name: str, dir_fd: int, mode: int = 0o600) -> int:
    """Make a new file, and return it open for writing."""
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=dir_fd)


def open_output(path: str) -> int:
    """Open what a user named to be written to: made anew, or emptied; it may be a pipe or a device."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY, 0o666)


def create_unnamed(directory: str, dir_fd: int) -> int:
    """Make a file without a name; return it open for writing and reading; gone when it is closed."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    name = f"{directory}/.unnamed.{os.urandom(6).hex()}"
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=dir_fd)
    os.unlink(name, dir_fd=dir_fd)
    return fd


def write_all(fd: int, data: bytes | bytearray) -> None:
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def write_parts(fd: int, parts: list[bytes | bytearray]) -> None:
    """Write parts one after the other, in one call where the kernel takes all."""
    done = os.writev(fd, parts)
    if done < sum(map(len, parts)):
        write_all(fd, b"".join(parts)[done:])


def put(name: str, dir_fd: int, parts: Iterable[bytes | bytearray], *, durable: bool = False) -> None:
    """Make the new file `name`, 0644, hold these parts; those of a list go in one call. `durable`: not yet its name."""
    with closing(create(name, dir_fd, 0o644)) as fd:
        if isinstance(parts, list):
            write_parts(fd, parts)
        else:
            for part in parts:
                write_all(fd, part)
        set_mode(fd, 0o644)
        if durable:
            sync(fd)


def set_mode(fd: int, mode: int) -> None:
    os.fchmod(fd, mode)


def set_owner(fd: int, uid: int, gid: int) -> None:
    os.fchown(fd, uid, gid)


def set_link_owner(name: str, dir_fd: int, uid: int, gid: int) -> None:
    os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)


def set_mtime(target: int | str, seconds: int, dir_fd: int | None = None) -> None:
    """Set the modification time of an open file, or of a name in `dir_fd` (a symlink itself)."""
    if isinstance(target, int):
        os.utime(target, (seconds, seconds))
    else:
        os.utime(target, (seconds, seconds), dir_fd=dir_fd, follow_symlinks=False)


def touch(name: str, dir_fd: int) -> None:
    """Let the modification time of what is there be now."""
    os.utime(name, dir_fd=dir_fd)


def symlink(target: str, name: str, dir_fd: int) -> None:
    os.symlink(target, name, dir_fd=dir_fd)


def make_whiteout(name: str, dir_fd: int, mode: int) -> None:
    """Make the device 0:0, by which overlayfs knows that a name is hidden."""
    os.mknod(name, stat.S_IFCHR | mode, os.makedev(0, 0), dir_fd=dir_fd)
    _set_mode_of(name, dir_fd, mode)


def _set_mode_of(name: str, dir_fd: int, mode: int) -> None:
    """Set the mode of what cannot be opened; no symlink in its place is followed."""
    with closing(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)) as found:
        # What the kernel refuses for a symlink.
        os.chmod(f"/proc/self/fd/{found}", mode)


def link(source: str, source_fd: int, name: str, dir_fd: int) -> None:
    """Make a hard link; a symlink is linked itself."""
    os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd, follow_symlinks=False)


def link_open(fd: int, name: str, dir_fd: int) -> bool:
    """Make a hard link to an open file; return False where the file system, or a rule of the kernel's, does not let
    us."""
    try:
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=dir_fd, follow_symlinks=True)
    except OSError as error:
        if error.errno not in (*CANNOT_LINK, errno.ENOENT):
            raise
        return False
    return True


def rename(source: str, source_fd: int, name: str, dir_fd: int) -> None:
    os.rename(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd)


def rename_to_new(source: str, source_fd: int, name: str, dir_fd: int) -> bool:
    """Rename; return whether it could be: `name` must not be there, not even as an empty directory. Who is about to
    link to what is there, or to put something into it, would find it gone."""
    try:
        syscalls.rename_to_new(source, source_fd, name, dir_fd)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        # Where the file system cannot: nearly the same.
        if os.access(name, os.F_OK, dir_fd=dir_fd, follow_symlinks=False):
            return False
        os.rename(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd)
    return True


def remove(name: str, dir_fd: int) -> None:
    os.unlink(name, dir_fd=dir_fd)


def remove_if_empty(name: str, dir_fd: int) -> bool:
    """Remove a directory. Whether it is gone, which it is not where it has anything in it."""
    try:
        os.rmdir(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


@contextmanager
def _replacing(name: str, dir_fd: int, temporary: str | None = None) -> Iterator[str]:
    """Give a temporary name: what the block makes under the name it is given takes the place of `name`, at once; or
    nothing when it fails.

    Without `temporary` that name is beside `name`, and is freed first: one that was killed may have left something
    there. So only one process at a time may replace a name this way; others give a name that is theirs alone.
    """
    if temporary is None:
        parent, slash, base = name.rpartition("/")
        # Of characters that take up to four bytes each; a name has at most 255.
        temporary = f"{parent}{slash}.{base[:60]}.new"
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=dir_fd)
    try:
        yield temporary
        os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=dir_fd)
        raise


def replace_link(name: str, target: str, dir_fd: int, *, temporary: str | None = None) -> None:
    """Make `name` a symlink to `target`: whoever follows it comes to the old or the new one. Else as `replace`."""
    with _replacing(name, dir_fd, temporary) as made:
        os.symlink(target, made, dir_fd=dir_fd)


def copy(
    source: str, source_fd: int, name: str, dir_fd: int, *, metadata: bool = True, temporary: str | None = None
) -> None:
    """Make `name` a copy of a file or symlink with its owner, mode, extended attributes and times. Else as `replace`.

    Without `metadata` a copied file has none of that, and mode 0600.
    """
    found = os.stat(source, dir_fd=source_fd, follow_symlinks=False)
    with _replacing(name, dir_fd, temporary) as made:
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(source, dir_fd=source_fd), made, dir_fd=dir_fd)
            if os.geteuid() == 0:
                os.chown(made, found.st_uid, found.st_gid, dir_fd=dir_fd, follow_symlinks=False)
            for key, value in xattr.get_all_of_link(source, source_fd):
                xattr.set_on_link(made, dir_fd, key, value)
        else:
            _copy_content(source, source_fd, made, dir_fd, metadata)


def _copy_content(source: str, source_fd: int, name: str, dir_fd: int, metadata: bool) -> None:
    with closing(os.open(source, READ, dir_fd=source_fd)) as old, closing(create(name, dir_fd)) as new:
        for piece in pieces(old):
            write_all(new, piece)
        if metadata:
            copy_metadata(old, new)


def copy_metadata(source_fd: int, fd: int) -> None:
    """Owner (as root), extended attributes, mode and times of an open file or directory."""
    found = os.fstat(source_fd)
    if os.geteuid() == 0:
        os.fchown(fd, found.st_uid, found.st_gid)
    pairs = xattr.get_all(source_fd)
    for name in xattr.names(fd) - {name for name, _ in pairs}:
        # Those are the kernel's to give, and to refuse.
        if not name.startswith(b"security."):
            xattr.remove_from(fd, name)
    for name, value in pairs:
        xattr.set_on(fd, name, value)
    os.fchmod(fd, stat.S_IMODE(found.st_mode))
    os.utime(fd, ns=(found.st_mtime_ns, found.st_mtime_ns))


def set_immutable(fd: int, immutable: bool) -> None:
    """Guard an open directory against changes, or no longer; nothing where the file system or the user cannot."""
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, GET_FLAGS, bytes(8))[:4], "little")
        wanted = flags | IMMUTABLE if immutable else flags & ~IMMUTABLE
        if wanted != flags:
            fcntl.ioctl(fd, SET_FLAGS, wanted.to_bytes(8, "little"))
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            raise


def sync(fd: int) -> None:
    os.fsync(fd)


def sync_directory(name: str, dir_fd: int) -> None:
    """Make durable what was made, renamed or removed in it, but not what these files hold."""
    with closing(open_directory(name or ".", dir_fd)) as fd:
        os.fsync(fd)


def sync_file_system(fd: int) -> None:
    syscalls.syncfs(fd)


def start_writing(name: str, dir_fd: int) -> None:
    """Let the disk take a file already, which leaves less to do for the sync that promises it."""
    # It is advice, which not every file system takes, and a file may let nobody read it: then it waits for the sync.
    with suppress(OSError), closing(os.open(name, READ, dir_fd=dir_fd)) as fd:
        syscalls.start_writing(fd)


def replace(name: str, data: bytes, dir_fd: int, *, durable: bool = True, temporary: str | None = None) -> None:
    """Give the file `name` this content, 0644: a reader sees the old or the new, whole. `durable`: on the disk, too.

    It is written as `temporary` first. Without that, it is written beside `name`, which one process at a time may do.
    """
    with _replacing(name, dir_fd, temporary) as made:
        put(made, dir_fd, [data], durable=durable)
    if durable:
        sync_directory(os.path.dirname(name), dir_fd)
