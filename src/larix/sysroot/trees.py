"""Looking for files in a tree, which lies on the disk or is a commit's. Paths are relative to its root."""

import os
import stat
from collections.abc import Iterator
from typing import Protocol

from larix.formats.checksum import Checksum
from larix.formats.content import Piece
from larix.linux import files
from larix.ops.walk import Entry, children, find_child, find_path, find_root
from larix.repo.repo import Repo


class Names(Protocol):
    """Symlinks are not followed."""

    def list(self, path: str) -> list[str]:
        """The names in a directory, in order; none where it is missing."""

    def is_file(self, path: str) -> bool: ...

    def is_directory(self, path: str) -> bool: ...


class Tree(Names, Protocol):
    """`pieces` and `size` are for what `is_file` says is a regular file."""

    def size(self, path: str) -> int:
        """In bytes."""

    def pieces(self, path: str) -> Iterator[Piece]: ...


class DiskTree:
    """Below an open directory."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd

    def list(self, path: str) -> list[str]:
        return files.names(path, self._root_fd)

    def is_file(self, path: str) -> bool:
        return stat.S_ISREG(self._mode(path))

    def is_directory(self, path: str) -> bool:
        return stat.S_ISDIR(self._mode(path))

    def _mode(self, path: str) -> int:
        """0 where nothing is there."""
        try:
            return os.stat(path, dir_fd=self._root_fd, follow_symlinks=False).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def size(self, path: str) -> int:
        return os.stat(path, dir_fd=self._root_fd, follow_symlinks=False).st_size

    def pieces(self, path: str) -> Iterator[Piece]:
        with files.closing(os.open(path, files.READ, dir_fd=self._root_fd)) as fd:
            yield from files.pieces(fd)


class CommitTree:
    """Raises NotFound, Corrupt for what the repo does not have as it should."""

    def __init__(self, repo: Repo, commit: Checksum) -> None:
        self._repo = repo
        self._root = find_root(repo, commit)

    def list(self, path: str) -> list[str]:
        found = self._find(path)
        if found is None or found.dirmeta is None:
            return []
        return sorted(entry.name for entry in children(self._repo, found))

    def is_file(self, path: str) -> bool:
        found = self._find(path)
        if found is None or found.dirmeta is not None:
            return False
        header, _ = self._repo.look_at_file(found.checksum)
        return not header.is_symlink

    def is_directory(self, path: str) -> bool:
        found = self._find(path)
        return found is not None and found.dirmeta is not None

    def size(self, path: str) -> int:
        return self._repo.look_at_file(self._file(path))[1]

    def pieces(self, path: str) -> Iterator[Piece]:
        with self._repo.open_file(self._file(path)) as stored:
            yield from stored.content

    def _file(self, path: str) -> Checksum:
        return find_path(self._repo, self._root, path).checksum

    def _find(self, path: str) -> Entry | None:
        found: Entry | None = self._root
        for part in path.split("/"):
            found = find_child(self._repo, found, part) if found is not None else None
        return found
