"""The kernel of a tree, and where it goes in /boot.

    usr/lib/modules/VERSION/vmlinuz          -> boot/ostree/STATEROOT-BOOTCSUM/vmlinuz-VERSION
    usr/lib/modules/VERSION/initramfs.img    -> …/initramfs-VERSION.img; else initramfs
    usr/lib/modules/VERSION/devicetree       -> …/devicetree-VERSION
    usr/lib/modules/VERSION/dtb/             -> …/dtb/, where there is no devicetree
    usr/lib/modules/VERSION/.vmlinuz.hmac    -> …/.vmlinuz-VERSION.hmac

BOOTCSUM is the SHA-256 of the contents, one after the other, without the last. Older trees have it in their names;
these go before the others where those have no initramfs, and these do:

    usr/lib/ostree-boot/vmlinuz-VERSION-BOOTCSUM               -> …/vmlinuz-VERSION; in boot/ where that is not there
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
from larix.ops.walk import check_depth
from larix.sysroot.trees import DiskTree, Names, Tree

MODULES = "usr/lib/modules"
OLDER_PLACES = ("usr/lib/ostree-boot", "boot")
OLDER_NAME = re.compile(r"(vmlinuz|initramfs|devicetree)(-.*)?-([0-9a-f]{64})")
KEYS = {"vmlinuz": "linux", "initramfs": "initrd", "devicetree": "devicetree"}
# The order in which the C tool writes them.
ORDER = ("devicetree", "linux", "initrd", "fdtdir")
INITRAMFS = "initramfs.img", "initramfs"
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
    found = _find_in_modules(tree, name, with_dtb=with_dtb)
    if found is None or "initrd" not in found.entry:
        place = next((place for place in OLDER_PLACES if tree.is_directory(place)), "")
        older = _find_older(place, tree, name)
        # As a tree is whose initramfs was made by tools that know the older names alone.
        if found is None or (older is not None and "initrd" in older.entry):
            found = older
    if found is None:
        raise Invalid(f"{name} has no kernel; to be deployed a tree must have one, as {MODULES}/VERSION/vmlinuz")
    for file in found.entry.values():
        check_word(file, f"{name}: the name of its kernel")
    return found


def _find_in_modules(tree: Names, name: str, *, with_dtb: bool) -> Kernel | None:
    versions = [version for version in tree.list(MODULES) if _has(f"{MODULES}/{version}", "vmlinuz", tree, name)]
    if len(versions) > 1:
        several = ", ".join(versions)
        raise Invalid(f"{name} has {len(versions)} kernels ({several}); to be deployed a tree must have one")
    if not versions:
        return None
    version = versions[0]
    directory = f"{MODULES}/{version}"
    initramfs = next((source for source in INITRAMFS if _has(directory, source, tree, name)), INITRAMFS[0])
    parts = {"linux": ("vmlinuz", f"vmlinuz-{version}"), "initrd": (initramfs, f"initramfs-{version}.img")}
    parts["devicetree"] = "devicetree", f"devicetree-{version}"
    entry = {key: target for key, (source, target) in parts.items() if _has(directory, source, tree, name)}
    paths = {parts[key][1]: f"{directory}/{parts[key][0]}" for key in entry}
    if "devicetree" not in entry and with_dtb and (blobs := list(_walk("dtb", directory, tree, name))):
        entry["fdtdir"] = "dtb"
        paths |= {path: f"{directory}/{path}" for path in blobs}
    if tree.is_file(f"{directory}/{HMAC}"):
        paths[f".vmlinuz-{version}.hmac"] = f"{directory}/{HMAC}"
    return Kernel("", {key: entry[key] for key in ORDER if key in entry}, paths)


def _has(directory: str, file: str, tree: Names, name: str) -> bool:
    """Raises Invalid where it is a symlink, or a directory: what is wanted of it could not be copied to /boot."""
    if not tree.is_directory(directory):
        return False
    if tree.is_file(f"{directory}/{file}"):
        return True
    if file in tree.list(directory):
        raise Invalid(f"{name}: /{directory}/{file} is a symlink or a directory; to be deployed it must be a file")
    return False


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


def _walk(top: str, directory: str, tree: Names, name: str) -> Iterator[str]:
    """The files below, the names of each directory in order: their paths from `directory`. Raises Invalid."""
    stack = [f"{top}/{below}" for below in reversed(tree.list(f"{directory}/{top}"))]
    while stack:
        path = stack.pop()
        above, _, last = path.rpartition("/")
        if tree.is_directory(f"{directory}/{path}"):
            check_depth(path.count("/"), f"/{directory}/{path}")
            stack += [f"{path}/{below}" for below in reversed(tree.list(f"{directory}/{path}"))]
        elif _has(f"{directory}/{above}", last, tree, name):
            yield path


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
