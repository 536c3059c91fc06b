"""Marks of commits of which objects may be missing: `state/CHECKSUM.commitpartial`, empty, or `f` where fsck saw it."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from larix.formats.checksum import Checksum
from larix.linux import writing
from larix.repo.repo import DAMAGED, Repo, partial_path
from larix.repo.staging import temporary_path


def mark(repo: Repo, commits: Mapping[Checksum, bool]) -> None:
    """Whether each was found damaged. All are on the disk when this returns. Raises OSError."""
    alone = len(commits) == 1
    for commit, damaged in commits.items():
        content = DAMAGED if damaged else b""
        durable = repo.fsync and alone
        writing.replace(partial_path(commit), content, repo.fd, durable=durable, temporary=temporary_path())
    if repo.fsync and not alone and commits:
        writing.sync_file_system(repo.fd)


def unmark(repo: Repo, commits: Collection[Checksum]) -> None:
    """They are whole, or gone. Raises OSError."""
    found = False
    for commit in commits:
        with suppress(FileNotFoundError):
            writing.remove(partial_path(commit), repo.fd)
            found = True
    if found and repo.fsync:
        writing.sync_directory("state", repo.fd)
