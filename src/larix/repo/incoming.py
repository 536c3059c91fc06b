"""Objects on their way into a repo: they wait in a staging directory until a transaction places them.

File objects come in several ways, each of which is one of `sources.py`, and through one door: `_add`. Workers may add
them, threads or forked processes, and hand over what they added.
"""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from larix.errors import Busy, Invalid
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, Piece
from larix.formats.objects import ObjectName, ObjectType, checksum_of
from larix.linux import writing
from larix.linux.early_sync import EarlySync
from larix.linux.failures import doing
from larix.repo.bare_user_only import check_mode
from larix.repo.layout import Read, StoredFile
from larix.repo.object_errors import differing
from larix.repo.repo import Repo
from larix.repo.sources import CannotLink, FileSource, Inode, Shared, of_content, of_packed, state_of
from larix.repo.space import Space
from larix.repo.staging import Staging
from larix.repo.waiting import Waiting

# Bytes of a file that the disk is to take at once; for less it is not worth the call.
LARGE = 1 << 20


class Counts(NamedTuple):
    """Objects that were added, of them those that were not there before, and bytes of content in those."""

    metadata: int
    metadata_new: int
    files: int
    files_new: int
    bytes_new: int


class Handed(NamedTuple):
    """How many file objects a forked worker was given; those that are new; of them those that were given away."""

    files: int
    new: list[Checksum]
    adopted: list[tuple[Checksum, int, int, int, int]]


class Incoming(Waiting):
    """Added to by several threads, or by forked processes that hand over. Whoever made it ends it."""

    def __init__(self, repo: Repo, staging: Staging, space: Space, *, plain_files: bool) -> None:
        """Take objects; with `plain_files` only those are taken that a bare-user-only repo could have."""
        super().__init__(repo, staging)
        self._space = space
        self._plain_files = plain_files or repo.layout.user_only
        # Their modification times are set last, so that files which were not committed after all are as they were.
        # With what they were when they were read: `state_of`.
        self._adopted: set[tuple[Checksum, int, int, int, int]] = set()
        self._metadata = 0
        # By process: a worker begins at nothing.
        self._files: Counter[int] = Counter()
        self._counting = Lock()
        self._pid = os.getpid()
        # In a forked worker: its own number, and what the one that forked it knows of, or has been told.
        self._worker = self._pid
        self._told: set[ObjectName] = set()
        self._told_adopted: set[tuple[Checksum, int, int, int, int]] = set()
        self._early_sync: EarlySync | None = None

    @property
    def threads(self) -> bool:
        """Whether its workers are threads."""
        return self.repo.options.threads

    def add_metadata(self, kind: ObjectType, data: bytes) -> Checksum:
        """Add a dirtree, dirmeta or commit. Raises Unsupported where the mode of the repo allows no change."""
        self.repo.check_writable()
        name = ObjectName(checksum_of(data), kind)
        self._metadata += 1
        if not self._has_own(name):
            with doing(f"Writing an object to repo {self.repo.path}"):
                self._write(name, lambda path: writing.put(path, self._fd, [data]))
        return name.checksum

    def set_detached_metadata(self, commit: Checksum, data: bytes) -> None:
        """Put this a{sv} beside the commit, in place of what is there."""
        with doing(f"Writing an object to repo {self.repo.path}"), self._staging.temporary() as temporary:
            writing.put(temporary, self._fd, [data])
            self._stage(temporary, ObjectName(commit, ObjectType.COMMIT_META))

    def add_file(
        self, header: FileHeader, size: int, content: Iterable[Piece], expected: Checksum | None = None
    ) -> Checksum:
        """Add a file object with `size` bytes of content. Raises Corrupt where it has not the expected checksum."""
        self.repo.check_writable()
        return self._add(of_content(header, size, content), expected)

    def adopt_file(self, header: FileHeader, found: StoredFile, dir_fd: int) -> Checksum | None:
        """Make a file of an open directory, which is open as `found` and is given away, itself the object.

        None where it cannot be: on another file system, or where objects are not like it. Then nothing is read of it.
        """
        self.repo.check_writable()
        if not self.repo.layout.adopts(header, found.header):
            return None
        if os.fstat(dir_fd).st_dev != os.fstat(self._fd).st_dev:
            return None
        try:
            return self._add(Inode(header, found))
        except CannotLink:
            return None

    def receive_file(self, expected: Checksum, read: Read, packed_size: int) -> int:
        """Add a file object that comes as a `.filez` of `packed_size` bytes; the size of its content.

        Raises Corrupt where it has not the expected checksum.
        """
        source, size = of_packed(read, packed_size, self.repo.layout)
        self._add(source, expected)
        return size

    def hand_over(self) -> Handed:
        """Return, in a worker, what it added since the last time, for `take_over`. A thread has added it here
        already."""
        if os.getpid() == self._pid:
            return Handed(0, [], [])
        self._begin_as_worker()
        new, adopted = self.added - self._told, self._adopted - self._told_adopted
        self._told |= new
        self._told_adopted |= adopted
        files = [name.checksum for name in new if name.type == ObjectType.FILE]
        return Handed(self._files.pop(os.getpid(), 0), files, list(adopted))

    def _begin_as_worker(self) -> None:
        """Note, before a forked worker adds its first object, what was there: it stays known, and is not told."""
        if (pid := os.getpid()) not in (self._pid, self._worker):
            self._worker = pid
            self._told, self._told_adopted = set(self.added), set(self._adopted)

    def take_over(self, handed: Handed, unchanged: int = 0) -> None:
        """Count what a worker handed over as ours; `unchanged` file objects count besides, which it found here as they
        shall be."""
        with self._counting:
            self._files[self._pid] += handed.files + unchanged
        self.added.update(ObjectName(checksum, ObjectType.FILE) for checksum in handed.new)
        self._adopted.update(handed.adopted)

    def counts(self) -> Counts:
        """Count what was added so far."""
        new = [name.checksum for name in self.added if name.type == ObjectType.FILE]
        size = sum(self.look_at_file(checksum)[1] for checksum in new)
        return Counts(self._metadata, len(self.added) - len(new), self._files[self._pid], len(new), size)

    def link_object(self, name: ObjectName, source: Repo) -> bool:
        """Share an object of a repo of the same mode; False where the file system cannot."""
        self.repo.check_writable()
        shared = Shared(source, name)
        try:
            with doing(f"Linking object {name} into repo {self.repo.path}"):
                if name.type == ObjectType.FILE:
                    self._add(shared, name.checksum)
                else:
                    self._write(name, lambda path: shared.write(self.repo.layout, path, self._fd))
        except CannotLink:
            return False
        return True

    def start_writing(self) -> None:
        """Let the disk take what was added, while more is. Called when most is there; no worker is to start after."""
        if self.repo.fsync and self._early_sync is None:
            self._early_sync = EarlySync(self._fd)

    def _wait_for_writing(self) -> None:
        if self._early_sync is not None:
            self._early_sync.wait()

    def _add(self, source: FileSource, expected: Checksum | None = None) -> Checksum:
        """Add a file object: the one door for them. A pull has asked whether what it expects is there, others have
        not."""
        self._begin_as_worker()
        with doing(f"Writing an object to repo {self.repo.path}"):
            self._check_plain(expected or source.checksum, source)
            checksum = source.checksum
            if checksum is None:
                checksum = self._add_temporary(source, expected)
            else:
                self._compare(checksum, expected)
                name = ObjectName(checksum, ObjectType.FILE)
                if expected is not None or not self._has_own(name):
                    self._add_named(source, name)
        with self._counting:
            self._files[os.getpid()] += 1
        return checksum

    def _add_named(self, source: FileSource, name: ObjectName) -> None:
        self._check_space(source)
        if self._write(name, lambda path: source.write(self.repo.layout, path, self._fd)):
            self._start_writing(self._staging_path(name), source.room)

    def _add_temporary(self, source: FileSource, expected: Checksum | None) -> Checksum:
        """Write under a temporary name: the checksum is known when all is written."""
        with self._staging.temporary() as temporary:
            self._check_space(source)
            source.write(self.repo.layout, temporary, self._fd)
            self._start_writing(temporary, source.room)
            assert source.checksum is not None
            self._compare(source.checksum, expected)
            name = ObjectName(source.checksum, ObjectType.FILE)
            if self._has_own(name):
                writing.remove(temporary, self._fd)
            else:
                self._stage(temporary, name)
                if isinstance(source, Inode):
                    # A rename to another name of the same inode leaves both, and the later removal would look like a
                    # change of the file: as where two workers have links to one.
                    with suppress(FileNotFoundError):
                        writing.remove(temporary, self._fd)
                    self._adopted.add((name.checksum, *source.state))
        return name.checksum

    def _check_space(self, source: FileSource) -> None:
        """Raises NoSpace. What is shared takes none."""
        if source.room:
            self._space.check(source.room)

    def _check_plain(self, checksum: Checksum | None, source: FileSource) -> None:
        """Raises Invalid for a file that a bare-user-only repo cannot have, where only others are wanted."""
        if self._plain_files:
            try:
                check_mode(source.header)
            except Invalid as error:
                raise Invalid(f"Content object {checksum}: {error}" if checksum else str(error)) from None

    def _compare(self, found: Checksum, expected: Checksum | None) -> None:
        if expected is not None and found != expected:
            raise differing(ObjectName(expected, ObjectType.FILE), found)

    def _start_writing(self, path: str, size: int) -> None:
        if size >= LARGE and self.repo.fsync:
            writing.start_writing(path, self._fd)

    def _settle(self) -> None:
        """Give the files that were given away the times of objects. Raises Busy where one was written to."""
        adopted = {ObjectName(checksum, ObjectType.FILE) for checksum, *_ in self._adopted}
        for name in adopted:
            found = os.stat(self._staging_path(name), dir_fd=self._fd, follow_symlinks=False)
            # Of several equal files it is one, or a copy of one, which nobody else has.
            if found.st_nlink > 1 and (name.checksum, *state_of(found)) not in self._adopted:
                raise Busy(f"A file that was given away was changed after it was read as {name}; nothing was committed")
        for name in adopted:
            writing.set_mtime(self._staging_path(name), 0, self._fd)
