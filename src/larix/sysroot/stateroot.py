"""Making what deployments need around them: the sysroot's directories, and stateroots."""

import os
from contextlib import suppress

from larix.errors import Invalid
from larix.formats.names import check_remote
from larix.linux import files
from larix.linux.lock import lock_directory
from larix.repo.repo import Repo
from larix.sysroot.deployment import stateroot_path
from larix.sysroot.sysroot import REPO, Sysroot

# Directory -> mode. The first two are needed; the others are mount points and homes in the disk's own root.
NEEDED = {"boot": 0o755, "ostree": 0o755, "ostree/repo": 0o755, "ostree/deploy": 0o755}
EPOCHS = range(3)
CUSTOMARY = {"dev": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755, "tmp": 0o1777}

VAR = {"": 0o755, "/lib": 0o755, "/log": 0o755, "/tmp": 0o1777}
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
    with files.doing(f"Making sysroot {path}"), files.closing(files.open_directory(path)) as fd:
        for name, mode in names.items():
            _make(name, mode, fd)
        files.sync_file_system(fd)
    Repo.init(os.path.join(path, REPO), "bare" if os.geteuid() == 0 else "bare-user").close()


def init_stateroot(sysroot: Sysroot, name: str) -> None:
    """Make a stateroot, with its var; it appears whole, so the sysroot need not be locked.

    Raises Invalid where it is there, Busy where another process is making it.
    """
    check_remote(name, "stateroot")
    path = stateroot_path(name)
    made = stateroot_path(f".{name}.new")
    with files.doing(f"Making stateroot {name}"), files.closing(_take(made, sysroot.fd)) as fd:
        # Of one that was killed.
        for left in os.listdir(fd):
            files.remove_tree(left, fd)
        files.make_directory("var", fd, 0o755)
        fill_var(sysroot, f"{made}/var")
        files.sync_file_system(sysroot.fd)
        if not files.rename_to_new(made, sysroot.fd, path, sysroot.fd):
            files.remove_tree(made, sysroot.fd)
            raise Invalid(f"Stateroot {name} is there already: {sysroot.path}/{path}")
        files.sync_directory(os.path.dirname(path), sysroot.fd)


def _take(name: str, dir_fd: int) -> int:
    """A directory that no other process has, open. Raises Busy."""
    while True:
        files.make_directory(name, dir_fd, 0o755)
        try:
            fd = lock_directory(name, dir_fd)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            files.remove(name, dir_fd)
            continue
        # Else it has just been given its right name, or was removed.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=dir_fd, follow_symlinks=False)):
                return fd
        os.close(fd)


def fill_var(sysroot: Sysroot, path: str) -> None:
    """What programs expect in this /var, where nothing is there yet: newer C tools make a stateroot without it."""
    if files.names(path, sysroot.fd):
        return
    for below, mode in VAR.items():
        _make(f"{path}{below}", mode, sysroot.fd)
    for below, target in VAR_LINKS.items():
        files.symlink(target, f"{path}/{below}", sysroot.fd)


def _make(name: str, mode: int, dir_fd: int) -> None:
    if files.make_directory(name, dir_fd):
        # Not what the umask leaves of it.
        with files.closing(files.open_directory(name, dir_fd, follow=False)) as fd:
            files.set_mode(fd, mode)
