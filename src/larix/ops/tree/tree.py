"""A tree of files, wherever it lies: in a directory of this machine, in objects, or half made of them.

Paths are relative to its root; symlinks are not followed.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Protocol

from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, Piece
from larix.formats.objects import DirTree
from larix.linux import reading
from larix.ops.tree.directory import Directory, Stored
from larix.ops.tree.walk import Descent, descend
from larix.repo.layout import StoredFile


class Kind(Enum):
    """What an entry of a tree is; OTHER are devices, sockets and pipes, which no commit has."""

    FILE = auto()
    SYMLINK = auto()
    DIRECTORY = auto()
    OTHER = auto()


class Tree(Protocol):
    """Each implementation passes `tests/test_trees.py`."""

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, in order; none where there is no such directory."""
        ...

    def kind(self, path: str) -> Kind | None:
        """Return what is there; None where nothing is."""
        ...

    def size(self, path: str) -> int:
        """Return the size of a file in bytes. Raises NotFound or OSError where it is none."""
        ...

    def pieces(self, path: str) -> Iterator[Piece]:
        """Return the content of a file. Raises NotFound or OSError where it is none."""
        ...


class DiskTree:
    """Below an open directory, which whoever opened it closes."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd

    def list(self, path: str) -> list[str]:
        try:
            with reading.closing(reading.open_below(self._root_fd, path)) as fd:
                return sorted(os.listdir(fd))
        except OSError as error:
            if error.errno not in NO_DIRECTORY:
                raise
            return []

    def kind(self, path: str) -> Kind | None:
        try:
            with self._above(path) as (fd, name):
                mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        except OSError as error:
            if error.errno not in NO_DIRECTORY:
                raise
            return None
        return KINDS.get(stat.S_IFMT(mode), Kind.OTHER)

    def size(self, path: str) -> int:
        with self._above(path) as (fd, name):
            return os.stat(name, dir_fd=fd, follow_symlinks=False).st_size

    def pieces(self, path: str) -> Iterator[Piece]:
        with self._above(path) as (above, name), reading.closing(os.open(name, reading.READ, dir_fd=above)) as fd:
            yield from reading.pieces(fd)

    @contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """Give the directory that it is in, open, and its name there."""
        above, _, name = path.rpartition("/")
        with reading.closing(reading.open_below(self._root_fd, above)) as fd:
            yield fd, name or "."


# What is asked for in a directory that is none, or a symlink, is not there.
NO_DIRECTORY = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFDIR: Kind.DIRECTORY}


class Objects(Protocol):
    """Where the objects of a tree are: a Repo, a Transaction, or what a pull would bring."""

    def load_dirtree(self, checksum: Checksum) -> DirTree: ...

    def look_at_file(self, checksum: Checksum) -> tuple[FileHeader, int]:
        """Return header and size in bytes."""
        ...

    def open_file(self, checksum: Checksum) -> StoredFile: ...


class ObjectTree:
    """Of objects, or half made of them. What it asks for raises NotFound, Corrupt where it is not as it should be."""

    def __init__(self, objects: Objects, top: Directory | Stored, start: str = "/") -> None:
        """Take `top` for the root; paths are shown with `start` before them."""
        self.top = top
        self.start = start
        self._objects = objects

    def list(self, path: str) -> list[str]:
        found = self._find(path)
        if not isinstance(found, Directory | Stored):
            return []
        inside = self.open(found)
        return sorted([*inside.files, *inside.dirs])

    def kind(self, path: str) -> Kind | None:
        found = self._find(path)
        if found is None:
            return None
        if isinstance(found, Directory | Stored):
            return Kind.DIRECTORY
        return Kind.SYMLINK if self._objects.look_at_file(found)[0].is_symlink else Kind.FILE

    def size(self, path: str) -> int:
        return self._objects.look_at_file(self._file(path))[1]

    def pieces(self, path: str) -> Iterator[Piece]:
        with self._objects.open_file(self._file(path)) as stored:
            yield from stored.content

    def find_file(self, path: str) -> Checksum | None:
        """Return the object of a file or symlink, if one is there."""
        found = self._find(path)
        return None if isinstance(found, Directory | Stored) else found

    def _file(self, path: str) -> Checksum:
        found = self.find_file(path)
        if found is None:
            raise FileNotFoundError(f"/{path}")
        return found

    def _find(self, path: str) -> Directory | Stored | Checksum | None:
        found: Directory | Stored | Checksum | None = self.top
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if not isinstance(found, Directory | Stored):
                return None
            inside = self.open(found)
            found = inside.files.get(part) or inside.dirs.get(part)
        return found

    def open(self, directory: Directory | Stored) -> Directory:
        """Return what is in a directory, to be read only; what is below it is not looked at."""
        if isinstance(directory, Directory):
            return directory
        tree = self._objects.load_dirtree(directory.dirtree)
        return Directory(None, tree.files, {name: Stored(*pair) for name, pair in tree.dirs.items()})


def walk_files(tree: Tree, top: str) -> list[str]:
    """Return what lies below the directory `top` and is none, the names of each directory in order: paths from the
    root.

    Raises Invalid for a tree too deep.
    """
    found: list[str] = []
    descend(_walk_files(tree, top, found))
    return found


def _walk_files(tree: Tree, path: str, found: list[str]) -> Descent[None]:
    for name in tree.list(path):
        below = f"{path}/{name}" if path else name
        if tree.kind(below) is Kind.DIRECTORY:
            yield below, _walk_files(tree, below, found)
        else:
            found.append(below)


def count_files(tree: ObjectTree) -> int:
    """Return how many files and symlinks there are. Equal directories are looked into once."""
    return descend(_count_files(tree, tree.top, {}))


def _count_files(tree: ObjectTree, directory: Directory | Stored, known: dict[Checksum, int]) -> Descent[int]:
    inside = tree.open(directory)
    count = len(inside.files)
    for name, below in inside.dirs.items():
        if not isinstance(below, Stored):
            count += yield name, _count_files(tree, below, known)
        elif below.dirtree in known:
            count += known[below.dirtree]
        else:
            known[below.dirtree] = yield name, _count_files(tree, below, known)
            count += known[below.dirtree]
    return count
