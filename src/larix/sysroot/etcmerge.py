"""What an administrator changed in /etc, carried over to the /etc of another tree.

Three trees: the defaults (usr/etc) and the /etc of the deployment one comes from, and the /etc of the new one, which
begins as a copy of its own defaults. Whatever differs from the old defaults (content, owner, mode, extended
attributes) wins over the new ones; what was removed stays removed. The old /etc is only read.
"""

import os
import stat
from dataclasses import dataclass, field

from larix.errors import Invalid
from larix.linux import files, xattr
from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot

PIECE = 1 << 20
CARRIED = (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)


@dataclass(slots=True)
class EtcChanges:
    """Paths relative to /etc, a directory before what is in it; of a removed directory only itself."""

    modified: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


def find_changes(sysroot: Sysroot, deployment: Deployment) -> EtcChanges:
    """What makes the /etc of a deployment another than its tree's."""
    with files.doing(f"Reading /etc of {deployment.name}"):
        fds = [files.open_directory(f"{deployment.path}/{name}", sysroot.fd) for name in ("usr/etc", "etc")]
        try:
            return plan_merge(fds[0], fds[1])
        finally:
            for fd in fds:
                os.close(fd)


def plan_merge(defaults_fd: int, etc_fd: int) -> EtcChanges:
    """The changes that make the defaults what /etc is."""
    changes = EtcChanges()
    _compare(defaults_fd, etc_fd, "", changes)
    return changes


def _compare(defaults_fd: int, etc_fd: int, below: str, changes: EtcChanges) -> None:
    before, after = set(os.listdir(defaults_fd)), set(os.listdir(etc_fd))
    changes.removed += [below + name for name in sorted(before - after)]
    for name in sorted(after):
        now = os.stat(name, dir_fd=etc_fd, follow_symlinks=False)
        if name not in before:
            changes.added.append(below + name)
            if stat.S_ISDIR(now.st_mode):
                _add_below(name, etc_fd, f"{below}{name}/", changes)
            continue
        old = os.stat(name, dir_fd=defaults_fd, follow_symlinks=False)
        if not _same(name, old, defaults_fd, now, etc_fd):
            changes.modified.append(below + name)
        if not stat.S_ISDIR(now.st_mode):
            continue
        if not stat.S_ISDIR(old.st_mode):
            _add_below(name, etc_fd, f"{below}{name}/", changes)
            continue
        subs = [files.open_directory(name, fd, follow=False) for fd in (defaults_fd, etc_fd)]
        try:
            _compare(subs[0], subs[1], f"{below}{name}/", changes)
        finally:
            for fd in subs:
                os.close(fd)


def _add_below(name: str, dir_fd: int, below: str, changes: EtcChanges) -> None:
    for root, directories, names, _ in os.fwalk(name, dir_fd=dir_fd):
        path = below + os.path.relpath(root, name) + "/" if root != name else below
        directories.sort()
        changes.added += [path + entry for entry in sorted(directories + names)]


def _same(name: str, old: os.stat_result, old_fd: int, new: os.stat_result, new_fd: int) -> bool:
    if (old.st_mode, old.st_uid, old.st_gid) != (new.st_mode, new.st_uid, new.st_gid):
        return False
    if stat.S_IFMT(new.st_mode) not in CARRIED:
        return True
    if stat.S_ISLNK(new.st_mode):
        return os.readlink(name, dir_fd=old_fd) == os.readlink(name, dir_fd=new_fd)
    fds = [os.open(name, files.READ, dir_fd=fd) for fd in (old_fd, new_fd)]
    try:
        if sorted(xattr.get_all(fds[0])) != sorted(xattr.get_all(fds[1])):
            return False
        if stat.S_ISDIR(new.st_mode):
            return True
        if old.st_size != new.st_size:
            return False
        while True:
            pieces = [os.read(fd, PIECE) for fd in fds]
            if pieces[0] != pieces[1]:
                return False
            if not pieces[0]:
                return True
    finally:
        for fd in fds:
            os.close(fd)


def merge(changes: EtcChanges, etc_fd: int, target_fd: int) -> None:
    """Carry the changes of /etc over to the new one. Raises Invalid where a file would have to replace a directory."""
    for path in changes.removed:
        files.remove_tree(path, target_fd)
    for path in sorted(changes.modified + changes.added):
        if stat.S_IFMT(os.stat(path, dir_fd=etc_fd, follow_symlinks=False).st_mode) not in CARRIED:
            # A socket or FIFO belongs to a running program.
            continue
        _make_parents(path, etc_fd, target_fd)
        if stat.S_ISDIR(os.stat(path, dir_fd=etc_fd, follow_symlinks=False).st_mode):
            _take_directory(path, etc_fd, target_fd)
            continue
        if _is_directory(path, target_fd):
            raise Invalid(
                f"Modified config file newly defaults to directory '/etc/{path}'; move it away, then try again"
            )
        files.copy(path, etc_fd, path, target_fd)


def _make_parents(path: str, etc_fd: int, target_fd: int) -> None:
    """The directories above, where the new tree has them no more."""
    parts = path.split("/")[:-1]
    for i in range(len(parts)):
        parent = "/".join(parts[: i + 1])
        if not _is_directory(parent, target_fd):
            _take_directory(parent, etc_fd, target_fd)


def _take_directory(path: str, etc_fd: int, target_fd: int) -> None:
    if not files.make_directory(path, target_fd, 0o700) and not _is_directory(path, target_fd):
        raise Invalid(f"/etc/{path} is a directory here and a file in the new tree; move one of them away")
    copy_directory_metadata(path, etc_fd, target_fd)


def _is_directory(path: str, dir_fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def copy_directory_metadata(path: str, source_fd: int, target_fd: int) -> None:
    fds = [files.open_directory(path, fd, follow=False) for fd in (source_fd, target_fd)]
    try:
        files.copy_metadata(*fds)
    finally:
        for fd in fds:
            os.close(fd)


def copy_defaults(defaults_fd: int, etc_fd: int) -> None:
    """Fill the new, empty /etc with copies: nothing of it may be shared with the repo."""
    for name in sorted(os.listdir(defaults_fd)):
        if not _is_directory(name, defaults_fd):
            files.copy(name, defaults_fd, name, etc_fd)
            continue
        files.make_directory(name, etc_fd, 0o700)
        fds = [files.open_directory(name, fd, follow=False) for fd in (defaults_fd, etc_fd)]
        try:
            copy_defaults(*fds)
        finally:
            for fd in fds:
                os.close(fd)
    files.copy_metadata(defaults_fd, etc_fd)
