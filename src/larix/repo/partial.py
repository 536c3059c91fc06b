"""Marks of commits of which objects may be missing: `state/CHECKSUM.commitpartial`, empty, or `f` where fsck saw it."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.linux import reading, writing
from larix.repo.repo import MAX_CONFIG_SIZE, Repo
from larix.repo.staging import temporary_path

DAMAGED = b"f"


def is_partial(repo: Repo, commit: Checksum) -> bool:
    """Return whether it is marked, here or where it lies, as one of which objects may be missing."""
    return _mark(repo, commit) is not None


def is_damaged(repo: Repo, commit: Checksum) -> bool:
    """Return whether it is partial because fsck found that objects are missing, or deleted them."""
    return _mark(repo, commit) == DAMAGED


def has_whole(repo: Repo, commit: Checksum) -> bool:
    """Return whether the commit is here and promises that all which it reaches is here.

    A repo with a parent promises nothing: what is deleted from the parent may be needed by commits of its child.
    """
    name = ObjectName(commit, ObjectType.COMMIT)
    holder = repo.holder(name)
    return holder.parent is None and holder.has_own(name) and not is_partial(repo, commit)


def _mark(repo: Repo, commit: Checksum) -> bytes | None:
    """Return what the mark in this repo holds, or that of the parent where the commit lies only there."""
    try:
        return reading.read(_path(commit), repo.fd, MAX_CONFIG_SIZE)
    except FileNotFoundError:
        if repo.parent is None or repo.has_own(ObjectName(commit, ObjectType.COMMIT)):
            return None
    return _mark(repo.parent, commit)


def _path(commit: Checksum) -> str:
    return f"state/{commit}.commitpartial"


def mark(repo: Repo, commits: Mapping[Checksum, bool]) -> None:
    """Mark commits, each with whether it was found damaged. All are on the disk when this returns. Raises OSError."""
    alone = len(commits) == 1
    for commit, damaged in commits.items():
        content = DAMAGED if damaged else b""
        durable = repo.fsync and alone
        writing.replace(_path(commit), content, repo.fd, durable=durable, temporary=temporary_path())
    if repo.fsync and not alone and commits:
        writing.sync_file_system(repo.fd)


def unmark(repo: Repo, commits: Collection[Checksum]) -> None:
    """Take the marks from commits that are whole, or gone. Raises OSError."""
    found = False
    for commit in commits:
        with suppress(FileNotFoundError):
            writing.remove(_path(commit), repo.fd)
            found = True
    if found and repo.fsync:
        writing.sync_directory("state", repo.fd)
