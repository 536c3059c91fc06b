"""Adding to a repo, all or nothing.

    tmp/staging-BOOTID-XXXXXX/        new objects, laid out as below objects/
    tmp/staging-BOOTID-XXXXXX-lock    locked while the transaction lives

The repo's lock is held shared meanwhile. `commit` makes everything durable, moves the objects to their places and then
sets the refs: after a power cut at any instant a ref names a whole commit. Objects are content-addressed, so some of
them in place without a ref do no harm.
"""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.objects import ObjectName, ObjectType, checksum_of
from larix.linux import files
from larix.linux.lock import lock_file
from larix.repo import refs
from larix.repo.repo import Repo

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Transaction:
    """Used in a `with`; what was not committed at its end is dropped. For one thread."""

    def __init__(self, repo: Repo) -> None:
        """Raises Busy while another process deletes from the repo."""
        self.repo = repo
        self.added: set[ObjectName] = set()
        self._refs: dict[tuple[str | None, str], Checksum | None] = {}
        self._count = 0
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
            temporary = self._temporary()
            fd = files.create(temporary, self._fd)
            try:
                files.write_all(fd, data)
                files.set_mode(fd, 0o644)
            finally:
                os.close(fd)
            self._stage(temporary, name)
        return name.checksum

    def add_file(self, header: FileHeader, size: int, content: Iterable[bytes]) -> Checksum:
        """Add a file object with `size` bytes of content."""
        temporary = self._temporary()
        with files.doing(f"Writing an object to repo {self.repo.path}"):
            checksum = self.repo.layout.write(temporary, self._fd, header, size, content)
        name = ObjectName(checksum, ObjectType.FILE)
        if self.has(name):
            files.remove(temporary, self._fd)
        else:
            self._stage(temporary, name)
        return checksum

    def set_ref(self, remote: str | None, ref: str, checksum: Checksum | None) -> None:
        """Point the ref there, or remove it, at commit. Raises Invalid for a name that is none."""
        refs.ref_path(remote, ref)
        self._refs[remote, ref] = checksum

    def commit(self) -> None:
        """Called once, at the end. All is durable when it returns, where core.fsync is on."""
        repo = self.repo
        with files.doing(f"Writing to repo {repo.path}"):
            if self.added and repo.fsync:
                files.sync_file_system(self._fd)
            prefixes = set()
            for name in self.added:
                path = repo.object_path(name)
                if path[:2] not in prefixes:
                    files.make_directory(path[:2], repo.objects_fd)
                    prefixes.add(path[:2])
                files.rename(path, self._fd, path, repo.objects_fd)
            if self.added and repo.fsync:
                for prefix in prefixes:
                    fd = files.open_directory(prefix, repo.objects_fd)
                    try:
                        files.sync(fd)
                    finally:
                        os.close(fd)
                files.sync(repo.objects_fd)
            for (remote, ref), checksum in self._refs.items():
                if checksum is None:
                    refs.delete_ref(repo.fd, remote, ref)
                else:
                    refs.write_ref(repo.fd, remote, ref, checksum, durable=repo.fsync)
        self.added.clear()
        self._refs.clear()

    def _temporary(self) -> str:
        self._count += 1
        return f"new-{self._count}"

    def _stage(self, temporary: str, name: ObjectName) -> None:
        path = self.repo.object_path(name)
        files.make_directory(path[:2], self._fd)
        files.rename(temporary, self._fd, path, self._fd)
        self.added.add(name)
