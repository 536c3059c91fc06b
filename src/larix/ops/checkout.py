"""A commit, or a part of one, becomes a directory.

Files are hard links into the repo where its layout allows it; they are made here, since workers would only wait for
each other in the kernel. What must be copied, workers copy. At the end each directory gets its owner, mode and times,
so that a read-only one can be filled.
In user mode everything belongs to whoever runs larix, without set-uid bits and extended attributes.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from larix.errors import Error, Invalid
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.objects import DirMeta, ObjectName, ObjectType
from larix.linux import files, xattr
from larix.ops.walk import MAX_DEPTH, Entry, find_path, find_root
from larix.repo.repo import Repo
from larix.repo.workers import Workers

# Files that one worker is given at once; even with the longest names less than a pipe takes.
BATCH = 128


@dataclass(frozen=True, slots=True)
class CheckoutOptions:
    """`copy`: never link. `require_links`: rather fail than copy."""

    user_mode: bool = False
    copy: bool = False
    require_links: bool = False
    subpath: str = "/"


def checkout(repo: Repo, commit: Checksum, destination: Path, options: CheckoutOptions | None = None) -> None:
    """Make `destination`, which must not exist, and fill it. A `subpath` that is a file is put into it."""
    options = options or CheckoutOptions()
    entry = find_path(repo, find_root(repo, commit), options.subpath)
    with files.doing(f"Checking out to {destination}"):
        parent_fd = files.open_directory(str(destination.parent))
        try:
            # Nobody else looks in before owner and mode are right.
            if not files.make_directory(destination.name, parent_fd, 0o700):
                raise FileExistsError(errno.EEXIST, "File exists", destination.name)
            fd = files.open_directory(destination.name, parent_fd, follow=False)
        finally:
            os.close(parent_fd)
        try:
            _Checkout(repo, fd, options).run(entry)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files to be copied into one directory, which is given by its path below the top."""

    below: str
    files: list[tuple[str, Checksum]]


class _Checkout:
    def __init__(self, repo: Repo, fd: int, options: CheckoutOptions) -> None:
        self._repo = repo
        self._fd = fd
        self._options = options
        self._copies_all = options.copy or (repo.layout.keeps_packed and not options.require_links)
        self._workers = Workers(self._copy_batch, lambda done: None)

    def run(self, entry: Entry) -> None:
        if entry.dirmeta is None:
            if not self._link(entry.checksum, entry.name, self._fd):
                self._copy(entry.checksum, entry.name, self._fd)
            return
        with self._workers:
            directories = self._fill_all(entry)
        # From the innermost on: a directory's mode may keep its owner out.
        for below, dirmeta in reversed(directories):
            fd = self._open(below)
            try:
                self._set_directory(fd, self._repo.load_dirmeta(dirmeta))
            finally:
                os.close(fd)

    def _fill_all(self, top: Entry) -> list[tuple[str, Checksum]]:
        """Path and dirmeta of each directory, each before what is in it. What is copied is not there yet."""
        assert top.dirmeta is not None
        directories = []
        stack = [(0, "", top.checksum, top.dirmeta)]
        while stack:
            depth, below, dirtree, dirmeta = stack.pop()
            if depth > MAX_DEPTH:
                raise Invalid(f"{below[:80]}…: nested more than {MAX_DEPTH} directories")
            directories.append((below, dirmeta))
            tree = self._repo.load_dirtree(dirtree)
            fd = self._open(below)
            try:
                for name in tree.dirs:
                    files.make_directory(name, fd, 0o700)
                copies = [entry for entry in tree.files.items() if not self._link(entry[1], entry[0], fd)]
            finally:
                os.close(fd)
            for i in range(0, len(copies), BATCH):
                self._workers.submit(_Batch(below, copies[i : i + BATCH]))
            for name, (sub, meta) in tree.dirs.items():
                stack.append((depth + 1, f"{below}/{name}" if below else name, sub, meta))
        return directories

    def _open(self, below: str) -> int:
        # Nobody but us can have put a symlink there.
        if len(below) * 4 < files.PATH_MAX:
            return files.open_directory(below or ".", self._fd)
        return files.open_below(self._fd, below)

    def _copy_batch(self, batch: _Batch) -> None:
        """In a worker."""
        fd = self._open(batch.below)
        try:
            for name, checksum in batch.files:
                self._copy(checksum, name, fd)
        finally:
            os.close(fd)

    def _link(self, checksum: Checksum, name: str, dir_fd: int) -> bool:
        """Link the file if it can be."""
        options, repo = self._options, self._repo
        if self._copies_all:
            return False
        header, size = repo.look_at_file(checksum)
        # An empty file costs nothing to copy, and its object would soon have as many links as there can be.
        if not size and not header.is_symlink:
            return False
        if not repo.layout.links(header, user_mode=options.user_mode):
            if options.require_links and size:
                mode = "user mode" if options.user_mode else "this mode of checkout"
                raise Error(f"A repo of mode {repo.layout.mode} cannot hard link in {mode}")
            return False
        try:
            files.link(repo.object_path(ObjectName(checksum, ObjectType.FILE)), repo.objects_fd, name, dir_fd)
        except OSError as error:
            # Another file system, or an object with as many links as there can be.
            if error.errno not in (errno.EXDEV, errno.EMLINK) or options.require_links:
                raise
            return False
        return True

    def _copy(self, checksum: Checksum, name: str, dir_fd: int) -> None:
        with self._repo.open_file(checksum) as stored:
            if stored.header.is_symlink:
                self._symlink(stored.header, name, dir_fd)
                return
            fd = files.create(name, dir_fd)
            try:
                for piece in stored.content:
                    files.write_all(fd, piece)
                self._set_file(fd, stored.header)
            finally:
                os.close(fd)

    def _symlink(self, header: FileHeader, name: str, dir_fd: int) -> None:
        files.symlink(header.target, name, dir_fd)
        if not self._options.user_mode:
            files.set_link_owner(name, dir_fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on_link(name, dir_fd, key, value)

    def _set_file(self, fd: int, header: FileHeader) -> None:
        if self._options.user_mode:
            files.set_mode(fd, stat.S_IMODE(header.mode) & ~(stat.S_ISUID | stat.S_ISGID))
            return
        # The owner first: to change it takes the set-uid bit and the capabilities away.
        files.set_owner(fd, header.uid, header.gid)
        for key, value in header.xattrs:
            xattr.set_on(fd, key, value)
        files.set_mode(fd, stat.S_IMODE(header.mode))

    def _set_directory(self, fd: int, meta: DirMeta) -> None:
        if not self._options.user_mode:
            files.set_owner(fd, meta.uid, meta.gid)
            for key, value in meta.xattrs:
                xattr.set_on(fd, key, value)
        files.set_mode(fd, stat.S_IMODE(meta.mode))
        files.set_mtime(fd, 0)
