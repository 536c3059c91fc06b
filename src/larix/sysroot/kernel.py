"""The kernel of a tree, and where it goes in /boot.

    usr/lib/modules/VERSION/vmlinuz          -> boot/ostree/STATEROOT-BOOTCSUM/vmlinuz-VERSION
    usr/lib/modules/VERSION/initramfs.img    -> …/initramfs-VERSION.img
    usr/lib/modules/VERSION/devicetree       -> …/devicetree-VERSION
    usr/lib/modules/VERSION/dtb/             -> …/dtb/, where there is no devicetree
    usr/lib/modules/VERSION/.vmlinuz.hmac    -> …/.vmlinuz-VERSION.hmac

BOOTCSUM is the SHA-256 of the contents, one after the other, without the last. Older trees have it in their names,
which go before the others:

    usr/lib/ostree-boot/vmlinuz-VERSION-BOOTCSUM, or boot/…    -> …/vmlinuz-VERSION
    usr/lib/ostree-boot/initramfs-VERSION.img-BOOTCSUM         -> …/initramfs-VERSION.img
    usr/lib/ostree-boot/devicetree-VERSION-BOOTCSUM            -> …/devicetree-VERSION
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from larix.errors import Invalid
from larix.linux import files

MODULES = "usr/lib/modules"
OLDER_PLACES = ("usr/lib/ostree-boot", "boot")
OLDER_NAME = re.compile(r"(vmlinuz|initramfs|devicetree)(-.*)?-([0-9a-f]{64})")
KEYS = {"vmlinuz": "linux", "initramfs": "initrd", "devicetree": "devicetree"}
# The order in which the C tool writes them.
ORDER = ("devicetree", "linux", "initrd", "fdtdir")
OVERLAYS = "ostree/initramfs-overlays"
PIECE = 1 << 20


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Kernel:
    """`entry`: the key of a boot entry -> name in the directory in /boot. `files`: name there -> path in the tree."""

    bootcsum: str
    entry: dict[str, str]
    files: dict[str, str]


def load_kernel(root_fd: int, tree: str, *, with_dtb: bool = True) -> Kernel:
    """Of the tree whose root is open. Raises Invalid where it has none, or several; `tree` names it then."""
    for directory in OLDER_PLACES:
        if found := _load_older(directory, root_fd, tree):
            return found
    versions = [name for name in _list(MODULES, root_fd) if _is_file(f"{MODULES}/{name}/vmlinuz", root_fd)]
    if len(versions) != 1:
        raise Invalid(
            f"{tree} has {len(versions)} kernels ({', '.join(versions) or f'no {MODULES}/VERSION/vmlinuz'}); "
            "a tree must have one to be deployed"
        )
    version = versions[0]
    directory = f"{MODULES}/{version}"
    parts = {"linux": ("vmlinuz", f"vmlinuz-{version}"), "initrd": ("initramfs.img", f"initramfs-{version}.img")}
    parts["devicetree"] = "devicetree", f"devicetree-{version}"
    entry = {key: target for key, (name, target) in parts.items() if _is_file(f"{directory}/{name}", root_fd)}
    paths = {parts[key][1]: f"{directory}/{parts[key][0]}" for key in entry}
    if "devicetree" not in entry and with_dtb and (trees := list(_walk("dtb", directory, root_fd))):
        entry["fdtdir"] = "dtb"
        paths |= {name: f"{directory}/{name}" for name in trees}
    digest = hashlib.sha256()
    for path in paths.values():
        _hash(path, root_fd, digest)
    if _is_file(f"{directory}/.vmlinuz.hmac", root_fd):
        paths[f".vmlinuz-{version}.hmac"] = f"{directory}/.vmlinuz.hmac"
    return Kernel(digest.hexdigest(), {key: entry[key] for key in ORDER if key in entry}, paths)


def _load_older(directory: str, root_fd: int, tree: str) -> Kernel | None:
    found: dict[str, list[re.Match[str]]] = {kind: [] for kind in KEYS}
    for name in _list(directory, root_fd):
        if match := OLDER_NAME.fullmatch(name):
            found[match[1]].append(match)
    if not found["vmlinuz"]:
        return None
    if several := [matches for matches in found.values() if len(matches) > 1]:
        names = ", ".join(match[0] for match in several[0])
        raise Invalid(f"{tree} has several of a kind in /{directory} ({names}); a tree must have one to be deployed")
    bootcsum = found["vmlinuz"][0][3]
    entry, paths = {}, {}
    for kind, matches in found.items():
        for match in matches:
            if match[3] != bootcsum:
                raise Invalid(f"{tree}: /{directory}/{match[0]} has another checksum in its name than the kernel")
            target = match[0].removesuffix(f"-{bootcsum}")
            entry[KEYS[kind]] = target
            paths[target] = f"{directory}/{match[0]}"
    return Kernel(bootcsum, {key: entry[key] for key in ORDER if key in entry}, paths)


def _list(path: str, root_fd: int) -> list[str]:
    try:
        fd = files.open_directory(path, root_fd)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def _is_file(path: str, root_fd: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(path, dir_fd=root_fd, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _walk(name: str, directory: str, root_fd: int) -> Iterator[str]:
    """The files below, the names of each directory in order: their paths from `directory`."""
    for below in _list(f"{directory}/{name}", root_fd):
        path = f"{name}/{below}"
        if _is_file(f"{directory}/{path}", root_fd):
            yield path
        else:
            yield from _walk(path, directory, root_fd)


def _hash(path: str, root_fd: int, digest: _Digest) -> None:
    fd = os.open(path, files.READ, dir_fd=root_fd)
    try:
        while piece := os.read(fd, PIECE):
            digest.update(piece)
    finally:
        os.close(fd)


def kernel_directory(stateroot: str, bootcsum: str) -> str:
    """Relative to /boot."""
    return f"ostree/{stateroot}-{bootcsum}"


def install_kernel(kernel: Kernel, root_fd: int, directory: str, boot_fd: int) -> None:
    """Link or copy what is not yet there, each file whole before it has its name. Not durable."""
    files.make_directory("ostree", boot_fd, 0o755)
    files.make_directory(directory, boot_fd, 0o755)
    for name, path in kernel.files.items():
        files.make_parents(f"{directory}/{name}", boot_fd)
        _install(path, root_fd, f"{directory}/{name}", boot_fd)


def _install(path: str, root_fd: int, target: str, boot_fd: int) -> None:
    if os.access(target, os.F_OK, dir_fd=boot_fd):
        return
    try:
        files.link(path, root_fd, target, boot_fd)
    except OSError as error:
        # Another file system, or one without links.
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        files.copy(path, root_fd, target, boot_fd)


def install_overlay(path: str, boot_fd: int) -> str:
    """Copy a file that is to be unpacked over the initramfs; its name, relative to /boot, is by its content."""
    with files.doing(f"Reading {path}"):
        fd = files.open_directory(os.path.dirname(path) or ".")
    try:
        digest = hashlib.sha256()
        with files.doing(f"Reading {path}"):
            _hash(os.path.basename(path), fd, digest)
        target = f"{OVERLAYS}/{digest.hexdigest()}.img"
        files.make_parents(target, boot_fd)
        if not os.access(target, os.F_OK, dir_fd=boot_fd):
            files.copy(os.path.basename(path), fd, target, boot_fd, metadata=False)
    finally:
        os.close(fd)
    return target
