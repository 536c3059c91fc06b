"""Deleting from a repo, alone: the repo's lock is held exclusive, so nobody adds what is just found unneeded."""

import os
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from larix.formats.checksum import Checksum
from larix.formats.objects import Metadata, ObjectName, ObjectType
from larix.gvariant import Variant, encode
from larix.linux import trees, writing
from larix.linux.failures import doing
from larix.repo import partial
from larix.repo.locking import lock_repo
from larix.repo.repo import Repo
from larix.repo.staging import temporary_path

# Where what was damaged is kept for whoever wants to look at it; the place the format leaves to programs.
ASIDE = "extensions/larix/damaged"


class Exclusive:
    """Used in a `with`."""

    def __init__(self, repo: Repo) -> None:
        """Raises Busy where another process adds or deletes for longer than the config lets us wait; Unsupported."""
        repo.check_writable()
        self.repo = repo
        self._lock = lock_repo(repo, exclusive=True)
        # Commits whose marks outlive them.
        self._marked: set[Checksum] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.close()

    def mark_damaged(self, commits: Iterable[Checksum]) -> None:
        """Note, on the disk, that objects of these commits are missing. Comes before they are taken out of the repo."""
        self._marked.update(commits)
        with doing(f"Marking commits of repo {self.repo.path}"):
            partial.mark(self.repo, dict.fromkeys(self._marked, True))

    def delete(self, names: Iterable[ObjectName]) -> None:
        """Delete objects; a commit's detached metadata goes with it, and a tombstone comes where the config wants it.

        Commits go first, for good, since one that is there promises what it reaches. What lies in a parent of the repo
        stays.
        """
        names = [*filter(self.repo.has_own, names)]
        commits = [name for name in names if name.type == ObjectType.COMMIT]
        with doing(f"Deleting from repo {self.repo.path}"):
            for commit in commits:
                self._delete_commit(commit)
            # Else a power cut could bring a commit back whose files are gone.
            if self.repo.fsync:
                for prefix in {name.checksum[:2] for name in commits}:
                    writing.sync_directory(prefix, self.repo.objects_fd)
            # Not before: a commit that is back after a power cut must not be taken for whole.
            partial.unmark(self.repo, {name.checksum for name in commits} - self._marked)
            for name in names:
                if name.type != ObjectType.COMMIT:
                    self._remove(self.repo.object_path(name))

    def _remove(self, path: str) -> None:
        try:
            writing.remove(path, self.repo.objects_fd)
        except IsADirectoryError:
            # Where no object can be.
            trees.remove_tree(path, self.repo.objects_fd)

    def move_aside(self, names: Iterable[ObjectName]) -> dict[ObjectName, tuple[str, int]]:
        """Take objects out of the repo, but keep them: where each is now, below the repo's directory, and how many
        hard links to it are elsewhere. One that lies in a parent of the repo stays."""
        found = {}
        with doing(f"Moving damaged objects of repo {self.repo.path}"):
            writing.make_parents(f"{ASIDE}/", self.repo.fd)
            for name in filter(self.repo.has_own, names):
                path = f"{ASIDE}/{name}"
                links = os.stat(
                    self.repo.object_path(name), dir_fd=self.repo.objects_fd, follow_symlinks=False
                ).st_nlink
                writing.rename(self.repo.object_path(name), self.repo.objects_fd, path, self.repo.fd)
                found[name] = path, links - 1
            if self.repo.fsync and found:
                writing.sync_file_system(self.repo.fd)
        return found

    def add_tombstone(self, commit: Checksum) -> None:
        """Let clients know that this commit, which is not here, was deleted."""
        with doing(f"Writing to repo {self.repo.path}"):
            if writing.make_directory(commit[:2], self.repo.objects_fd) and self.repo.fsync:
                writing.sync(self.repo.objects_fd)
            path = f"objects/{self.repo.object_path(ObjectName(commit, ObjectType.TOMBSTONE_COMMIT))}"
            writing.replace(path, _tombstone(commit), self.repo.fd, durable=self.repo.fsync, temporary=temporary_path())

    def _delete_commit(self, name: ObjectName) -> None:
        repo = self.repo
        if repo.config.find_bool("core", "tombstone-commits", False):
            self.add_tombstone(name.checksum)
        self._remove(repo.object_path(name))
        with suppress(FileNotFoundError):
            writing.remove(repo.object_path(ObjectName(name.checksum, ObjectType.COMMIT_META)), repo.objects_fd)


def _tombstone(commit: Checksum) -> bytes:
    # A byte string, with the NUL at its end.
    return encode("a{sv}", Metadata({"commit": Variant("ay", commit.encode() + b"\0")}).pairs)
