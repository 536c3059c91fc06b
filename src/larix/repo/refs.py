"""Refs: names of commits, one small file each.

    refs/heads/REF             branches made here
    refs/remotes/REMOTE/REF    what a remote had at the last pull
    refs/mirrors/COLLECTION/REF

The file holds the checksum and a line feed. A reader sees the old or the new commit.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from larix.errors import Corrupt, Error, Invalid
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import check_ref, check_remote
from larix.linux import files

MAX_SIZE = 4096


def ref_path(remote: str | None, ref: str) -> str:
    """Path in the repo. Raises Invalid for a name that is none."""
    check_ref(ref)
    return f"refs/remotes/{check_remote(remote)}/{ref}" if remote is not None else f"refs/heads/{ref}"


def find_ref(repo_fd: int, remote: str | None, ref: str) -> Checksum | None:
    try:
        return _read_ref(repo_fd, ref_path(remote, ref), ref)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _read_ref(repo_fd: int, path: str, name: str) -> Checksum:
    checksum = files.read(path, repo_fd, MAX_SIZE).decode("ascii", "replace").rstrip("\n")
    if not is_checksum(checksum):
        raise Corrupt(f"Ref {name}: {path} does not hold a checksum")
    return Checksum(checksum)


def list_refs(repo_fd: int) -> dict[tuple[str | None, str], Checksum]:
    """(remote or None, ref) -> commit, of heads and remotes, sorted by name."""
    keys: list[tuple[str | None, str]] = [(None, path) for path in sorted(_walk(repo_fd, "refs/heads"))]
    for path in sorted(_walk(repo_fd, "refs/remotes")):
        remote, _, ref = path.partition("/")
        keys.append((remote, ref))
    return {key: checksum for key in keys if (checksum := find_ref(repo_fd, *key)) is not None}


def list_mirrors(repo_fd: int) -> list[tuple[str, Checksum]]:
    """COLLECTION/REF and its commit, of branches mirrored together with the collection they come from."""
    paths = sorted(_walk(repo_fd, "refs/mirrors"))
    return [(path, _read_ref(repo_fd, f"refs/mirrors/{path}", path)) for path in paths]


def _walk(repo_fd: int, top: str, below: str = "") -> Iterator[str]:
    try:
        fd = files.open_directory(f"{top}/{below}", repo_fd)
    except FileNotFoundError:
        return
    try:
        with os.scandir(fd) as entries:
            found = list(entries)
    finally:
        os.close(fd)
    for entry in found:
        # Temporary files begin with a dot, refs do not.
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(repo_fd, top, f"{below}{entry.name}/")
        else:
            yield below + entry.name


def write_ref(repo_fd: int, remote: str | None, ref: str, checksum: Checksum, *, durable: bool = True) -> None:
    path = ref_path(remote, ref)
    try:
        files.make_parents(path, repo_fd)
        files.replace(path, checksum.encode() + b"\n", repo_fd, durable=durable)
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        raise Invalid(f"Ref {ref} cannot stand beside another ref that is a part of its name") from None


def delete_ref(repo_fd: int, remote: str | None, ref: str) -> None:
    """Remove the ref and the directories above it that are empty then."""
    path = ref_path(remote, ref)
    try:
        files.remove(path, repo_fd)
    except (FileNotFoundError, IsADirectoryError):
        raise Error(f"Ref {ref} does not exist") from None
    parents = path.split("/")[:-1]
    with suppress(OSError):
        while len(parents) > 2:
            files.remove_directory("/".join(parents), repo_fd)
            parents.pop()
