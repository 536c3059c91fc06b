"""What a bootable commit says of its kernel."""

from larix.errors import Invalid, NotFound
from larix.gvariant import Variant
from larix.ops.tree import Stored
from larix.repo.transaction import Transaction

BOOTABLE, KERNEL_VERSION = "ostree.bootable", "ostree.linux"
MODULES = "usr/lib/modules"


def describe_kernel(transaction: Transaction, root: Stored) -> list[tuple[str, Variant]]:
    """Metadata for the commit of a tree with a kernel, usr/lib/modules/VERSION/vmlinuz.

    Raises NotFound where there is none, Invalid where there are several.
    """
    tree = transaction.load_dirtree(root.dirtree)
    path = ""
    for part in MODULES.split("/"):
        path = f"{path}/{part}"
        if part not in tree.dirs:
            raise NotFound(f"No such file or directory: {path}; a bootable tree has its kernel in /{MODULES}/VERSION")
        tree = transaction.load_dirtree(tree.dirs[part][0])
    found = [version for version, pair in tree.dirs.items() if "vmlinuz" in transaction.load_dirtree(pair[0]).files]
    if not found:
        raise NotFound(f"No kernel found in /{MODULES}: no VERSION/vmlinuz")
    if len(found) > 1:
        raise Invalid(f"Multiple kernels found in /{MODULES}: {', '.join(found)}")
    return [(KERNEL_VERSION, Variant("s", found[0])), (BOOTABLE, Variant("b", True))]
