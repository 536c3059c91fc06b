"""Making a list of deployments the one that boots.

Everything is written beside what boots now: the links in ostree/boot.N.1, the entries in boot/loader.N, where N is the
bootversion that is not in use. When all of it is on the disk, one rename of the link boot/loader makes it the one that
boots: after a power cut at any instant that is the old list or the new one, whole.
"""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from larix.errors import Error
from larix.formats.bootentry import BootEntry, BootTarget
from larix.linux import files
from larix.sysroot.deployment import Deployment
from larix.sysroot.kernel import install_kernel, kernel_directory, load_kernel
from larix.sysroot.sysroot import LOADER, Sysroot

OS_RELEASE = ("usr/lib/os-release", "etc/os-release")
MAX_OS_RELEASE = 1 << 16


def plan_entries(sysroot: Sysroot, deployments: Sequence[Deployment]) -> list[Deployment]:
    """The deployments with the entries and serials that they have as this list, under the other bootversion."""
    bootversion = 1 - sysroot.bootversion
    several = len({deployment.stateroot for deployment in deployments}) > 1
    count: Counter[str] = Counter()
    planned = []
    for i, deployment in enumerate(deployments):
        serial = count[deployment.bootcsum]
        count[deployment.bootcsum] += 1
        target = BootTarget(bootversion, deployment.stateroot, deployment.bootcsum, serial)
        options = deployment.entry.options.replace(f"ostree={target}")
        place = f"{deployment.stateroot}:{i}" if several else str(i)
        entry = BootEntry(
            (("title", f"{_title(sysroot, deployment)} (ostree:{place})"), ("version", str(len(deployments) - i)))
        )
        entry = entry.set("options", str(options))
        for key, value in deployment.entry.pairs:
            if key not in ("title", "version", "options"):
                entry = replace(entry, pairs=(*entry.pairs, (key, value)))
        planned.append(replace(deployment, bootserial=serial, entry=entry))
    return planned


def _title(sysroot: Sysroot, deployment: Deployment) -> str:
    version = ""
    # The tree is here, and boots, also where its commit is not.
    with suppress(Error):
        version = sysroot.repo.load_commit(deployment.checksum).metadata.find_string("version") or ""
    name = _pretty_name(sysroot, deployment)
    if version and version not in name:
        name += f" {version}"
    return name


def _pretty_name(sysroot: Sysroot, deployment: Deployment) -> str:
    for path in OS_RELEASE:
        try:
            text = files.read(f"{deployment.path}/{path}", sysroot.fd, MAX_OS_RELEASE).decode("utf-8", "replace")
        except OSError:
            continue
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        for key in "PRETTY_NAME", "ID":
            if name := values.get(key, "").strip().strip("\"'"):
                return " ".join(name.split())
    return deployment.stateroot


def write_deployments(sysroot: Sysroot, deployments: Sequence[Deployment]) -> None:
    """Make this the list of deployments, the first the default. Kernels and trees must not be removed before."""
    planned = plan_entries(sysroot, deployments)
    bootversion = 1 - sysroot.bootversion
    with files.doing(f"Writing the boot configuration of {sysroot.path}"):
        boot_fd = files.open_directory("boot", sysroot.fd)
        try:
            for deployment in planned:
                _install(sysroot, deployment, boot_fd)
            _write_links(sysroot, planned, bootversion)
            _write_entries(planned, bootversion, boot_fd)
            if not os.path.lexists(f"/proc/self/fd/{boot_fd}/boot"):
                # So that paths in entries are right where /boot is a file system of its own, and where it is not.
                files.symlink(".", "boot", boot_fd)
            files.sync_file_system(sysroot.fd)
            files.sync_file_system(boot_fd)
            files.replace_link("loader", f"loader.{bootversion}", boot_fd)
            files.sync(boot_fd)
            files.sync_file_system(boot_fd)
        finally:
            os.close(boot_fd)
    sysroot.bootversion = bootversion
    sysroot.deployments = planned


def _install(sysroot: Sysroot, deployment: Deployment, boot_fd: int) -> None:
    paths = [value for key, value in deployment.entry.pairs if key in ("linux", "initrd", "devicetree")]
    if all(os.access(path.lstrip("/"), os.F_OK, dir_fd=boot_fd) for path in paths):
        return
    root_fd = files.open_directory(deployment.path, sysroot.fd)
    try:
        kernel = load_kernel(root_fd, deployment.name)
        install_kernel(kernel, root_fd, kernel_directory(deployment.stateroot, deployment.bootcsum), boot_fd)
    finally:
        os.close(root_fd)


def _write_links(sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int) -> None:
    top = f"ostree/boot.{bootversion}.1"
    files.remove_tree(top, sysroot.fd)
    files.make_directory(top, sysroot.fd, 0o755)
    for deployment in deployments:
        below = f"{top}/{deployment.stateroot}/{deployment.bootcsum}"
        files.make_parents(f"{below}/serial", sysroot.fd)
        target = f"../../../{deployment.path.removeprefix('ostree/')}"
        files.symlink(target, f"{below}/{deployment.bootserial}", sysroot.fd)
    files.replace_link(f"ostree/boot.{bootversion}", f"boot.{bootversion}.1", sysroot.fd)


def _write_entries(deployments: Sequence[Deployment], bootversion: int, boot_fd: int) -> None:
    directory = f"{LOADER.removeprefix('boot/')}.{bootversion}"
    files.remove_tree(directory, boot_fd)
    files.make_parents(f"{directory}/entries/entry", boot_fd)
    for deployment in deployments:
        name = f"{directory}/entries/ostree-{deployment.entry.version}.conf"
        files.replace(name, str(deployment.entry).encode(), boot_fd)
