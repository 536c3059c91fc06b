"""The kernel of a tree, and what it is called in /boot.

    usr/lib/modules/VERSION/vmlinuz          -> vmlinuz-VERSION
    usr/lib/modules/VERSION/initramfs.img    -> initramfs-VERSION.img; else initramfs
    usr/lib/modules/VERSION/devicetree       -> devicetree-VERSION
    usr/lib/modules/VERSION/dtb/             -> dtb/, where there is no devicetree
    usr/lib/modules/VERSION/.vmlinuz.hmac    -> .vmlinuz-VERSION.hmac

BOOTCSUM is the SHA-256 of the contents, one after the other, without the last. Older trees have it in their names;
these go before the others where those have no initramfs, and these do:

    usr/lib/ostree-boot/vmlinuz-VERSION-BOOTCSUM               -> vmlinuz-VERSION; in boot/ where that is not there
    usr/lib/ostree-boot/initramfs-VERSION.img-BOOTCSUM         -> initramfs-VERSION.img
    usr/lib/ostree-boot/devicetree-VERSION-BOOTCSUM            -> devicetree-VERSION
"""

import hashlib
import os
import re
from dataclasses import dataclass, replace

from larix.errors import Invalid, NotFound
from larix.formats.bootentry import BootCsum, check_word
from larix.gvariant import Variant
from larix.ops.tree.tree import Kind, Tree, walk_files

MODULES = "usr/lib/modules"
# In a commit.
BOOTABLE, KERNEL_VERSION = "ostree.bootable", "ostree.linux"
OLDER_PLACES = ("usr/lib/ostree-boot", "boot")
OLDER_NAME = re.compile(r"(vmlinuz|initramfs|devicetree)(-.*)?-([0-9a-f]{64})")
KEYS = {"vmlinuz": "linux", "initramfs": "initrd", "devicetree": "devicetree"}
# The order in which the C tool writes them.
ORDER = ("devicetree", "linux", "initrd", "fdtdir")
INITRAMFS = "initramfs.img", "initramfs"
HMAC = ".vmlinuz.hmac"


@dataclass(frozen=True, slots=True)
class Kernel:
    """`entry`: the key of a boot entry -> name in the directory in /boot. `files`: name there -> path in the tree.
    `bootcsum` is empty where it was found alone and not read."""

    bootcsum: BootCsum
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
    return replace(found, bootcsum=BootCsum(digest.hexdigest()))


def find_kernel(tree: Tree, name: str, *, with_dtb: bool = True) -> Kernel:
    """Find the kernel as `load_kernel`, of a tree whose content is not here."""
    found = _find_in_modules(tree, name, with_dtb=with_dtb)
    if found is None or "initrd" not in found.entry:
        place = next((place for place in OLDER_PLACES if tree.kind(place) is Kind.DIRECTORY), "")
        older = _find_older(place, tree, name)
        # As a tree is whose initramfs was made by tools that know the older names alone.
        if found is None or (older is not None and "initrd" in older.entry):
            found = older
    if found is None:
        raise Invalid(f"{name} has no kernel; to be deployed a tree must have one, as {MODULES}/VERSION/vmlinuz")
    for file in found.entry.values():
        check_word(file, f"{name}: the name of its kernel")
    return found


def find_versions(tree: Tree) -> list[str]:
    """Return the versions of what is called a kernel in /usr/lib/modules, in order."""
    return [name for name in tree.list(MODULES) if tree.kind(f"{MODULES}/{name}/vmlinuz") is not None]


def describe_kernel(tree: Tree) -> list[tuple[str, Variant]]:
    """Return what a commit of the tree says of its kernel. Raises NotFound where there is none, Invalid where several
    are."""
    versions = [name for name in find_versions(tree) if tree.kind(f"{MODULES}/{name}/vmlinuz") is not Kind.DIRECTORY]
    if not versions:
        parts = MODULES.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        if missing := next((path for path in above if tree.kind(path) is not Kind.DIRECTORY), None):
            raise NotFound(
                f"No such file or directory: /{missing}; a bootable tree has its kernel in /{MODULES}/VERSION"
            )
        raise NotFound(f"No kernel found in /{MODULES}: no VERSION/vmlinuz")
    if len(versions) > 1:
        raise Invalid(f"Multiple kernels found in /{MODULES}: {', '.join(versions)}")
    return [(KERNEL_VERSION, Variant("s", versions[0])), (BOOTABLE, Variant("b", True))]


def _find_in_modules(tree: Tree, name: str, *, with_dtb: bool) -> Kernel | None:
    versions = find_versions(tree)
    if len(versions) > 1:
        several = ", ".join(versions)
        raise Invalid(f"{name} has {len(versions)} kernels ({several}); to be deployed a tree must have one")
    if not versions or not _has(f"{MODULES}/{versions[0]}", "vmlinuz", tree, name):
        return None
    version = versions[0]
    directory = f"{MODULES}/{version}"
    initramfs = next((source for source in INITRAMFS if _has(directory, source, tree, name)), INITRAMFS[0])
    parts = {"linux": ("vmlinuz", f"vmlinuz-{version}"), "initrd": (initramfs, f"initramfs-{version}.img")}
    parts["devicetree"] = "devicetree", f"devicetree-{version}"
    entry = {key: target for key, (source, target) in parts.items() if _has(directory, source, tree, name)}
    paths = {parts[key][1]: f"{directory}/{parts[key][0]}" for key in entry}
    if "devicetree" not in entry and with_dtb and (blobs := _find_blobs(directory, tree, name)):
        entry["fdtdir"] = "dtb"
        paths |= {path: f"{directory}/{path}" for path in blobs}
    if tree.kind(f"{directory}/{HMAC}") is Kind.FILE:
        paths[f".vmlinuz-{version}.hmac"] = f"{directory}/{HMAC}"
    return Kernel(BootCsum(""), {key: entry[key] for key in ORDER if key in entry}, paths)


def _has(directory: str, file: str, tree: Tree, name: str) -> bool:
    """Raises Invalid where it is a symlink, or a directory: what is wanted of it could not be copied to /boot."""
    found = tree.kind(f"{directory}/{file}")
    if found not in (None, Kind.FILE):
        raise Invalid(f"{name}: /{directory}/{file} is a symlink or a directory; to be deployed it must be a file")
    return found is not None


def _find_blobs(directory: str, tree: Tree, name: str) -> list[str]:
    """Return the device trees, by their paths from `directory`."""
    found = walk_files(tree, f"{directory}/dtb")
    for path in found:
        above, _, last = path.rpartition("/")
        _has(above, last, tree, name)
    return [path.removeprefix(f"{directory}/") for path in found]


def _find_older(directory: str, tree: Tree, name: str) -> Kernel | None:
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
    return Kernel(BootCsum(bootcsum), {key: entry[key] for key in ORDER if key in entry}, paths)
