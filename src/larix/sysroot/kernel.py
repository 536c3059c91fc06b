"""Kernels in /boot: whether there is room for one, and bringing it there.

boot/ostree/STATEROOT-BOOTCSUM/vmlinuz-VERSION and the others, see ops/tree/kernel.py
boot/ostree/initramfs-overlays/SHA256.img
"""

import hashlib
import os
from collections.abc import Sequence

from larix.errors import NoSpace
from larix.formats.bootentry import BootCsum
from larix.formats.names import Stateroot
from larix.linux import reading, writing
from larix.linux.failures import doing
from larix.ops.tree.kernel import Kernel
from larix.ops.tree.tree import DiskTree, Tree

OVERLAYS = "ostree/initramfs-overlays"
# What else a deployment may need of /boot: directories, entries, the variables of a boot loader. In bytes.
SLACK = 64 << 10


def kernel_directory(stateroot: Stateroot, bootcsum: BootCsum) -> str:
    """Return the directory of a kernel, relative to /boot."""
    return f"ostree/{stateroot}-{bootcsum}"


def check_space(kernel: Kernel, tree: Tree, directory: str, overlays: Sequence[str], boot_fd: int, top_fd: int) -> None:
    """Raises NoSpace where the kernel and overlays of a tree, which are to be copied into /boot, would not fit there.

    Where /boot lies in the file system of the sysroot, whose top is open, they are linked, and need nothing.
    """
    if os.fstat(boot_fd).st_dev == os.fstat(top_fd).st_dev:
        return
    unit = os.fstatvfs(boot_fd).f_frsize
    missing = [path for name, path in kernel.files.items() if not _is_there(f"{directory}/{name}", boot_fd)]
    sizes = [tree.size(path) for path in missing] + [os.stat(path).st_size for path in overlays]
    needed = sum(-(-size // unit) * unit for size in sizes) + SLACK
    free = free_bytes(boot_fd)
    if sizes and needed > free:
        raise NoSpace(
            f"Not enough space in /boot: {needed >> 10} KiB are needed for the kernel, {free >> 10} KiB are free; "
            "remove a deployment with another kernel (`larix admin undeploy`), or what else is in /boot"
        )


def free_bytes(fd: int) -> int:
    """Return what is free in the file system of an open file, for whoever runs this."""
    system = os.fstatvfs(fd)
    return system.f_frsize * (system.f_bavail if os.geteuid() else system.f_bfree)


def _is_there(name: str, dir_fd: int) -> bool:
    return os.access(name, os.F_OK, dir_fd=dir_fd)


def install_kernel(kernel: Kernel, root_fd: int, directory: str, boot_fd: int) -> None:
    """Link or copy what is not yet there, each file whole before it has its name. Not durable."""
    writing.make_directory("ostree", boot_fd, 0o755)
    writing.make_directory(directory, boot_fd, 0o755)
    for name, path in kernel.files.items():
        writing.make_parents(f"{directory}/{name}", boot_fd)
        _install(path, root_fd, f"{directory}/{name}", boot_fd)


def _install(path: str, root_fd: int, target: str, boot_fd: int) -> None:
    if _is_there(target, boot_fd):
        return
    try:
        writing.link(path, root_fd, target, boot_fd)
    except OSError as error:
        if error.errno not in writing.CANNOT_LINK:
            raise
        writing.copy(path, root_fd, target, boot_fd)


def install_overlay(path: str, boot_fd: int) -> str:
    """Copy a file that is to be unpacked over the initramfs; its name, relative to /boot, is by its content."""
    with doing(f"Reading {path}"):
        fd = reading.open_directory(os.path.dirname(path) or ".")
    with reading.closing(fd):
        digest = hashlib.sha256()
        with doing(f"Reading {path}"):
            for piece in DiskTree(fd).pieces(os.path.basename(path)):
                digest.update(piece)
        target = f"{OVERLAYS}/{digest.hexdigest()}.img"
        writing.make_parents(target, boot_fd)
        if not _is_there(target, boot_fd):
            writing.copy(os.path.basename(path), fd, target, boot_fd, metadata=False)
    return target
