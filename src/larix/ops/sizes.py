"""Finding out the sizes of all objects that a tree reaches, as a commit may tell them in `ostree.sizes`."""

from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.formats.sizes import TYPE, Size, encode_size
from larix.gvariant import Variant
from larix.ops.tree import Stored
from larix.repo.transaction import Transaction


def find_sizes(transaction: Transaction, root: Stored) -> Variant:
    """Of a tree in an archive; the value of `ostree.sizes`."""
    found: dict[ObjectName, Size] = {}

    def measure(checksum: Checksum, kind: ObjectType) -> bool:
        """False where that was done before."""
        name = ObjectName(checksum, kind)
        if name in found:
            return False
        packed = unpacked = transaction.stored_size(name)
        if kind == ObjectType.FILE:
            header, unpacked = transaction.look(checksum)
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
