"""Adding to a repo, all or nothing.

New objects wait in a staging directory, and the repo's lock is held shared meanwhile. `commit` makes everything
durable, moves the objects to their places and then sets the refs: after a power cut at any instant a ref names a
whole commit. Objects are content-addressed, so some of them in place without a ref do no harm.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

from larix.errors import Busy, Error, Invalid, NoSpace
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.content import FileHeader, Piece, content_checksum
from larix.formats.objects import MAX_METADATA_SIZE, DirTree, ObjectName, ObjectType, checksum_of, decode_dirtree
from larix.linux import reading, writing
from larix.linux.early_sync import EarlySync
from larix.linux.failures import doing
from larix.repo.bare_user_only import check_mode
from larix.repo.layout import Read, StoredFile
from larix.repo.locking import lock_changes, lock_repo
from larix.repo.object_errors import differing
from larix.repo.pending import Pending
from larix.repo.ref_changes import Expected
from larix.repo.repo import Repo
from larix.repo.sources import CannotLink, Inode, Shared, Source, of_content, of_packed, state_of
from larix.repo.space import Space
from larix.repo.staging import EXPIRY, Staging
from larix.repo.summary import write_summary

# Bytes of a file that the disk is to take at once; for less it is not worth the call.
LARGE = 1 << 20
# An object of these kinds is what its checksum says, or it is damaged.
CHECKED = (ObjectType.FILE, ObjectType.DIR_TREE, ObjectType.DIR_META, ObjectType.COMMIT)


class Counts(NamedTuple):
    """Objects that were added; those of them that were not there before, of files which."""

    metadata: int
    metadata_new: int
    files: int
    files_new: frozenset[Checksum]


class Handed(NamedTuple):
    """How many file objects a forked worker was given; those that are new; of them those that were given away."""

    files: int
    new: list[Checksum]
    adopted: list[tuple[Checksum, int, int, int, int]]


class Transaction:
    """Used in a `with`; what was not committed at its end is dropped.

    One that is `resumable` keeps its objects for the next transaction when it fails, as every one does when it is
    killed: what was fetched is not fetched again.

    File objects may be added by several threads, and by forked processes that hand over what they added.
    """

    def __init__(self, repo: Repo, *, resumable: bool = False, plain_files: bool = False) -> None:
        """With `plain_files` only those are taken that a bare-user-only repo could have.

        Raises Busy where another process deletes from the repo for longer than its config lets us wait."""
        self.repo = repo
        self._resumable = resumable
        self._plain_files = plain_files or repo.layout.user_only
        self.added: set[ObjectName] = set()
        # Their modification times are set last, so that files which were not committed after all are as they were.
        # With what they were when they were read: `state_of`.
        self._adopted: set[tuple[Checksum, int, int, int, int]] = set()
        self._metadata = 0
        # By process: a worker begins at nothing.
        self._files: Counter[int] = Counter()
        self._counting = Lock()
        self._pid = os.getpid()
        self._pending = Pending()
        self._early_sync: EarlySync | None = None
        with doing(f"Writing to repo {repo.path}"), ExitStack() as held:
            held.enter_context(lock_repo(repo, exclusive=False))
            self._space = Space(repo.config, repo.fd)
            expiry = repo.config.find_int("core", "tmp-expiry-secs", EXPIRY)
            self._staging = Staging(repo.path, repo.fd, repo.boot_id, expiry)
            self._fd = self._staging.fd
            # What was taken, given back in reverse at the end.
            self._held = held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._held:
            # On a full disk what is kept would stand in everyone's way.
            self._staging.close(keep=self._resumable and error is not None and not isinstance(error, NoSpace))

    @property
    def threads(self) -> bool:
        """Whether its workers are threads."""
        return self.repo.options.threads

    def has(self, name: ObjectName) -> bool:
        """Also where a parent of the repo has it."""
        return name in self.added or self.repo.has(name) or self._take(name)

    def _has_own(self, name: ObjectName) -> bool:
        return name in self.added or self.repo.has_own(name) or self._take(name)

    def _take(self, name: ObjectName) -> bool:
        """Take over the object from a transaction that did not come to its end, where it left it whole."""
        if name.type not in CHECKED or not self._staging.has_left(left := self.repo.object_path(name)):
            return False
        if not self._staging.take(left, path := self._staging_path(name)):
            return False
        try:
            if name.type == ObjectType.FILE:
                with self.repo.layout.read(path, self._fd, exact=True) as stored:
                    found = content_checksum(stored.header, stored.content)
            else:
                found = checksum_of(reading.read(path, self._fd, MAX_METADATA_SIZE))
        except (Error, OSError):
            found = None
        if found != name.checksum:
            self._staging.drop(path)
            return False
        self.added.add(name)
        return True

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
        """In a worker: what it added since the last time, for `take_over`. A thread has added it here already."""
        if os.getpid() == self._pid:
            return Handed(0, [], [])
        new = [name.checksum for name in self.added if name.type == ObjectType.FILE]
        handed = Handed(self._files.pop(os.getpid(), 0), new, list(self._adopted))
        self.added.clear()
        self._adopted.clear()
        return handed

    def take_over(self, handed: Handed, unchanged: int = 0) -> None:
        """What a worker handed over; `unchanged` file objects count besides, which it found here as they shall be."""
        with self._counting:
            self._files[self._pid] += handed.files + unchanged
        self.added.update(ObjectName(checksum, ObjectType.FILE) for checksum in handed.new)
        self._adopted.update(handed.adopted)

    def counts(self) -> Counts:
        """Of what was added so far."""
        new = frozenset(name.checksum for name in self.added if name.type == ObjectType.FILE)
        return Counts(self._metadata, len(self.added) - len(new), self._files[self._pid], new)

    # Objects that were added, or were there before

    def look_at_file(self, checksum: Checksum) -> tuple[FileHeader, int]:
        """Of a file object the header, perhaps without extended attributes, and the size of the content."""
        name = ObjectName(checksum, ObjectType.FILE)
        if name not in self.added:
            return self.repo.look_at_file(checksum)
        return self.repo.layout.look(self._staging_path(name), self._fd)

    def open_file(self, checksum: Checksum) -> StoredFile:
        """A file object, which whoever calls closes. Raises NotFound, Corrupt."""
        name = ObjectName(checksum, ObjectType.FILE)
        if name not in self.added:
            return self.repo.open_file(checksum)
        return self.repo.layout.read(self._staging_path(name), self._fd)

    def stored_size(self, name: ObjectName) -> int:
        """Bytes of the object as it lies on disk."""
        if name not in self.added:
            return self.repo.stored_size(name)
        return os.stat(self._staging_path(name), dir_fd=self._fd, follow_symlinks=False).st_size

    def load(self, name: ObjectName) -> bytes:
        """A metadata object as it is on disk. Raises NotFound, Corrupt."""
        if name not in self.added:
            return self.repo.load(name)
        return reading.read(self._staging_path(name), self._fd, MAX_METADATA_SIZE)

    def load_dirtree(self, checksum: Checksum) -> DirTree:
        name = ObjectName(checksum, ObjectType.DIR_TREE)
        return decode_dirtree(self.load(name)) if name in self.added else self.repo.load_dirtree(checksum)

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

    def set_partial(self, commit: Checksum, partial: bool, *, damaged: bool = False) -> None:
        """Note at commit whether objects that this commit reaches may be missing here, and whether fsck found so."""
        self._pending.set_partial(commit, partial, damaged)

    def set_ref(self, remote: str | None, ref: str, checksum: Checksum | None, *, expected: Expected = ...) -> None:
        """Point the ref there, or remove it, at commit; where it then is not at `expected`, if given, that fails.

        Raises Invalid for a name that is none, or that of a branch made here which looks like a checksum.
        """
        if remote is None and checksum is not None and is_checksum(ref):
            raise Invalid(f"Rev name '{ref}' looks like a checksum, and could not be told from it")
        self._pending.set_ref(remote, ref, checksum, expected)

    def remove_stray(self, path: str) -> None:
        """Remove at commit what lies among the refs and cannot be one; `path` is one of `Repo.stray_refs`."""
        self._pending.remove_stray(path)

    def set_collection_ref(
        self, collection: str, ref: str, checksum: Checksum | None, *, expected: Expected = ...
    ) -> None:
        """The same for a branch of a collection: of this repo, where the collection is its own, else a mirror's."""
        if collection == self.repo.collection_id:
            self.set_ref(None, ref, checksum, expected=expected)
        else:
            self._pending.set_mirrored(collection, ref, checksum, expected)

    def set_alias(self, alias: str, ref: str) -> None:
        """Make the branch `alias` mean the branch `ref`, at commit. Raises Invalid for a name that is none."""
        self._pending.set_alias(alias, ref)

    def start_writing(self) -> None:
        """Let the disk take what was added, while more is. Called when most is there; no worker is to start after."""
        if self.repo.fsync and self._early_sync is None:
            self._early_sync = EarlySync(self._fd)

    def commit(self) -> None:
        """Called once, at the end. All is durable when it returns, where core.fsync is on.

        Raises Moved, and Invalid where a ref cannot have its name; then nothing is placed, and no ref changed.
        """
        repo = self.repo
        if repo.options.before_commit is not None:
            resumable, self._resumable = self._resumable, True
            repo.options.before_commit()
            self._resumable = resumable
        with doing(f"Writing to repo {repo.path}"):
            self._pending.check(repo)
            if self.added and repo.fsync:
                with doing(f"Repo {repo.path}: syncfs"):
                    if self._early_sync is not None:
                        self._early_sync.wait()
                    writing.sync_file_system(self._fd)
            with lock_changes(repo):
                # Now they stay as they are. What has waited for the disk is more than what follows.
                self._pending.check(repo)
                self._pending.mark_partial(repo)
                self._set_times()
                self._place()
                self._pending.set_all(repo)
            if self._pending.changes_refs and repo.config.find_bool("core", "auto-update-summary", False):
                # What cannot be read is told by who looks at refs; these are set.
                write_summary(repo, pass_over=lambda error: None)
        self.added.clear()
        self._adopted.clear()
        self._pending = Pending()

    def _set_times(self) -> None:
        """Of files that were given away. Raises Busy where one was written to."""
        adopted = {ObjectName(checksum, ObjectType.FILE) for checksum, *_ in self._adopted}
        for name in adopted:
            found = os.stat(self._staging_path(name), dir_fd=self._fd, follow_symlinks=False)
            # Of several equal files it is one, or a copy of one, which nobody else has.
            if found.st_nlink > 1 and (name.checksum, *state_of(found)) not in self._adopted:
                raise Busy(f"A file that was given away was changed after it was read as {name}; nothing was committed")
        for name in adopted:
            writing.set_mtime(self._staging_path(name), 0, self._fd)

    def _place(self) -> None:
        repo = self.repo
        # A commit is looked at as a promise that what it reaches is there, so it comes last.
        commits = {name for name in self.added if name.type == ObjectType.COMMIT}
        for names in self.added - commits, commits:
            self._staging.place(map(repo.object_path, names), repo.objects_fd, durable=repo.fsync)
        for name in commits:
            # What is here again was not deleted for good.
            with suppress(FileNotFoundError):
                writing.remove(repo.object_path(name._replace(type=ObjectType.TOMBSTONE_COMMIT)), repo.objects_fd)

    def _add(self, source: Source, expected: Checksum | None = None) -> Checksum:
        """The one door for file objects. A pull has asked whether what it expects is there, others have not."""
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

    def _add_named(self, source: Source, name: ObjectName) -> None:
        self._check_space(source)
        if self._write(name, lambda path: source.write(self.repo.layout, path, self._fd)):
            self._start_writing(self._staging_path(name), source.room)

    def _add_temporary(self, source: Source, expected: Checksum | None) -> Checksum:
        """The checksum is known when all is written, and only then the name."""
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
                    self._adopted.add((name.checksum, *source.state))
        return name.checksum

    def _check_space(self, source: Source) -> None:
        """Raises NoSpace. What is shared takes none."""
        if source.room:
            self._space.check(source.room)

    def _check_plain(self, checksum: Checksum | None, source: Source) -> None:
        """Raises Invalid for a file that a bare-user-only repo cannot have, where only others are wanted."""
        if self._plain_files:
            try:
                check_mode(source.header)
            except Invalid as error:
                raise Invalid(f"Content object {checksum}: {error}" if checksum else str(error)) from None

    def _compare(self, found: Checksum, expected: Checksum | None) -> None:
        if expected is not None and found != expected:
            raise differing(ObjectName(expected, ObjectType.FILE), found)

    def _write(self, name: ObjectName, write: Callable[[str], None]) -> bool:
        """Have an object whose checksum is known written to its place; False where another worker is doing so.

        Raises OSError.
        """
        path = self._staging_path(name)
        try:
            write(path)
        except FileExistsError:
            return False
        except BaseException:
            with suppress(FileNotFoundError):
                writing.remove(path, self._fd)
            raise
        self.added.add(name)
        return True

    def _start_writing(self, path: str, size: int) -> None:
        if size >= LARGE and self.repo.fsync:
            writing.start_writing(path, self._fd)

    def _stage(self, temporary: str, name: ObjectName) -> None:
        writing.rename(temporary, self._fd, self._staging_path(name), self._fd)
        self.added.add(name)

    def _staging_path(self, name: ObjectName) -> str:
        return self._staging.path(self.repo.object_path(name))
