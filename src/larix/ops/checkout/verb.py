"""A commit, or a part of one, becomes a directory, or is laid over one.

Files that can be linked are linked here, since workers would only wait for each other in the kernel. What must be
copied, workers copy. At the end each directory that was made gets its owner, mode and times, so that a read-only one
can be filled. In user mode everything belongs to whoever runs larix, without set-uid bits and extended attributes.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from larix.errors import NotFound
from larix.formats.checksum import Checksum
from larix.formats.objects import DirMeta, DirTree
from larix.linux import reading, trees, writing, xattr
from larix.linux.failures import doing, within
from larix.linux.workers import start_workers
from larix.ops.checkout.placing import CheckoutOptions, Overwrite, Placer, hidden_name
from larix.ops.tree.directory import Stored
from larix.ops.tree.modify import labelled
from larix.ops.tree.tree import ObjectTree, count_files
from larix.ops.tree.walk import Entry, deeper, find_path, find_root
from larix.progress import NO_PROGRESS, Progress
from larix.repo.repo import Repo

# Files that one worker is given at once; even with the longest names less than a pipe takes.
BATCH = 128
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
PLAIN_BITS = 0o775


def checkout(
    repo: Repo,
    commit: Checksum,
    destination: str | os.PathLike[str],
    options: CheckoutOptions | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Make `destination` and fill it; it must not be there unless the options say what to overwrite.

    A `subpath` that is a file is put into it. What was made goes again where it fails. `progress` counts files.
    Raises NotFound, Error.
    """
    options, path = options or CheckoutOptions(), os.fspath(destination)
    if repo.layout.user_only:
        options = replace(options, user_mode=True, plain_directories=True)
    try:
        entry = find_path(repo, find_root(repo, commit), options.subpath)
    except NotFound:
        if options.allow_missing:
            return
        raise
    if "/" in options.skipped:
        return
    is_file = entry.dirmeta is None
    with doing(f"Checking out to {path}"):
        # Nobody else looks in before owner and mode are right.
        made = writing.make_directory(path, mode=0o700)
        if not made and not is_file and options.overwrite is Overwrite.REFUSE:
            raise FileExistsError(errno.EEXIST, "File exists", os.path.basename(path.rstrip("/")))
        with reading.closing(reading.open_directory(path, follow=not made)) as fd:
            try:
                with closing(Placer(repo, options)) as placer:
                    _Checkout(repo, fd, options, placer, progress).run(entry, made=made)
                if options.fsync:
                    writing.sync_file_system(fd)
            except BaseException as error:
                if made:
                    _clear_away(path, fd, error)
                raise


def _clear_away(path: str, fd: int, error: BaseException) -> None:
    """Remove what was made until the error, which is what is to be told."""
    try:
        trees.remove_open(path, fd)
    except OSError as more:
        error.add_note(f"{path} is left, not whole, and could not be removed: {more.strerror}")


@dataclass(frozen=True, slots=True)
class _Copies:
    """Files to be copied into one directory, which is given by its path below the top."""

    below: str
    files: list[tuple[str, Checksum]]


class _Directories:
    """Numbered, each after the one that it is in, and known by that and its name: all the paths of a deep tree would
    take more memory than there is."""

    def __init__(self) -> None:
        self._all: list[tuple[int, str, Checksum | None]] = []
        # The path that was asked for last.
        self._last = -1, ""

    def add(self, parent: int, name: str, dirmeta: Checksum) -> int:
        self._all.append((parent, name, dirmeta))
        return len(self._all) - 1

    def drop_meta(self, number: int) -> None:
        """Note that it was there before, and stays as it is."""
        self._all[number] = *self._all[number][:2], None

    def path(self, number: int) -> str:
        names = []
        at = number
        while at not in (0, self._last[0]):
            at, name, _ = self._all[at]
            names.append(name)
        if at > 0:
            names.append(self._last[1])
        self._last = number, "/".join(reversed(names))
        return self._last[1]

    def from_the_end(self) -> Iterator[tuple[str, Checksum]]:
        for number in range(len(self._all) - 1, -1, -1):
            if (meta := self._all[number][2]) is not None:
                yield self.path(number), meta


class _Checkout:
    def __init__(self, repo: Repo, fd: int, options: CheckoutOptions, placer: Placer, progress: Progress) -> None:
        self._repo = repo
        self._fd = fd
        self._options = options
        self._placer = placer
        self._progress = progress
        self._workers = start_workers(self._copy_batch, progress.advance, threads=repo.options.threads)

    def run(self, entry: Entry, *, made: bool) -> None:
        """`made` says whether the top is new."""
        if entry.dirmeta is None:
            if not self._placer.link(entry.checksum, entry.name, self._fd):
                self._placer.copy(entry.checksum, entry.name, self._fd, self._options.label_path(""))
            return
        self._progress.start("Checking out")
        if self._progress.wanted:
            top = Stored(entry.checksum, entry.dirmeta)
            self._progress.expect(count_files(ObjectTree(self._repo, top)))
            self._progress.all_known()
        with self._workers:
            directories = self._fill_all(entry, made=made)
        # From the innermost on: a directory's mode may keep its owner out.
        for below, dirmeta in directories.from_the_end():
            with reading.closing(reading.open_below(self._fd, below)) as fd:
                self._set_directory(fd, self._repo.load_dirmeta(dirmeta), below)

    def _fill_all(self, top: Entry, *, made: bool) -> "_Directories":
        """Make and fill all directories; return the new ones. What is copied is not there yet."""
        assert top.dirmeta is not None
        new = _Directories()
        stack = [(0, -1, "", top.checksum, top.dirmeta, made)]
        while stack:
            depth, parent, name, dirtree, dirmeta, made = stack.pop()
            number = new.add(parent, name, dirmeta)
            below = new.path(number)
            inside = deeper(depth, f"/{below}")
            tree = self._without_skipped(below, self._repo.load_dirtree(dirtree))
            with reading.closing(reading.open_below(self._fd, below)) as fd, within(below):
                if self._options.whiteouts:
                    made = self._white_out(fd, tree, made=made)
                copies = [entry for entry in tree.files.items() if not self._placer.link(entry[1], entry[0], fd)]
                subdirectories = [(name, *both, self._make_directory(name, fd)) for name, both in tree.dirs.items()]
            self._progress.advance(len(tree.files) - len(copies))
            if not made:
                new.drop_meta(number)
            for i in range(0, len(copies), BATCH):
                self._workers.submit(_Copies(below, copies[i : i + BATCH]))
            for name, sub, meta, made in subdirectories:
                stack.append((inside, number, name, sub, meta, made))
        return new

    def _without_skipped(self, below: str, tree: DirTree) -> DirTree:
        skipped = self._options.skipped
        if not skipped:
            return tree
        base = f"/{below}/" if below else "/"
        return DirTree(
            {name: file for name, file in tree.files.items() if f"{base}{name}" not in skipped},
            {name: both for name, both in tree.dirs.items() if f"{base}{name}/" not in skipped},
        )

    def _white_out(self, fd: int, tree: DirTree, *, made: bool) -> bool:
        """Remove what the whiteouts of `tree` hide, and those from it. Returns whether the directory is like new."""
        for name in [name for name in tree.files if name.startswith(WHITEOUT)]:
            del tree.files[name]
            if name == OPAQUE:
                for other in os.listdir(fd):
                    trees.remove_tree(other, fd)
                made = True
            else:
                trees.remove_tree(hidden_name(name, WHITEOUT), fd)
        return made

    def _make_directory(self, name: str, fd: int) -> bool:
        """Make a directory, or go into the one that is there; return whether it is new."""
        if writing.make_directory(name, fd, 0o700):
            return True
        if self._options.overwrite is Overwrite.REFUSE:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        # As with an upper layer of a container.
        replaces = self._options.overwrite is Overwrite.REPLACE and self._options.whiteouts
        if replaces and not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            writing.remove(name, fd)
            return writing.make_directory(name, fd, 0o700)
        # Whatever else it is, also a symlink to a directory, raises OSError.
        os.close(reading.open_directory(name, fd, follow=False))
        return False

    def _copy_batch(self, batch: _Copies) -> int:
        """Copy, in a worker; return how many were copied."""
        with reading.closing(reading.open_below(self._fd, batch.below)) as fd, within(batch.below):
            for name, checksum in batch.files:
                path = f"{batch.below}/{name}" if batch.below else name
                self._placer.copy(checksum, name, fd, self._options.label_path(path))
        return len(batch.files)

    def _set_directory(self, fd: int, meta: DirMeta, below: str) -> None:
        if not self._options.user_mode:
            writing.set_owner(fd, meta.uid, meta.gid)
            path = self._options.label_path(below)
            for key, value in labelled(self._options.labels, path, meta.mode, meta.xattrs):
                xattr.set_on(fd, key, value)
        mode = stat.S_IMODE(meta.mode)
        writing.set_mode(fd, mode & PLAIN_BITS if self._options.plain_directories else mode)
        # As the files, which are only linked where they are not to be copied.
        if not self._options.copy:
            writing.set_mtime(fd, 0)
