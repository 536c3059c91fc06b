"""The kernel of a tree, and where it goes in /boot.

    usr/lib/modules/VERSION/vmlinuz          -> boot/ostree/STATEROOT-BOOTCSUM/vmlinuz-VERSION
    usr/lib/modules/VERSION/initramfs.img    -> …/initramfs-VERSION.img
    usr/lib/modules/VERSION/devicetree       -> …/devicetree-VERSION

BOOTCSUM is the SHA-256 of the contents, one after the other.
"""

import errno
import hashlib
import os
from dataclasses import dataclass
from typing import Protocol

from larix.errors import Invalid
from larix.linux import files

MODULES = "usr/lib/modules"
PIECE = 1 << 20


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Kernel:
    """The key of a boot entry -> (path in the tree, name in the directory in /boot)."""

    bootcsum: str
    parts: dict[str, tuple[str, str]]


def load_kernel(root_fd: int, tree: str) -> Kernel:
    """Of the tree whose root is open. Raises Invalid where it has none, or several; `tree` names it then."""
    try:
        versions = sorted(os.listdir(fd := files.open_directory(MODULES, root_fd)))
        os.close(fd)
    except FileNotFoundError:
        versions = []
    found = [version for version in versions if os.access(f"{MODULES}/{version}/vmlinuz", os.F_OK, dir_fd=root_fd)]
    if len(found) != 1:
        raise Invalid(
            f"{tree} has {len(found)} kernels ({', '.join(found) or f'no {MODULES}/VERSION/vmlinuz'}); "
            "a tree must have one to be deployed"
        )
    version = found[0]
    digest = hashlib.sha256()
    parts = {}
    for key, name, target in (
        ("linux", "vmlinuz", f"vmlinuz-{version}"),
        ("initrd", "initramfs.img", f"initramfs-{version}.img"),
        ("devicetree", "devicetree", f"devicetree-{version}"),
    ):
        path = f"{MODULES}/{version}/{name}"
        if _hash(path, root_fd, digest):
            parts[key] = path, target
    return Kernel(digest.hexdigest(), parts)


def _hash(path: str, root_fd: int, digest: _Digest) -> bool:
    """Whether the file is there."""
    try:
        fd = os.open(path, files.READ, dir_fd=root_fd)
    except FileNotFoundError:
        return False
    try:
        while piece := os.read(fd, PIECE):
            digest.update(piece)
    finally:
        os.close(fd)
    return True


def kernel_directory(stateroot: str, bootcsum: str) -> str:
    """Relative to /boot."""
    return f"ostree/{stateroot}-{bootcsum}"


def install_kernel(kernel: Kernel, root_fd: int, directory: str, boot_fd: int) -> None:
    """Link or copy what is not yet there, each file whole before it has its name. Not durable."""
    files.make_directory("ostree", boot_fd, 0o755)
    files.make_directory(directory, boot_fd, 0o755)
    for path, name in kernel.parts.values():
        target = f"{directory}/{name}"
        if os.access(target, os.F_OK, dir_fd=boot_fd):
            continue
        try:
            files.link(path, root_fd, target, boot_fd)
        except OSError as error:
            # Another file system, or one without links.
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
            files.copy(path, root_fd, target, boot_fd)
