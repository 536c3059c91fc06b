"""A directory becomes a commit: every file, symlink and directory below it becomes an object."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from larix.errors import Error
from larix.formats import xattrs as xattr_format
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.objects import Commit, DirMeta, DirTree, Metadata, ObjectType
from larix.formats.xattrs import Xattrs
from larix.gvariant import Variant
from larix.linux import files, xattr
from larix.repo.layout import PIECE, WHOLE
from larix.repo.transaction import Transaction
from larix.repo.workers import Workers

REF_BINDING = "ostree.ref-binding"
# What one worker is given at once: files, and bytes of them.
BATCH = 32
BATCH_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """`owner_uid` and `owner_gid` replace the owner of everything."""

    owner_uid: int | None = None
    owner_gid: int | None = None
    xattrs: bool = True


class Sink(Protocol):
    """Where the objects of a directory go: a Transaction, or nowhere. File objects are added in forked workers."""

    def add_metadata(self, kind: ObjectType, data: bytes) -> Checksum: ...

    def add_file(self, header: FileHeader, size: int, content: Iterable[bytes]) -> Checksum: ...

    def hand_over(self) -> list[Checksum]: ...

    def take_over(self, handed: list[Checksum]) -> None: ...


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


@dataclass(slots=True)
class _Directory:
    """A directory that was read; workers put its files in while others are read."""

    meta: DirMeta
    files: dict[str, Checksum] = field(default_factory=dict)
    dirs: dict[str, "_Directory"] = field(default_factory=dict)


def add_directory(sink: Sink, path: str, options: TreeOptions | None = None) -> tuple[Checksum, Checksum]:
    """Add the directory at `path` and all below it; its dirtree and dirmeta. Raises Error for sockets and devices."""
    with files.doing(f"Reading {path}"):
        fd = files.open_directory(path)
    try:
        top = _Reader(sink, fd, path, options or TreeOptions()).read_all()
    finally:
        os.close(fd)
    return _add_tree(sink, top)


def _add_tree(sink: Sink, directory: _Directory) -> tuple[Checksum, Checksum]:
    dirs = {name: _add_tree(sink, below) for name, below in directory.dirs.items()}
    tree = sink.add_metadata(ObjectType.DIR_TREE, DirTree(directory.files, dirs).encode())
    return tree, sink.add_metadata(ObjectType.DIR_META, directory.meta.encode())


@dataclass(frozen=True, slots=True)
class _Batch:
    """Names in one directory, which is given by its path below the top."""

    below: str
    names: list[str]


@dataclass(frozen=True, slots=True)
class _Added:
    below: str
    files: dict[str, Checksum]
    new: list[Checksum]


class _Reader:
    """Reads directories, and has workers add the files in them: large ones each for itself, small ones in batches."""

    def __init__(self, sink: Sink, fd: int, path: str, options: TreeOptions) -> None:
        """Of the directory that is open as `fd`; `path` is for messages."""
        self._sink = sink
        self._fd = fd
        self._path = path
        self._options = options
        self._workers = Workers(self._add, self._take)
        # By paths below the top.
        self._directories: dict[str, _Directory] = {}

    def read_all(self) -> _Directory:
        with self._workers:
            return self._read(self._fd, "")

    def _read(self, fd: int, below: str) -> _Directory:
        path = self._path_of(below)
        batch: list[str] = []
        size = 0
        dirs = []
        with files.doing(f"Reading {path}"):
            directory = _Directory(read_dirmeta(fd, self._options))
            self._directories[below] = directory
            with os.scandir(fd) as entries:
                for entry in entries:
                    _check_name(entry.name, path)
                    if entry.is_dir(follow_symlinks=False):
                        dirs.append(entry.name)
                        continue
                    own_size = entry.stat(follow_symlinks=False).st_size
                    if batch and (len(batch) == BATCH or size + own_size > BATCH_SIZE):
                        self._workers.submit(_Batch(below, batch))
                        batch, size = [], 0
                    batch.append(entry.name)
                    size += own_size
            if batch:
                self._workers.submit(_Batch(below, batch))
        for name in dirs:
            sub = f"{below}/{name}" if below else name
            with files.doing(f"Reading {path}/{name}"):
                sub_fd = files.open_directory(name, fd, follow=False)
            try:
                directory.dirs[name] = self._read(sub_fd, sub)
            finally:
                os.close(sub_fd)
        return directory

    def _path_of(self, below: str) -> str:
        return f"{self._path}/{below}" if below else self._path

    def _add(self, batch: _Batch) -> _Added:
        """In a worker."""
        path = self._path_of(batch.below)
        with files.doing(f"Reading {path}"):
            fd = files.open_below(self._fd, batch.below)
        try:
            found = {name: add_entry(self._sink, name, fd, f"{path}/{name}", self._options) for name in batch.names}
        finally:
            os.close(fd)
        return _Added(batch.below, found, self._sink.hand_over())

    def _take(self, added: _Added) -> None:
        self._sink.take_over(added.new)
        self._directories[added.below].files.update(added.files)


def add_entry(sink: Sink, name: str, dir_fd: int, path: str, options: TreeOptions) -> Checksum:
    """Add the file or symlink `name` of an open directory; `path` is for messages. Raises Error for anything else."""
    with files.doing(f"Reading {path}"):
        try:
            fd = os.open(name, files.READ, dir_fd=dir_fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return _add_symlink(sink, name, dir_fd, options)
            # What opening a socket, or a device without a driver, says.
            if error.errno == errno.ENXIO:
                raise _unfit(path) from None
            raise
        try:
            return _add_file(sink, fd, path, options)
        finally:
            os.close(fd)


def _add_file(sink: Sink, fd: int, path: str, options: TreeOptions) -> Checksum:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise _unfit(path)
    header = FileHeader(*_owner(found, options), found.st_mode, "", _xattrs(xattr.get_all(fd), options))
    return sink.add_file(header, found.st_size, _pieces(fd, found.st_size, path))


def _add_symlink(sink: Sink, name: str, dir_fd: int, options: TreeOptions) -> Checksum:
    found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    target = os.readlink(name, dir_fd=dir_fd)
    pairs = _xattrs(xattr.get_all_of_link(name, dir_fd), options)
    return sink.add_file(FileHeader(*_owner(found, options), found.st_mode, target, pairs), 0, ())


def read_dirmeta(fd: int, options: TreeOptions) -> DirMeta:
    """Of an open directory."""
    found = os.fstat(fd)
    return DirMeta(*_owner(found, options), found.st_mode, _xattrs(xattr.get_all(fd), options))


def _xattrs(found: list[tuple[bytes, bytes]], options: TreeOptions) -> Xattrs:
    return xattr_format.canonical(found) if options.xattrs else ()


def _unfit(path: str) -> Error:
    return Error(f"{path}: neither a file, a symlink nor a directory; it cannot be committed")


def _pieces(fd: int, size: int, path: str) -> Iterator[bytes]:
    left = size
    while left and (piece := os.read(fd, left if size <= WHOLE else min(left, PIECE))):
        left -= len(piece)
        yield piece
    if left:
        raise Error(f"{path} changed while it was read; commit it again when nothing writes to it")


def _owner(found: os.stat_result, options: TreeOptions) -> tuple[int, int]:
    uid = found.st_uid if options.owner_uid is None else options.owner_uid
    return uid, found.st_gid if options.owner_gid is None else options.owner_gid


def _check_name(name: str, path: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Error(f"{path}/{name!r}: the name is not UTF-8; it cannot be committed") from None
