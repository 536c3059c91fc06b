"""A sysroot: the root of a disk that holds a repo, deployments, and the configuration that boots them.

    ostree/repo
    ostree/deploy/                              see deployment.py
    ostree/boot.N -> boot.N.M                   N: bootversion, 0 or 1; M: likewise, of the links alone
    ostree/boot.N.M/STATEROOT/BOOTCSUM/SERIAL   -> ../../../deploy/STATEROOT/deploy/CHECKSUM.SERIAL
    boot/loader -> loader.N                     replacing this link makes another configuration the one that boots
    boot/loader.N/entries/ostree-*.conf         one entry for each deployment, the highest version first
    boot/ostree/STATEROOT-BOOTCSUM/             kernel and initramfs

The list of deployments is what the entries of boot/loader say; nothing else holds it. Entries of other names are of
other systems that boot from the same /boot.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cmp_to_key
from types import TracebackType
from typing import Self

from larix.errors import Corrupt, Invalid, NotFound
from larix.formats.bootentry import BootEntry
from larix.formats.checksum import Checksum
from larix.formats.keyfile import KeyFile
from larix.formats.names import Stateroot
from larix.linux import reading, writing
from larix.linux.failures import as_error, doing
from larix.linux.lock import Tell, lock_file
from larix.linux.syscalls import compare_versions
from larix.repo.repo import Repo, RepoOptions
from larix.sysroot.deployment import NAME, Deployment, deploy_path
from larix.sysroot.running import running_root

LOADER = "boot/loader"
REPO = "ostree/repo"
ENTRY = re.compile(r"ostree-.*\.conf")
LINK = re.compile(r"loader\.([01])/?")
SUBLINK = re.compile(r"boot\.[01]\.([01])/?")
MAX_ENTRY_SIZE = 1 << 20
# Before the paths in an entry, where it is wanted; while the entry is in memory it has none.
PREFIX = "/boot"


@dataclass(frozen=True, slots=True)
class SysrootOptions:
    """`mutable` leaves out the immutable bit; without `with_dtb` directories of device trees are passed over;
    `older_names` calls entries ostree-N-STATEROOT.conf, as the C tool did until 2023, not ostree-N.conf;
    `aborting_freeze`, for tests, fails where the new boot configuration has been written and is not yet in use;
    `lock_timeout` is for how many seconds another process is waited for, negative for ever, and `tell_holder` is called
    with who that is. `repo` is for how its repo is used."""

    mutable: bool = False
    with_dtb: bool = True
    older_names: bool = False
    aborting_freeze: bool = False
    lock_timeout: float = -1
    tell_holder: Tell | None = None
    repo: RepoOptions = field(default_factory=RepoOptions)


class Sysroot:
    """An open sysroot; close it, or use it in a `with`. `deployments` are in the order in which they boot."""

    def __init__(self, path: str, options: SysrootOptions | None = None) -> None:
        """Raises NotFound, Corrupt."""
        self.path = path
        self.options = options or SysrootOptions()
        # New each time that the lock is taken; None while it is not held.
        self.locked_since: object | None = None
        with doing(f"Opening sysroot {path}"):
            self.fd = reading.open_directory(path)
        try:
            if not os.access(REPO, os.F_OK, dir_fd=self.fd):
                raise NotFound(f"{path} is no sysroot: it has no {REPO}; `larix admin init-fs {path}` makes one")
            self.repo = Repo.of_sysroot(path, self.options.repo)
        except BaseException:
            os.close(self.fd)
            raise
        try:
            self.load()
        except BaseException:
            self.close()
            raise

    def load(self) -> None:
        """Read again which deployments there are. Raises Corrupt."""
        self.bootversion = self._read_version(LOADER, LINK)
        self.subbootversion = self._read_version(f"ostree/boot.{self.bootversion}", SUBLINK)
        self.deployments = self._read_deployments()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from changing the sysroot meanwhile, which nothing here does without.

        The list of deployments is read again: one that was chosen before may have left it, or have changed, and is to
        be looked up anew (`find`). Raises Busy where another process does not let go for too long.
        """
        if self.locked_since is not None:
            raise Invalid(f"Sysroot {self.path} is locked already, by the same Sysroot")
        how = self.options
        with doing(f"Locking sysroot {self.path}"):
            fd = lock_file("ostree/lock", self.fd, exclusive=True, timeout=how.lock_timeout, tell=how.tell_holder)
        with reading.closing(fd):
            # Another may have changed it since it was opened.
            self.load()
            self.locked_since = object()
            try:
                yield
            finally:
                self.locked_since = None

    def check_locked(self) -> None:
        """Raises Invalid where what is about to be changed is not locked."""
        if self.locked_since is None:
            raise Invalid(
                f"Sysroot {self.path} is to be changed, and is not locked; do it within `with sysroot.lock():`"
            )

    def sync(self) -> None:
        """Sync: all of it is on the disk then, and /boot, which may be a file system of its own. Raises OSError."""
        writing.sync_file_system(self.fd)
        with suppress(FileNotFoundError), reading.closing(reading.open_directory("boot", self.fd)) as boot_fd:
            writing.sync_file_system(boot_fd)

    def find(self, deployment: Deployment) -> Deployment:
        """Return the same deployment, as it is in the list now. Raises NotFound where it is not in it."""
        for one in self.deployments:
            if one == deployment:
                return one
        raise NotFound(f"Deployment {deployment.name} of {deployment.stateroot} is not in the list of {self.path}")

    def close(self) -> None:
        """May be called twice."""
        self.repo.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def booted(self) -> Deployment | None:
        """The deployment that this machine runs, where it is one of these."""
        root = running_root()
        return next((one for one in self.deployments if self.inode(one.path) == root), None)

    def inode(self, path: str) -> tuple[int, int] | None:
        """Device and inode of what is in the sysroot; None where nothing is there."""
        try:
            found = os.stat(path, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def stateroots(self) -> list[Stateroot]:
        """Return their names. A symlink is none: what it leads to is another's."""
        with reading.closing(reading.open_directory("ostree/deploy", self.fd)) as fd:
            return [Stateroot(name) for name in sorted(reading.directories(fd))]

    @property
    def entries(self) -> str:
        """The directory of the boot entries, in the sysroot. Without a link it is that of bootversion 0, if any."""
        return f"{LOADER if self.inode(LOADER) else f'{LOADER}.0'}/entries"

    @property
    def has_list(self) -> bool:
        """Whether there is a list of deployments, be it an empty one."""
        return self.inode(self.entries) is not None

    def _read_version(self, path: str, pattern: re.Pattern[str]) -> int:
        """Return the number in which the target of a link ends; 0 where there is no link yet."""
        try:
            target = os.readlink(path, dir_fd=self.fd)
        except FileNotFoundError:
            return 0
        except OSError as error:
            if error.errno == errno.EINVAL:
                base = os.path.basename(path)
                raise Corrupt(f"{self.path}/{path} is no symlink; it must be one, to {base}.0 or {base}.1") from None
            raise as_error(f"Reading {self.path}/{path}", error) from error
        found = pattern.fullmatch(target)
        if not found:
            base = os.path.basename(path)
            raise Corrupt(f"{self.path}/{path} links to {target!r}; it must be {base}.0 or {base}.1")
        return int(found[1])

    def _read_deployments(self) -> list[Deployment]:
        where = f"{self.path}/{self.entries}"
        with doing(f"Reading {where}"):
            try:
                fd = reading.open_directory(self.entries, self.fd)
            except FileNotFoundError:
                return []
            with reading.closing(fd):
                found = [(name, _read_entry(where, name, fd)) for name in _entry_names(fd)]
        # As the C tool and boot loaders compare: a number in a text is a number.
        found.sort(key=cmp_to_key(_compare), reverse=True)
        # One that several entries name is there once, where it boots first.
        return list(dict.fromkeys(self._read_deployment(f"{where}/{name}", entry) for name, entry in found))

    def _read_deployment(self, where: str, entry: BootEntry) -> Deployment:
        try:
            target = entry.target
        except Corrupt as error:
            raise Corrupt(f"{where}: {error}; mend the entry, or remove it where nothing is to boot from it") from None
        path = str(target).lstrip("/")
        with doing(f"Reading {self.path}/{path}"):
            link = os.readlink(path, dir_fd=self.fd)
        found = NAME.fullmatch(os.path.basename(link))
        expected = f"../../../{deploy_path(target.stateroot).removeprefix('ostree/')}"
        if not found or os.path.dirname(link) != expected:
            raise Corrupt(f"{self.path}/{path} links to {link!r}, which is no deployment of {target.stateroot}")
        return Deployment(
            target.stateroot,
            Checksum(found[1]),
            int(found[2]),
            target.bootcsum,
            target.serial,
            entry,
            self.read_origin(deploy_path(target.stateroot) + f"/{found[0]}"),
        )

    def read_origin(self, deployment: str) -> KeyFile:
        """Return the origin of the deployment at a path; an empty one where there is none."""
        path = f"{deployment}.origin"
        try:
            with doing(f"Reading {self.path}/{path}"):
                return KeyFile.decode(reading.read(path, self.fd, MAX_ENTRY_SIZE), f"{self.path}/{path}")
        except NotFound:
            return KeyFile()


def _entry_names(fd: int) -> list[str]:
    """Without what no boot loader reads. A symlink that leads nowhere is not passed over."""
    with os.scandir(fd) as entries:
        return [one.name for one in entries if ENTRY.fullmatch(one.name) and (one.is_symlink() or one.is_file())]


def _compare(one: tuple[str, BootEntry], other: tuple[str, BootEntry]) -> int:
    """Compare by versions, as boot loaders and the C tool do it; those of one version by their names."""
    versions = [os.fsencode(entry.find("version") or "") for _, entry in (one, other)]
    return compare_versions(*versions) or compare_versions(os.fsencode(one[0]), os.fsencode(other[0]))


def _read_entry(where: str, name: str, fd: int) -> BootEntry:
    with doing(f"Reading {where}/{name}"):
        try:
            return BootEntry.decode(reading.read(name, fd, MAX_ENTRY_SIZE, follow=True)).without_prefix(PREFIX)
        except Corrupt as error:
            # Which begins with the name.
            raise Corrupt(f"{where}/{error}") from None
