"""Reading a directory of this machine into a tree: every file, symlink and directory below it becomes an object."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from larix.errors import Busy, Invalid
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, Piece
from larix.formats.names import check_utf8
from larix.formats.objects import ObjectType
from larix.linux import reading
from larix.linux.failures import as_error, doing
from larix.linux.workers import start_workers
from larix.ops.commit.consume import Given, Seen
from larix.ops.tree.directory import Directory
from larix.ops.tree.modify import Modification
from larix.ops.tree.walk import Descent, descend
from larix.progress import NO_PROGRESS, Progress
from larix.repo.incoming import Handed
from larix.repo.layout import PIECE, WHOLE, StoredFile
from larix.repo.on_disk import open_as_object, read_dirmeta
from larix.repo.repo import Repo

# What one worker is given at once: files, and bytes of them.
BATCH = 32
BATCH_SIZE = 1 << 20

# (device, inode) of objects -> checksum: a file that is a hard link to an object need not be read.
Links = Mapping[tuple[int, int], Checksum]


class Sink(Protocol):
    """Where the objects of a directory go: a Transaction, or nowhere. File objects are added by workers."""

    @property
    def threads(self) -> bool:
        """Whether those are threads of this process."""
        ...

    def add_metadata(self, kind: ObjectType, data: bytes) -> Checksum: ...

    def add_file(self, header: FileHeader, size: int, content: Iterable[Piece]) -> Checksum: ...

    def open_file(self, checksum: Checksum) -> StoredFile: ...

    def hand_over(self) -> Handed: ...

    def take_over(self, handed: Handed, unchanged: int = 0) -> None: ...


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What is made of a directory that is read: `modification` changes it; `links` is what is known of files, which are
    not read then. With `changing_links` these are changed too, as the objects that they are: owner, mode and attributes
    of a checkout need not be the file's. What is `given` away is that directory, and need not be copied."""

    modification: Modification = field(default_factory=Modification)
    links: Links = field(default_factory=dict)
    changing_links: bool = False
    given: Given | None = None


def lay_directory(
    sink: Sink, under: Directory, path: str, options: ReadOptions | None = None, *, progress: Progress = NO_PROGRESS
) -> int:
    """Lay the directory at `path` over a tree. Returns how many files were known. `progress` counts files and bytes.

    Raises Error for sockets and devices, and where a file and a directory have the same name; Busy where another
    changes what is read.
    """
    options = options or ReadOptions()
    with doing(f"Reading {path}"):
        fd = reading.open_directory(path) if options.given is None else os.dup(options.given.fd)
    with reading.closing(fd):
        return _Reader(sink, fd, path, options, progress).read_into(under)


def find_links(repo: Repo) -> Links:
    """Return (device, inode) -> checksum of all file objects of the repo and its parents."""
    found = dict(find_links(repo.parent)) if repo.parent is not None else {}
    for name in repo.objects(ObjectType.FILE):
        about = os.stat(repo.object_path(name), dir_fd=repo.objects_fd, follow_symlinks=False)
        found[about.st_dev, about.st_ino] = name.checksum
    return found


@dataclass(frozen=True, slots=True)
class _FilesHere:
    """Names in one directory, which is given by its number, its path below the top and what it was, of files of `size`
    bytes."""

    number: int
    below: str
    inode: tuple[int, int, int]
    names: list[str]
    size: int


@dataclass(frozen=True, slots=True)
class _FilesAdded:
    number: int
    below: str
    files: dict[str, Checksum]
    seen: dict[str, Seen | None]
    new: Handed
    size: int
    # Those that were objects already, and stay so.
    unchanged: int


class _Reader:
    """Reads directories, and has workers add the files in them: large ones each for itself, small ones in batches."""

    def __init__(self, sink: Sink, fd: int, path: str, options: ReadOptions, progress: Progress) -> None:
        """Read the directory that is open as `fd`; `path` is for messages."""
        self._sink = sink
        self._fd = fd
        self._path = path
        self._modification = options.modification
        self._links = options.links
        self._changing_links = options.changing_links
        self._given = options.given
        self._progress = progress
        self._known = 0
        self._workers = start_workers(self._add, self._take, threads=sink.threads)
        self._directories: list[Directory] = []

    def read_into(self, under: Directory) -> int:
        if self._modification.skips("/"):
            raise Invalid("Can't commit an empty tree: a list leaves out its top directory")
        self._progress.start("Reading")
        if self._progress.wanted:
            descend(self._expect(""))
            self._progress.all_known()
        with self._workers:
            descend(self._read("", under))
        return self._known

    def _read(self, below: str, into: Directory) -> Descent[None]:
        path = self._path_of(below)
        batch: list[str] = []
        size = 0
        dirs = []
        number = len(self._directories)
        self._directories.append(into)
        seen: dict[str, Seen | None] = {}
        # Not held open for what is in it: that may be deeper than a process may open files.
        with doing(f"Reading {path}"), reading.closing(reading.open_below(self._fd, below)) as fd:
            inode = _inode(os.fstat(fd))
            if self._given is not None:
                self._given.note_directory(below, fd)
            into.meta = self._modification.directory(f"/{below}", read_dirmeta(fd))
            with os.scandir(fd) as entries:
                for entry in entries:
                    check_utf8(entry.name, f"filename {path}/{entry.name!r}")
                    if self._modification.skips(f"/{below}/{entry.name}" if below else f"/{entry.name}"):
                        seen[entry.name] = None
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        dirs.append(entry.name)
                        continue
                    about = entry.stat(follow_symlinks=False)
                    _check_type(about.st_mode, f"{path}/{entry.name}")
                    known = self._links.get((about.st_dev, about.st_ino)) if self._links else None
                    if known is not None and not self._changing_links:
                        into.put_file(entry.name, known)
                        seen[entry.name] = Seen.of(about)
                        self._known += 1
                        self._progress.advance(1, about.st_size)
                        continue
                    if batch and (len(batch) == BATCH or size + about.st_size > BATCH_SIZE):
                        self._workers.submit(_FilesHere(number, below, inode, batch, size))
                        batch, size = [], 0
                    batch.append(entry.name)
                    size += about.st_size
            if batch:
                self._workers.submit(_FilesHere(number, below, inode, batch, size))
        if self._given is not None:
            self._given.note_files(below, seen)
        for name in dirs:
            inside = f"{below}/{name}" if below else name
            yield self._path_of(inside), self._read(inside, into.enter(name))

    def _expect(self, below: str) -> Descent[None]:
        """Count all that `_read` will come to."""
        dirs = []
        with (
            doing(f"Reading {self._path_of(below)}"),
            reading.closing(reading.open_below(self._fd, below)) as fd,
            os.scandir(fd) as entries,
        ):
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if f"/{path}" in self._modification.modifier.skipped:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    dirs.append(path)
                else:
                    self._progress.expect(1, entry.stat(follow_symlinks=False).st_size)
        for path in dirs:
            yield self._path_of(path), self._expect(path)

    def _path_of(self, below: str) -> str:
        return f"{self._path}/{below}" if below else self._path

    def _add(self, batch: _FilesHere) -> _FilesAdded:
        """Read and add files, in a worker."""
        path = self._path_of(batch.below)
        inside = f"/{batch.below}/" if batch.below else "/"
        with doing(f"Reading {path}"):
            fd = reading.open_below(self._fd, batch.below)
        with reading.closing(fd):
            now = _inode(os.fstat(fd))
            # A file system may give a directory another number at each opening.
            if now[:2] != batch.inode[:2] and now[2] != batch.inode[2]:
                raise _changed(path)
            found: dict[str, Checksum] = {}
            seen: dict[str, Seen | None] = {}
            unchanged = 0
            for name in batch.names:
                before = self._look(name, fd, path)
                if self._changing_links and (known := self._find_link(name, fd)) is not None:
                    found[name], seen[name] = self._change(inside + name, known), before
                    unchanged += found[name] == known
                    continue
                with open_entry(name, fd, f"{path}/{name}") as entry:
                    header = self._modification.file(inside + name, entry.header)
                    adopted = self._given.adopt(header, entry, fd) if self._given is not None else None
                    found[name] = adopted or self._sink.add_file(header, entry.size, entry.content)
                if before is not None:
                    seen[name] = read = before._replace(adopted=adopted is not None)
                    with doing(f"Reading {path}"):
                        about = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if not read.is_still(about):
                        raise _changed(f"{path}/{name}")
        return _FilesAdded(batch.number, batch.below, found, seen, self._sink.hand_over(), batch.size, unchanged)

    def _find_link(self, name: str, fd: int) -> Checksum | None:
        """Return the object that a file is a hard link to."""
        about = os.stat(name, dir_fd=fd, follow_symlinks=False)
        return self._links.get((about.st_dev, about.st_ino))

    def _change(self, inside: str, known: Checksum) -> Checksum:
        """Change a file that is a link to an object, as that object is."""
        with self._sink.open_file(known) as stored:
            header = self._modification.file(inside, stored.header)
            if header == stored.header:
                return known
            return self._sink.add_file(header, stored.size, stored.content)

    def _look(self, name: str, fd: int, path: str) -> Seen | None:
        """Look at what is given away, before it is opened: what is read then is this, or is seen not to be."""
        if self._given is None:
            return None
        with doing(f"Reading {path}"):
            return Seen.of(os.stat(name, dir_fd=fd, follow_symlinks=False))

    def _take(self, added: _FilesAdded) -> None:
        self._sink.take_over(added.new, added.unchanged)
        self._progress.advance(len(added.files), added.size)
        if self._given is not None:
            self._given.note_files(added.below, added.seen)
        into = self._directories[added.number]
        for name, checksum in added.files.items():
            into.put_file(name, checksum)


def open_entry(name: str, dir_fd: int, path: str) -> StoredFile:
    """Open a file or symlink of an open directory, as a file object; `path` is for messages. Raises Invalid for all
    else, without opening it: that alone may set a device going."""
    with doing(f"Reading {path}"):
        _check_type(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode, path)
        entry = open_as_object(name, dir_fd, partial(_pieces, path=path))
    try:
        # It may be another by now.
        _check_type(entry.header.mode, path)
        check_utf8(entry.header.target, f"the target {entry.header.target!r} of the symlink {path}")
    except BaseException:
        entry.close()
        raise
    return entry


def _check_type(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise Invalid(f"{path}: neither a file, a symlink nor a directory; it cannot be committed")


def _pieces(fd: int, size: int, path: str) -> Iterator[bytes]:
    left = size
    try:
        while left and (piece := os.read(fd, left if size <= WHOLE else min(left, PIECE))):
            left -= len(piece)
            yield piece
    except OSError as error:
        raise as_error(f"Reading {path}", error) from error
    if left:
        raise _changed(path)


def _inode(about: os.stat_result) -> tuple[int, int, int]:
    """Device, number, and when it was changed."""
    return about.st_dev, about.st_ino, about.st_ctime_ns


def _changed(path: str) -> Busy:
    return Busy(f"{path} changed while it was read; commit it again when nothing writes to it")
