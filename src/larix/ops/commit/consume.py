"""Trees that are given away: what was committed of them is removed when the commit is there, and nothing else.

Somebody may write to such a tree meanwhile. What came since it was read, or was changed, is in no commit, and stays.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from larix.errors import Busy, Invalid
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.linux import reading, trees, writing
from larix.linux.failures import doing
from larix.ops.tree.walk import Descent, descend
from larix.repo.layout import StoredFile
from larix.repo.repo import Repo

# Transaction.adopt_file
Adopt = Callable[[FileHeader, StoredFile, int], Checksum | None]

# Of the paths that stay, so many are told.
MAX_TOLD = 3


class Seen(NamedTuple):
    """A file as it was read. Times are in nanoseconds; `change` is that of the inode, which links to it move too."""

    inode: int
    size: int
    mode: int
    owner: int
    group: int
    mtime: int
    change: int
    # Whether it may have become an object, with other links and 0 for its time.
    adopted: bool = False

    @classmethod
    def of(cls, about: os.stat_result) -> Self:
        owner = about.st_uid, about.st_gid
        return cls(about.st_ino, about.st_size, about.st_mode, *owner, about.st_mtime_ns, about.st_ctime_ns)

    def is_still(self, about: os.stat_result) -> bool:
        now = Seen.of(about)
        if self.adopted:
            return now[:5] == self[:5] and now.mtime in (self.mtime, 0)
        return now[:7] == self[:7]


class Given:
    """A directory that is given away, open; use it in a `with`. What is read of it is noted, by paths below it."""

    def __init__(self, path: str, repo: Repo, adopt: Adopt) -> None:
        """Raises Invalid where it would take the repo with it, or is a part of it."""
        self.path = path
        self.adopt = adopt
        with doing(f"Reading {path}"):
            self.fd = reading.open_directory(path)
        try:
            with doing(f"Reading {path}"):
                if holds(self.fd, repo.fd) or holds(repo.fd, self.fd):
                    raise Invalid(f"{path} and the repo {repo.path} lie in one another; it cannot be given away")
        except BaseException:
            os.close(self.fd)
            raise
        # None: left out by a list, and removed as it is.
        self._files: dict[str, dict[str, Seen | None]] = {}
        self._directories: dict[str, tuple[int, int]] = {}
        self._committed_at = 0
        # Inodes of which names were removed: others may be links to them.
        self._unlinked: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.fd)

    def note_directory(self, below: str, fd: int) -> None:
        self._directories[below] = _inode(os.fstat(fd))
        self._files[below] = {}

    def note_files(self, below: str, found: dict[str, Seen | None]) -> None:
        self._files[below].update(found)

    def remove(self, committed_at: int) -> None:
        """When that is committed, at that time in nanoseconds.

        Raises Busy where something came meanwhile, or could not be removed.
        """
        self._committed_at = committed_at
        left: list[str] = []
        descend(self._remove_inside("", left))
        self._remove_top()
        if left:
            more = f" and {len(left) - MAX_TOLD} more" if len(left) > MAX_TOLD else ""
            raise Busy(
                f"The commit is made, but of {self.path} some is left, which came or was changed meanwhile or cannot "
                f"be removed: {', '.join(left[:MAX_TOLD])}{more}"
            )

    def _remove_inside(self, below: str, left: list[str]) -> Descent[None]:
        """Remove what was committed; note what is left, with the reason where it has another."""
        why: dict[str, str] = {}
        with reading.closing(reading.open_below(self.fd, below)) as fd:
            if _inode(os.fstat(fd)) != self._directories[below]:
                return
            for name, seen in self._files[below].items():
                try:
                    if seen is None:
                        trees.remove_tree(name, fd)
                    elif self._is_committed(seen, about := os.stat(name, dir_fd=fd, follow_symlinks=False)):
                        writing.remove(name, fd)
                        self._unlinked.add(about.st_ino)
                    elif seen.adopted and about.st_ino == seen.inode:
                        why[name] = " (written to after it was committed, and so was its object: use fsck)"
                except FileNotFoundError:
                    continue
                except OSError as error:
                    why[name] = f" ({error.strerror})"
            names = sorted(os.listdir(fd))
        for name in names:
            path = f"{below}/{name}" if below else name
            before = len(left)
            try:
                if path in self._directories:
                    yield path, self._remove_inside(path, left)
                    if len(left) > before or self._remove_directory(name, below):
                        continue
            except FileNotFoundError:
                continue
            except OSError as error:
                why[name] = f" ({error.strerror})"
            left.append(f"{self.path}/{path}{why.get(name, '')}")

    def _remove_directory(self, name: str, below: str) -> bool:
        """Remove a directory if it is empty; return whether it was."""
        with reading.closing(reading.open_below(self.fd, below)) as fd:
            return writing.remove_if_empty(name, fd)

    def _is_committed(self, seen: Seen, about: os.stat_result) -> bool:
        """Return whether it is as it was read, and nobody has changed it since it became an object."""
        if about.st_ino in self._unlinked:
            # By us, which changes what is left of it.
            seen = seen._replace(change=about.st_ctime_ns)
        elif seen.adopted and about.st_ctime_ns > self._committed_at:
            return False
        return seen.is_still(about)

    def _remove_top(self) -> None:
        """Remove the top by its name, where that names it alone: not through a link, and not as that in which somebody
        stands."""
        parent, _, name = self.path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            reading.closing(reading.open_directory(parent or ("/" if self.path.startswith("/") else "."))) as fd,
        ):
            if _inode(os.stat(name, dir_fd=fd, follow_symlinks=False)) == _inode(os.fstat(self.fd)):
                writing.remove_if_empty(name, fd)


def _inode(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def holds(outer_fd: int, inner_fd: int) -> bool:
    """Return whether the second open directory is the first, or lies below it."""
    outer = _inode(os.fstat(outer_fd))
    return any(found == outer for found in _way_up(inner_fd))


def _way_up(fd: int) -> Iterator[tuple[int, int]]:
    fd = os.dup(fd)
    try:
        before = None
        while (found := _inode(os.fstat(fd))) != before:
            yield found
            before = found
            # One may go through directories that one may not read.
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = above
    finally:
        os.close(fd)
