"""The sizes of all objects that a tree reaches, as a commit may tell them in `ostree.sizes`."""

from typing import NamedTuple

from larix.errors import NotFound
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.formats.sizes import KEY, TYPE, Size, decode_size, encode_size
from larix.gvariant import Variant
from larix.ops.tree.directory import Stored
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


class Sizes(NamedTuple):
    """`packed` and `unpacked` in bytes."""

    objects: int
    packed: int
    unpacked: int


def read_sizes(repo: Repo, commit: Checksum) -> tuple[Sizes, Sizes]:
    """Return what a commit says of its objects: those that are not in the repo, and all.

    Raises NotFound where it says nothing, Corrupt.
    """
    found = repo.load_commit(commit).metadata.get(KEY)
    if found is None or found.type != TYPE:
        raise NotFound(f"No metadata key {KEY} in commit {commit}")
    every = [decode_size(item) for item in found.value]
    return _sum([size for size in every if not _is_here(repo, size)]), _sum(every)


def _is_here(repo: Repo, size: Size) -> bool:
    kinds = [ObjectType.FILE, ObjectType.DIR_TREE, ObjectType.DIR_META] if size.type is None else [size.type]
    return any(repo.has(ObjectName(size.checksum, kind)) for kind in kinds)


def _sum(sizes: list[Size]) -> Sizes:
    return Sizes(len(sizes), sum(size.packed for size in sizes), sum(size.unpacked for size in sizes))


def find_sizes(transaction: Transaction, root: Stored) -> Variant:
    """Return the value of `ostree.sizes` for a tree in an archive."""
    found: dict[ObjectName, Size] = {}

    def measure(checksum: Checksum, kind: ObjectType) -> bool:
        """False where that was done before."""
        name = ObjectName(checksum, kind)
        if name in found:
            return False
        packed = unpacked = transaction.stored_size(name)
        if kind == ObjectType.FILE:
            header, unpacked = transaction.look_at_file(checksum)
            unpacked = len(header.target.encode()) if header.is_symlink else unpacked
        found[name] = Size(checksum, packed, unpacked, kind)
        return True

    directories = [root]
    while directories:
        dirtree, dirmeta = directories.pop()
        measure(dirmeta, ObjectType.DIR_META)
        if measure(dirtree, ObjectType.DIR_TREE):
            tree = transaction.load_dirtree(dirtree)
            for file in tree.files.values():
                measure(file, ObjectType.FILE)
            directories += [Stored(*pair) for pair in tree.dirs.values()]
    return Variant(TYPE, [encode_size(found[name]) for name in sorted(found)])
