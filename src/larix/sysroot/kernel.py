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

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from larix.errors import Invalid, NoSpace
from larix.formats.bootentry import check_word
from larix.linux import files
from larix.sysroot.trees import DiskTree, Names, Tree

MODULES = "usr/lib/modules"
OLDER_PLACES = ("usr/lib/ostree-boot", "boot")
OLDER_NAME = re.compile(r"(vmlinuz|initramfs|devicetree)(-.*)?-([0-9a-f]{64})")
KEYS = {"vmlinuz": "linux", "initramfs": "initrd", "devicetree": "devicetree"}
# The order in which the C tool writes them.
ORDER = ("devicetree", "linux", "initrd", "fdtdir")
HMAC = ".vmlinuz.hmac"
OVERLAYS = "ostree/initramfs-overlays"
# What else a deployment may need of /boot: directories, entries, the variables of a boot loader. In bytes.
SLACK = 64 << 10


@dataclass(frozen=True, slots=True)
class Kernel:
    """`entry`: the key of a boot entry -> name in the directory in /boot. `files`: name there -> path in the tree.
    `bootcsum` is empty where it was found alone and not read."""

    bootcsum: str
    entry: dict[str, str]
    files: dict[str, str]


def load_kernel(tree: Tree, name: str, *, with_dtb: bool = True) -> Kernel:
    """Raises Invalid for a tree that has none, or several; `name` is the tree's then."""
    found = find_kernel(tree, name, with_dtb=with_dtb)
    if found.bootcsum:
        return found
    digest = hashlib.sha256()
    for path in found.files.values():
        if os.path.basename(path) != HMAC:
            for piece in tree.pieces(path):
                digest.update(piece)
    return replace(found, bootcsum=digest.hexdigest())


def find_kernel(tree: Names, name: str, *, with_dtb: bool = True) -> Kernel:
    """As `load_kernel`, of a tree whose content is not here."""
    for directory in OLDER_PLACES:
        if found := _find_older(directory, tree, name):
            return _checked(found, name)
    versions = [version for version in tree.list(MODULES) if tree.is_file(f"{MODULES}/{version}/vmlinuz")]
    if len(versions) != 1:
        count = f"{len(versions)} kernels ({', '.join(versions)})" if versions else "no kernel"
        raise Invalid(f"{name} has {count}; to be deployed a tree must have one, as {MODULES}/VERSION/vmlinuz")
    version = versions[0]
    directory = f"{MODULES}/{version}"
    parts = {"linux": ("vmlinuz", f"vmlinuz-{version}"), "initrd": ("initramfs.img", f"initramfs-{version}.img")}
    parts["devicetree"] = "devicetree", f"devicetree-{version}"
    entry = {key: target for key, (source, target) in parts.items() if tree.is_file(f"{directory}/{source}")}
    paths = {parts[key][1]: f"{directory}/{parts[key][0]}" for key in entry}
    if "devicetree" not in entry and with_dtb and (blobs := list(_walk("dtb", directory, tree))):
        entry["fdtdir"] = "dtb"
        paths |= {path: f"{directory}/{path}" for path in blobs}
    if tree.is_file(f"{directory}/{HMAC}"):
        paths[f".vmlinuz-{version}.hmac"] = f"{directory}/{HMAC}"
    return _checked(Kernel("", {key: entry[key] for key in ORDER if key in entry}, paths), name)


def _checked(kernel: Kernel, tree: str) -> Kernel:
    for name in kernel.entry.values():
        check_word(name, f"{tree}: the name of its kernel")
    return kernel


def _find_older(directory: str, tree: Names, name: str) -> Kernel | None:
    found: dict[str, list[re.Match[str]]] = {kind: [] for kind in KEYS}
    for file in tree.list(directory):
        if match := OLDER_NAME.fullmatch(file):
            found[match[1]].append(match)
    if not found["vmlinuz"]:
        return None
    if several := [matches for matches in found.values() if len(matches) > 1]:
        names = ", ".join(match[0] for match in several[0])
        raise Invalid(f"{name} has several of a kind in /{directory} ({names}); a tree must have one to be deployed")
    bootcsum = found["vmlinuz"][0][3]
    entry, paths = {}, {}
    for kind, matches in found.items():
        for match in matches:
            if match[3] != bootcsum:
                raise Invalid(f"{name}: /{directory}/{match[0]} has another checksum in its name than the kernel")
            target = match[0].removesuffix(f"-{bootcsum}")
            entry[KEYS[kind]] = target
            paths[target] = f"{directory}/{match[0]}"
    return Kernel(bootcsum, {key: entry[key] for key in ORDER if key in entry}, paths)


def _walk(name: str, directory: str, tree: Names) -> Iterator[str]:
    """The files below, the names of each directory in order: their paths from `directory`."""
    for below in tree.list(f"{directory}/{name}"):
        path = f"{name}/{below}"
        if tree.is_file(f"{directory}/{path}"):
            yield path
        else:
            yield from _walk(path, directory, tree)


def kernel_directory(stateroot: str, bootcsum: str) -> str:
    """Relative to /boot."""
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
    """In the file system of an open file, for whoever runs this."""
    system = os.fstatvfs(fd)
    return system.f_frsize * (system.f_bavail if os.geteuid() else system.f_bfree)


def _is_there(name: str, dir_fd: int) -> bool:
    return os.access(name, os.F_OK, dir_fd=dir_fd)


def install_kernel(kernel: Kernel, root_fd: int, directory: str, boot_fd: int) -> None:
    """Link or copy what is not yet there, each file whole before it has its name. Not durable."""
    files.make_directory("ostree", boot_fd, 0o755)
    files.make_directory(directory, boot_fd, 0o755)
    for name, path in kernel.files.items():
        files.make_parents(f"{directory}/{name}", boot_fd)
        _install(path, root_fd, f"{directory}/{name}", boot_fd)


def _install(path: str, root_fd: int, target: str, boot_fd: int) -> None:
    if _is_there(target, boot_fd):
        return
    try:
        files.link(path, root_fd, target, boot_fd)
    except OSError as error:
        if error.errno not in files.CANNOT_LINK:
            raise
        files.copy(path, root_fd, target, boot_fd)


def install_overlay(path: str, boot_fd: int) -> str:
    """Copy a file that is to be unpacked over the initramfs; its name, relative to /boot, is by its content."""
    with files.doing(f"Reading {path}"):
        fd = files.open_directory(os.path.dirname(path) or ".")
    with files.closing(fd):
        digest = hashlib.sha256()
        with files.doing(f"Reading {path}"):
            for piece in DiskTree(fd).pieces(os.path.basename(path)):
                digest.update(piece)
        target = f"{OVERLAYS}/{digest.hexdigest()}.img"
        files.make_parents(target, boot_fd)
        if not _is_there(target, boot_fd):
            files.copy(os.path.basename(path), fd, target, boot_fd, metadata=False)
    return target
