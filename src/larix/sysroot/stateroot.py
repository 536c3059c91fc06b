"""Making what deployments need around them: the sysroot's directories, and stateroots."""

import errno
import os
from contextlib import suppress

from larix.errors import Invalid
from larix.formats.names import Stateroot, check_stateroot
from larix.linux import reading, trees, writing
from larix.linux.failures import doing
from larix.linux.lock import lock_directory
from larix.repo.repo import Repo
from larix.sysroot.copying import copy_tree
from larix.sysroot.deployment import stateroot_path
from larix.sysroot.sysroot import REPO, Sysroot

# Directory -> mode. The first two are needed; the others are mount points and homes in the disk's own root.
NEEDED = {"boot": 0o755, "ostree": 0o755, "ostree/repo": 0o755, "ostree/deploy": 0o755}
EPOCHS = range(3)
CUSTOMARY = {"dev": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755, "tmp": 0o1777}

VAR = {"lib": 0o755, "log": 0o755, "tmp": 0o1777}
TMPFILES = "usr/lib/tmpfiles.d"
VAR_LINKS = {"run": "../run", "lock": "../run/lock"}


def init_sysroot(path: str, *, epoch: int = 0) -> None:
    """Make the directory `path` a sysroot. Raises NotFound where it is missing, Invalid for an unknown epoch.

    Epoch 0 makes mount points and homes as well, 1 only what is needed; 2 also closes `ostree` to all but its owner,
    for old configuration and set-user-ID programs are in there. The repo has mode bare; as an ordinary user, who
    cannot keep owners, bare-user.
    """
    if epoch not in EPOCHS:
        raise Invalid(f"No epoch of sysroots: {epoch}; give one from {EPOCHS[0]} to {EPOCHS[-1]}")
    names = {**({} if epoch else CUSTOMARY), **NEEDED}
    if epoch == 2:
        names["ostree"] = 0o700
    with doing(f"Making sysroot {path}"), reading.closing(reading.open_directory(path)) as fd:
        for name, mode in names.items():
            _make(name, mode, fd)
        writing.sync_file_system(fd)
    Repo.init(os.path.join(path, REPO), "bare" if os.geteuid() == 0 else "bare-user").close()


def init_stateroot(sysroot: Sysroot, name: str) -> None:
    """Make a stateroot, with its var; it appears whole, so the sysroot need not be locked.

    Raises Invalid where it is there, Busy where another process is making it.
    """
    path = stateroot_path(check_stateroot(name))
    made = stateroot_path(Stateroot(f".{name}.new"))
    with doing(f"Making stateroot {name}"), reading.closing(_take(made, sysroot.fd)) as fd:
        # Of one that was killed.
        for left in os.listdir(fd):
            trees.remove_tree(left, fd)
        _make("var", 0o755, fd)
        writing.sync_file_system(sysroot.fd)
        if not writing.rename_to_new(made, sysroot.fd, path, sysroot.fd):
            trees.remove_tree(made, sysroot.fd)
            raise Invalid(f"Stateroot {name} is there already: {sysroot.path}/{path}")
        writing.sync_directory(os.path.dirname(path), sysroot.fd)


def _take(name: str, dir_fd: int) -> int:
    """Take a directory that no other process has, and return it open. Raises Busy."""
    while True:
        writing.make_directory(name, dir_fd, 0o755)
        try:
            fd = lock_directory(name, dir_fd)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            writing.remove(name, dir_fd)
            continue
        # Else it has just been given its right name, or was removed.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=dir_fd, follow_symlinks=False)):
                return fd
        os.close(fd)


def fill_var(sysroot: Sysroot, root_fd: int, stateroot: Stateroot) -> None:
    """Make of an empty /var what the tree of its first deployment has there. It appears whole, if it is a directory of
    the sysroot; a file system of its own is filled where it is.

    To that comes what programs expect, where the tree has nothing that would make it when the machine boots.
    """
    top = stateroot_path(stateroot)
    path, made = f"{top}/var", f"{top}/.var.new"
    # What one that was killed has left.
    trees.remove_tree(made, sysroot.fd)
    if (
        "var" not in reading.directories(root_fd)
        or reading.is_link(path, sysroot.fd)
        or reading.names(path, sysroot.fd)
    ):
        # A symlink may lead anywhere, and is left to whoever made it.
        return
    with (
        doing(f"Filling {sysroot.path}/{path}"),
        reading.closing(reading.open_directory("var", root_fd, follow=False)) as source,
        reading.closing(reading.open_directory(path, sysroot.fd, follow=False)) as var,
    ):
        # For nobody else until it is whole, with the mode that /var has.
        writing.make_directory(made, sysroot.fd, 0o700)
        try:
            with reading.closing(reading.open_directory(made, sysroot.fd, follow=False)) as new:
                _fill(new, source, root_fd)
                writing.copy_metadata(var, new)
            try:
                writing.rename(made, sysroot.fd, path, sysroot.fd)
                return
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST):
                    raise
        except BaseException:
            trees.remove_tree(made, sysroot.fd)
            raise
        trees.remove_tree(made, sysroot.fd)
        # A file system of its own; or somebody was here first.
        if not os.listdir(var):
            _fill(var, source, root_fd)
            writing.sync_file_system(var)


def _fill(var: int, source: int, root_fd: int) -> None:
    copy_tree(source, var)
    if os.access(TMPFILES, os.F_OK, dir_fd=root_fd):
        return
    for name, mode in VAR.items():
        _make(name, mode, var)
    for name, target in VAR_LINKS.items():
        with suppress(FileExistsError):
            writing.symlink(target, name, var)
    # Whatever mode it has in the tree.
    if "tmp" in reading.directories(var):
        _set_mode("tmp", VAR["tmp"], var)


def _make(name: str, mode: int, dir_fd: int) -> None:
    if writing.make_directory(name, dir_fd):
        # Not what the umask leaves of it.
        _set_mode(name, mode, dir_fd)


def _set_mode(name: str, mode: int, dir_fd: int) -> None:
    with reading.closing(reading.open_directory(name, dir_fd, follow=False)) as fd:
        writing.set_mode(fd, mode)
