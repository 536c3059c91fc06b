"""A directory becomes a commit: every file, symlink and directory below it becomes an object."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from larix.errors import Error
from larix.formats import xattrs as xattr_format
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.objects import Commit, DirMeta, DirTree, Metadata, ObjectType
from larix.gvariant import Variant
from larix.linux import files, xattr
from larix.repo.layout import PIECE
from larix.repo.transaction import Transaction

REF_BINDING = "ostree.ref-binding"


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """`owner_uid` and `owner_gid` replace the owner of everything."""

    owner_uid: int | None = None
    owner_gid: int | None = None


@dataclass(frozen=True, slots=True)
class CommitOptions:
    subject: str = ""
    body: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    parent: Checksum | None = None


def commit_tree(
    transaction: Transaction,
    root: tuple[Checksum, Checksum],
    timestamp: int,
    branch: str | None,
    options: CommitOptions | None = None,
) -> Checksum:
    """Add a commit of the tree `root` (dirtree, dirmeta), and point `branch` there. `timestamp` is in seconds."""
    options = options or CommitOptions()
    # The commit names the branches it was made for, so that it cannot be passed off as another's.
    binding = REF_BINDING, Variant("as", [branch] if branch is not None else [])
    metadata = Metadata((*options.metadata.pairs, binding))
    commit = Commit(metadata, options.parent, options.subject, options.body, timestamp, *root)
    checksum = transaction.add_metadata(ObjectType.COMMIT, commit.encode())
    if branch is not None:
        transaction.set_ref(None, branch, checksum)
    return checksum


def add_directory(transaction: Transaction, path: str, options: TreeOptions | None = None) -> tuple[Checksum, Checksum]:
    """Add the directory at `path` and all below it; its dirtree and dirmeta. Raises Error for sockets and devices."""
    options = options or TreeOptions()
    with files.doing(f"Reading {path}"):
        fd = files.open_directory(path)
    try:
        return _add(transaction, fd, path, options)
    finally:
        os.close(fd)


def _add(transaction: Transaction, fd: int, path: str, options: TreeOptions) -> tuple[Checksum, Checksum]:
    with files.doing(f"Reading {path}"):
        found = os.fstat(fd)
        uid, gid = _owner(found, options)
        meta = DirMeta(uid, gid, found.st_mode, xattr_format.canonical(xattr.get_all(fd)))
        with os.scandir(fd) as entries:
            names = sorted(_checked_name(entry.name, path) for entry in entries)
    plain: dict[str, Checksum] = {}
    dirs: dict[str, tuple[Checksum, Checksum]] = {}
    for name in names:
        below = f"{path}/{name}"
        with files.doing(f"Reading {below}"):
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                sub_fd = files.open_directory(name, fd, follow=False)
                try:
                    dirs[name] = _add(transaction, sub_fd, below, options)
                finally:
                    os.close(sub_fd)
            elif stat.S_ISREG(mode):
                plain[name] = _add_file(transaction, name, fd, options)
            elif stat.S_ISLNK(mode):
                plain[name] = _add_symlink(transaction, name, fd, options)
            else:
                raise Error(f"{below}: neither a file, a symlink nor a directory; it cannot be committed")
    tree = transaction.add_metadata(ObjectType.DIR_TREE, DirTree(plain, dirs).encode())
    return tree, transaction.add_metadata(ObjectType.DIR_META, meta.encode())


def _add_file(transaction: Transaction, name: str, dir_fd: int, options: TreeOptions) -> Checksum:
    fd = os.open(name, files.READ, dir_fd=dir_fd)
    try:
        found = os.fstat(fd)
        uid, gid = _owner(found, options)
        header = FileHeader(uid, gid, found.st_mode, "", xattr_format.canonical(xattr.get_all(fd)))
        return transaction.add_file(header, found.st_size, _pieces(fd, found.st_size, name))
    finally:
        os.close(fd)


def _add_symlink(transaction: Transaction, name: str, dir_fd: int, options: TreeOptions) -> Checksum:
    found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    uid, gid = _owner(found, options)
    target = os.readlink(name, dir_fd=dir_fd)
    pairs = xattr_format.canonical(xattr.get_all_of_link(name, dir_fd))
    return transaction.add_file(FileHeader(uid, gid, found.st_mode, target, pairs), 0, ())


def _pieces(fd: int, size: int, name: str) -> Iterator[bytes]:
    left = size
    while piece := os.read(fd, PIECE):
        left -= len(piece)
        yield piece
    if left:
        raise Error(f"{name} changed while it was read; commit it again when nothing writes to it")


def _owner(found: os.stat_result, options: TreeOptions) -> tuple[int, int]:
    uid = found.st_uid if options.owner_uid is None else options.owner_uid
    return uid, found.st_gid if options.owner_gid is None else options.owner_gid


def _checked_name(name: str, path: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Error(f"{path}/{name!r}: the name is not UTF-8; it cannot be committed") from None
    return name
