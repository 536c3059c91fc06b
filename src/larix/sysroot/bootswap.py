"""Making a list of deployments the one that boots.

Everything is written beside what boots now: the links in ostree/boot.N.M, the entries in boot/loader.N, where N is the
bootversion that is not in use. When all of it is on the disk, one rename of the link boot/loader makes it the one that
boots: after a power cut at any instant that is the old list or the new one, whole.

Where the entries stay the same to the byte, since only trees have changed, the links alone are swapped: those of the
other M are written, and one rename of the link ostree/boot.N does it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from larix.errors import Invalid
from larix.formats.bootentry import PATHS
from larix.linux import reading, trees, writing
from larix.linux.failures import doing
from larix.linux.freeze import bring_journal_home
from larix.ops.tree.kernel import load_kernel
from larix.ops.tree.tree import DiskTree
from larix.sysroot.bootloaders.base import BootLoader
from larix.sysroot.bootloaders.find import find_bootloader
from larix.sysroot.bootloaders.none import NoBootLoader
from larix.sysroot.deployment import Deployment
from larix.sysroot.held import begin_list
from larix.sysroot.kernel import install_kernel, kernel_directory
from larix.sysroot.plan import plan_entries
from larix.sysroot.sysroot import PREFIX, Sysroot


@dataclass(frozen=True, slots=True)
class Swap:
    """`with_config` where the boot configuration was written anew, `has_bootloader` where that is more than entries."""

    has_bootloader: bool
    with_config: bool


def write_deployments(sysroot: Sysroot, deployments: Sequence[Deployment]) -> Swap:
    """Make this the list of deployments, the first the default. The sysroot must be locked.

    Kernels and trees must not be removed before. Raises Invalid where the list leaves out what the machine runs, or
    names one twice; NotFound where the old list is missing.
    """
    sysroot.check_locked()
    begin_list(sysroot)
    _check(sysroot, deployments)
    with (
        doing(f"Writing the boot configuration of {sysroot.path}"),
        reading.closing(reading.open_directory("boot", sysroot.fd)) as boot_fd,
    ):
        bootloader = find_bootloader(sysroot, boot_fd)
        # Where only links change, as of a deployment with the same kernel, the other set of links of this bootversion.
        bootversion, subbootversion = sysroot.bootversion, 1 - sysroot.subbootversion
        planned = plan_entries(sysroot, deployments, bootversion)
        with_config = not planned or not _same_entries(planned, sysroot.deployments)
        if with_config:
            # Else a whole new configuration beside the one that boots, which nothing touches until the last rename.
            bootversion, subbootversion = 1 - bootversion, 1
            planned = plan_entries(sysroot, deployments, bootversion)
            for deployment in planned:
                _bring_kernel(sysroot, deployment, boot_fd)
        links = _write_links(sysroot, planned, bootversion, subbootversion)
        if with_config:
            _use_links(sysroot, bootversion, links)
            config = _write_config(sysroot, planned, bootversion, bootloader, boot_fd)
        # Kernels and entries must be on the disk before anything leads to them.
        writing.sync_file_system(boot_fd)
        bring_journal_home(boot_fd, aborting=sysroot.options.aborting_freeze)
        if with_config:
            # The instant at which the other configuration boots.
            writing.replace_link("loader", config, boot_fd)
            writing.sync(boot_fd)
            writing.sync_file_system(boot_fd)
        else:
            _use_links(sysroot, bootversion, links)
        # By this others see that the list has changed.
        writing.touch("ostree/deploy", sysroot.fd)
    sysroot.bootversion, sysroot.subbootversion, sysroot.deployments = bootversion, subbootversion, planned
    return Swap(not isinstance(bootloader, NoBootLoader), with_config)


def _check(sysroot: Sysroot, deployments: Sequence[Deployment]) -> None:
    if len(set(deployments)) != len(deployments):
        raise Invalid("A deployment stands in the new list twice")
    booted = sysroot.booted
    if booted is not None and booted not in deployments:
        raise Invalid(f"Deployment {booted.name} is booted; boot another before it is removed")


def _same_entries(new: Sequence[Deployment], old: Sequence[Deployment]) -> bool:
    return [deployment.entry for deployment in new] == [deployment.entry for deployment in old]


def _bring_kernel(sysroot: Sysroot, deployment: Deployment, boot_fd: int) -> None:
    paths = [value for key, value in deployment.entry.pairs if key in PATHS]
    if all(os.access(path.lstrip("/"), os.F_OK, dir_fd=boot_fd) for path in paths):
        return
    with reading.closing(reading.open_directory(deployment.path, sysroot.fd)) as root_fd:
        kernel = load_kernel(DiskTree(root_fd), deployment.name, with_dtb=sysroot.options.with_dtb)
        install_kernel(kernel, root_fd, kernel_directory(deployment.stateroot, deployment.bootcsum), boot_fd)


def _write_links(sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int, subbootversion: int) -> str:
    """Return the directory with them, which is on the disk then, and not yet in use."""
    name = f"boot.{bootversion}.{subbootversion}"
    top = f"ostree/{name}"
    trees.remove_tree(top, sysroot.fd)
    writing.make_directory(top, sysroot.fd, 0o755)
    for deployment in deployments:
        below = f"{top}/{deployment.stateroot}/{deployment.bootcsum}"
        writing.make_parents(f"{below}/serial", sysroot.fd)
        target = f"../../../{deployment.path.removeprefix('ostree/')}"
        writing.symlink(target, f"{below}/{deployment.bootserial}", sysroot.fd)
    writing.sync_file_system(sysroot.fd)
    return name


def _use_links(sysroot: Sysroot, bootversion: int, name: str) -> None:
    writing.replace_link(f"ostree/boot.{bootversion}", name, sysroot.fd)
    writing.sync_file_system(sysroot.fd)


def _write_config(
    sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int, bootloader: BootLoader, boot_fd: int
) -> str:
    """Return the directory with it, which is not yet in use."""
    directory = f"loader.{bootversion}"
    trees.remove_tree(directory, boot_fd)
    writing.make_parents(f"{directory}/entries/entry", boot_fd)
    prefix = PREFIX if sysroot.repo.config.find_bool("sysroot", "bootprefix", False) else ""
    for deployment in deployments:
        older = f"-{deployment.stateroot}" if sysroot.options.older_names else ""
        name = f"{directory}/entries/ostree-{deployment.entry.version}{older}.conf"
        writing.replace(name, deployment.entry.with_prefix(prefix).encode(), boot_fd)
    bootloader.write(sysroot, deployments, bootversion, boot_fd)
    if not os.path.lexists(f"/proc/self/fd/{boot_fd}/boot"):
        # So that paths in entries are right where /boot is a file system of its own, and where it is not.
        writing.symlink(".", "boot", boot_fd)
    return directory
