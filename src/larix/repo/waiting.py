"""Objects that wait in staging, beside those of the repo: a transaction sees both as one."""

import os
from collections.abc import Callable
from contextlib import suppress

from larix.errors import Error
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, content_checksum
from larix.formats.objects import MAX_METADATA_SIZE, DirTree, ObjectName, ObjectType, checksum_of, decode_dirtree
from larix.linux import reading, writing
from larix.repo.layout import StoredFile
from larix.repo.repo import Repo
from larix.repo.staging import Staging

# An object of these kinds is what its checksum says, or it is damaged.
CHECKED = (ObjectType.FILE, ObjectType.DIR_TREE, ObjectType.DIR_META, ObjectType.COMMIT)


class Waiting:
    """`added` are those that wait. What is asked for is looked for among them, in the repo and its parents, and in what
    a transaction has left that did not come to its end."""

    def __init__(self, repo: Repo, staging: Staging) -> None:
        self.repo = repo
        self.added: set[ObjectName] = set()
        self._staging = staging
        self._fd = staging.fd

    def has(self, name: ObjectName) -> bool:
        """Return whether it is here, also where a parent of the repo has it."""
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

    def look_at_file(self, checksum: Checksum) -> tuple[FileHeader, int]:
        """Return the header of a file object, perhaps without extended attributes, and the size of its content in
        bytes."""
        name = ObjectName(checksum, ObjectType.FILE)
        if name not in self.added:
            return self.repo.look_at_file(checksum)
        return self.repo.layout.look(self._staging_path(name), self._fd)

    def open_file(self, checksum: Checksum) -> StoredFile:
        """Return a file object, which whoever calls closes. Raises NotFound, Corrupt."""
        name = ObjectName(checksum, ObjectType.FILE)
        if name not in self.added:
            return self.repo.open_file(checksum)
        return self.repo.layout.read(self._staging_path(name), self._fd)

    def stored_size(self, name: ObjectName) -> int:
        """Return how many bytes the object has as it lies on disk."""
        if name not in self.added:
            return self.repo.stored_size(name)
        return os.stat(self._staging_path(name), dir_fd=self._fd, follow_symlinks=False).st_size

    def load(self, name: ObjectName) -> bytes:
        """Return a metadata object as it is on disk. Raises NotFound, Corrupt."""
        if name not in self.added:
            return self.repo.load(name)
        return reading.read(self._staging_path(name), self._fd, MAX_METADATA_SIZE)

    def load_dirtree(self, checksum: Checksum) -> DirTree:
        name = ObjectName(checksum, ObjectType.DIR_TREE)
        return decode_dirtree(self.load(name)) if name in self.added else self.repo.load_dirtree(checksum)

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

    def _stage(self, temporary: str, name: ObjectName) -> None:
        writing.rename(temporary, self._fd, self._staging_path(name), self._fd)
        self.added.add(name)

    def _staging_path(self, name: ObjectName) -> str:
        return self._staging.path(self.repo.object_path(name))
