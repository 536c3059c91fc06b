"""Trees of deployments that are in no list, and stay all the same."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from larix.errors import Error, NotFound
from larix.formats.bootentry import BootCsum
from larix.formats.checksum import Checksum
from larix.formats.names import Stateroot
from larix.linux import reading, trees, writing
from larix.linux.failures import doing
from larix.ops.tree.kernel import load_kernel
from larix.ops.tree.tree import DiskTree
from larix.sysroot.deployment import NAME, deploy_path, is_pinned
from larix.sysroot.running import running_root, staged_deployment
from larix.sysroot.sysroot import LOADER, Sysroot


class Claim(StrEnum):
    """Why a tree stays: another tool has staged it, the machine runs it, an administrator has pinned it."""

    STAGED = "staged"
    RUNNING = "running"
    PINNED = "pinned"


NO_KERNEL = BootCsum("")


@dataclass(frozen=True, slots=True)
class Held:
    """`path` is relative to the sysroot. `bootcsum` is that of its kernel in /boot, empty where none is known."""

    path: str
    stateroot: Stateroot
    checksum: Checksum
    claim: Claim
    bootcsum: BootCsum = NO_KERNEL


def find_trees(sysroot: Sysroot) -> Iterator[tuple[Stateroot, str]]:
    """Yield stateroot and name of each tree that lies on the disk, listed or not, whole or not."""
    for stateroot in sysroot.stateroots():
        for name in directories_in(sysroot, deploy_path(stateroot)):
            if NAME.fullmatch(name):
                yield stateroot, name


def directories_in(sysroot: Sysroot, path: str) -> list[str]:
    """Return their names; a symlink is none. Nothing where the directory is not there."""
    try:
        with reading.closing(reading.open_directory(path, sysroot.fd)) as fd:
            return sorted(reading.directories(fd))
    except (FileNotFoundError, NotADirectoryError):
        return []


def find_held(sysroot: Sysroot) -> list[Held]:
    """List what is staged first, as it will boot first. Raises Corrupt where the machine does not say what it
    uses."""
    listed = {deployment.path for deployment in sysroot.deployments}
    staged, root = staged_deployment(), running_root()
    found = []
    for stateroot, name in find_trees(sysroot):
        path = f"{deploy_path(stateroot)}/{name}"
        checksum = Checksum(name[:64])
        if path in listed:
            continue
        if staged is not None and (stateroot, name) == (staged.stateroot, f"{staged.checksum}.{staged.serial}"):
            found.append(Held(path, stateroot, checksum, Claim.STAGED, staged.bootcsum))
        elif sysroot.inode(path) == root:
            found.append(Held(path, stateroot, checksum, Claim.RUNNING, _find_bootcsum(sysroot, path)))
        elif _has_pin(sysroot, path):
            found.append(Held(path, stateroot, checksum, Claim.PINNED, _find_bootcsum(sysroot, path)))
    return sorted(found, key=lambda one: list(Claim).index(one.claim))


def _find_bootcsum(sysroot: Sysroot, path: str) -> BootCsum:
    # What has no kernel, or two, has none in /boot.
    with suppress(Error), reading.closing(reading.open_directory(path, sysroot.fd, follow=False)) as fd:
        return load_kernel(DiskTree(fd), path, with_dtb=sysroot.options.with_dtb).bootcsum
    return NO_KERNEL


def _has_pin(sysroot: Sysroot, path: str) -> bool:
    try:
        return is_pinned(sysroot.read_origin(path))
    except Error:
        # Unreadable: who can say that it is not?
        return True


def check_list(sysroot: Sysroot) -> None:
    """Raises NotFound where the list lacks deployments because what holds it is not there, or not whole."""
    # Without links nothing was ever to boot: a first deployment came to nothing.
    links = [name for name in ("ostree/boot.0", "ostree/boot.1") if any(reading.names(name, sysroot.fd))]
    if sysroot.inode(LOADER) is None and sysroot.inode(f"{LOADER}.1") is not None and "ostree/boot.1" in links:
        raise NotFound(
            f"{sysroot.path}/{LOADER} is missing, which leads to the entries that boot; make it a symlink to "
            "loader.0 or loader.1, whichever is right, then try again. Nothing was changed"
        )
    if sysroot.deployments:
        _check_links(sysroot)
        return
    if sysroot.has_list:
        # The others are those of the list before, which a cleanup removes.
        links = [name for name in links if name == f"ostree/boot.{sysroot.bootversion}"]
    tree = next(find_trees(sysroot), None)
    if tree is None or not links:
        return
    where = f"{sysroot.path}/{LOADER}/entries"
    path = f"{sysroot.path}/{deploy_path(tree[0])}/{tree[1]}"
    fault = "lists nothing" if sysroot.has_list else "is missing, which lists what boots"
    raise NotFound(
        f"{where} {fault}, and yet {sysroot.path}/{links[0]} has links to deployments, as {path}; probably "
        f"{sysroot.path}/boot is not mounted: mount it, then try again. If nothing is to boot from there any more, "
        f"remove {' and '.join(f'{sysroot.path}/{name}' for name in links)}. Nothing was changed"
    )


def _check_links(sysroot: Sysroot) -> None:
    """Each link that an entry can boot by has an entry."""
    top = f"ostree/boot.{sysroot.bootversion}"
    listed = {deployment.path for deployment in sysroot.deployments}
    for stateroot in reading.names(top, sysroot.fd):
        for bootcsum in reading.names(f"{top}/{stateroot}", sysroot.fd):
            for serial in reading.names(path := f"{top}/{stateroot}/{bootcsum}", sysroot.fd):
                if not reading.is_link(f"{path}/{serial}", sysroot.fd):
                    continue
                target = os.readlink(f"{path}/{serial}", dir_fd=sysroot.fd).removeprefix("../../../")
                if f"ostree/{target}" not in listed and os.access(f"ostree/{target}", os.F_OK, dir_fd=sysroot.fd):
                    raise NotFound(
                        f"{sysroot.path}/{sysroot.entries} has no entry for {sysroot.path}/ostree/{target}, to which "
                        f"{sysroot.path}/{path}/{serial} leads; was it removed, or is another file system mounted on "
                        f"{sysroot.path}/boot? Bring it back, or remove that link, then try again. Nothing was changed"
                    )


def begin_list(sysroot: Sysroot) -> bool:
    """Make an empty list where nothing was ever deployed: one that is missing is a fault from now on. Whether
    it was made. Raises what `check_list` raises."""
    check_list(sysroot)
    if sysroot.has_list:
        return False
    with (
        doing(f"Beginning the boot configuration of {sysroot.path}"),
        reading.closing(reading.open_directory("boot", sysroot.fd)) as boot_fd,
    ):
        writing.make_parents(f"loader.{sysroot.bootversion}/entries/entry", boot_fd)
        writing.replace_link("loader", f"loader.{sysroot.bootversion}", boot_fd)
        writing.sync(boot_fd)
        writing.sync_file_system(boot_fd)
    return True


def forget_list(sysroot: Sysroot) -> None:
    """Remove an empty list, where nothing is deployed after all."""
    with doing(f"Cleaning up {sysroot.path}"):
        for name in LOADER, f"{LOADER}.{sysroot.bootversion}":
            trees.remove_tree(name, sysroot.fd)
