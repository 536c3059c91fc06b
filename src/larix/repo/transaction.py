"""Adding to a repo, all or nothing.

    tmp/staging-BOOTID-XXXXXX/        new objects, laid out as below objects/
    tmp/staging-BOOTID-XXXXXX-lock    locked while the transaction lives

The repo's lock is held shared meanwhile. `commit` makes everything durable, moves the objects to their places and then
sets the refs: after a power cut at any instant a ref names a whole commit. Objects are content-addressed, so some of
them in place without a ref do no harm.
"""

import errno
import os
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from larix.errors import Corrupt
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.objects import ObjectName, ObjectType, checksum_of
from larix.linux import files
from larix.linux.lock import lock_file
from larix.repo import refs
from larix.repo.layout import Read, StoredFile
from larix.repo.repo import Repo, partial_path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Transaction:
    """Used in a `with`; what was not committed at its end is dropped. Objects may be added by several threads."""

    def __init__(self, repo: Repo) -> None:
        """Raises Busy while another process deletes from the repo."""
        self.repo = repo
        self.added: set[ObjectName] = set()
        self._refs: dict[tuple[str | None, str], Checksum | None] = {}
        self._partial: dict[Checksum, bool] = {}
        self._count = count(1)
        with files.doing(f"Writing to repo {repo.path}"), ExitStack() as held:
            held.callback(os.close, lock_file(".lock", repo.fd, exclusive=False))
            staging = f"tmp/staging-{BOOT_ID.read_text().strip()}-{os.urandom(3).hex()}"
            held.callback(os.close, lock_file(f"{staging}-lock", repo.fd, exclusive=True, mode=0o600))
            held.callback(files.remove, f"{staging}-lock", repo.fd)
            files.make_directory(staging, repo.fd, 0o775)
            held.callback(files.remove_tree, staging, repo.fd)
            self._fd = files.open_directory(staging, repo.fd)
            held.callback(os.close, self._fd)
            # What was taken, given back in reverse at the end.
            self._held = held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def has(self, name: ObjectName) -> bool:
        return name in self.added or self.repo.has(name)

    def add_metadata(self, kind: ObjectType, data: bytes) -> Checksum:
        """Add a dirtree, dirmeta or commit."""
        name = ObjectName(checksum_of(data), kind)
        if not self.has(name):
            self._add_bytes(name, data)
        return name.checksum

    def set_detached_metadata(self, commit: Checksum, data: bytes) -> None:
        """Put this a{sv} beside the commit, in place of what is there."""
        self._add_bytes(ObjectName(commit, ObjectType.COMMIT_META), data)

    def add_file(self, header: FileHeader, size: int, content: Iterable[bytes]) -> Checksum:
        """Add a file object with `size` bytes of content."""
        temporary = self._temporary()
        with files.doing(f"Writing an object to repo {self.repo.path}"):
            checksum = self.repo.layout.write(temporary, self._fd, header, size, content)
            self._add_file(temporary, checksum)
        return checksum

    def import_file(self, expected: Checksum, stored: StoredFile) -> None:
        """Add a file object of another repo. Raises Corrupt where it has another checksum."""
        temporary = self._temporary()
        with files.doing(f"Writing an object to repo {self.repo.path}"):
            checksum = self.repo.layout.write(temporary, self._fd, stored.header, stored.size, stored.content)
            self._add_file(temporary, checksum, expected)

    def receive_file(self, expected: Checksum, read: Read) -> int:
        """Add a file object that comes as a `.filez`; its size. Raises Corrupt where it has another checksum."""
        temporary = self._temporary()
        with files.doing(f"Writing an object to repo {self.repo.path}"):
            checksum, size = self.repo.layout.receive(temporary, self._fd, read)
            self._add_file(temporary, checksum, expected)
        return size

    def link_object(self, name: ObjectName, source: Repo) -> bool:
        """Share an object, already checked, of a repo of the same mode; False where the file system cannot."""
        temporary = self._temporary()
        try:
            files.link(source.object_path(name), source.objects_fd, temporary, self._fd)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EMLINK, errno.EPERM):
                return False
            raise files.explained(f"Linking object {name}", error) from error
        self._stage(temporary, name)
        return True

    def set_partial(self, commit: Checksum, partial: bool) -> None:
        """Note at commit whether objects that this commit reaches may be missing here."""
        self._partial[commit] = partial

    def set_ref(self, remote: str | None, ref: str, checksum: Checksum | None) -> None:
        """Point the ref there, or remove it, at commit. Raises Invalid for a name that is none."""
        refs.ref_path(remote, ref)
        self._refs[remote, ref] = checksum

    def commit(self) -> None:
        """Called once, at the end. All is durable when it returns, where core.fsync is on."""
        repo = self.repo
        with files.doing(f"Writing to repo {repo.path}"):
            for commit, partial in self._partial.items():
                if partial:
                    files.replace(partial_path(commit), b"", repo.fd, durable=repo.fsync)
            if self.added and repo.fsync:
                files.sync_file_system(self._fd)
            # A commit is looked at as a promise that what it reaches is there, so it comes last.
            commits = {name for name in self.added if name.type == ObjectType.COMMIT}
            self._place(self.added - commits)
            self._place(commits)
            for (remote, ref), checksum in self._refs.items():
                if checksum is None:
                    refs.delete_ref(repo.fd, remote, ref)
                else:
                    refs.write_ref(repo.fd, remote, ref, checksum, durable=repo.fsync)
            for commit, partial in self._partial.items():
                if not partial and repo.is_partial(commit):
                    files.remove(partial_path(commit), repo.fd)
        self.added.clear()
        self._refs.clear()
        self._partial.clear()

    def _place(self, names: set[ObjectName]) -> None:
        repo = self.repo
        prefixes = set()
        for name in names:
            path = repo.object_path(name)
            if path[:2] not in prefixes:
                files.make_directory(path[:2], repo.objects_fd)
                prefixes.add(path[:2])
            files.rename(path, self._fd, path, repo.objects_fd)
        if not names or not repo.fsync:
            return
        for prefix in prefixes:
            fd = files.open_directory(prefix, repo.objects_fd)
            try:
                files.sync(fd)
            finally:
                os.close(fd)
        files.sync(repo.objects_fd)

    def _add_bytes(self, name: ObjectName, data: bytes) -> None:
        temporary = self._temporary()
        with files.doing(f"Writing an object to repo {self.repo.path}"):
            fd = files.create(temporary, self._fd)
            try:
                files.write_all(fd, data)
                files.set_mode(fd, 0o644)
            finally:
                os.close(fd)
            self._stage(temporary, name)

    def _add_file(self, temporary: str, checksum: Checksum, expected: Checksum | None = None) -> None:
        name = ObjectName(checksum, ObjectType.FILE)
        if expected is not None and checksum != expected:
            raise Corrupt(f"Corrupted object {ObjectName(expected, ObjectType.FILE)}: its checksum is {checksum}")
        if self.has(name):
            files.remove(temporary, self._fd)
        else:
            self._stage(temporary, name)

    def _temporary(self) -> str:
        return f"new-{next(self._count)}"

    def _stage(self, temporary: str, name: ObjectName) -> None:
        path = self.repo.object_path(name)
        files.make_directory(path[:2], self._fd)
        files.rename(temporary, self._fd, path, self._fd)
        self.added.add(name)
