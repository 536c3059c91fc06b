"""Refs, aliases and marks of partial commits that a transaction sets when its objects are in their places."""

from larix.formats.checksum import Checksum
from larix.repo import partial
from larix.repo.ref_changes import Expected, RefChanges
from larix.repo.refs import mirror_path, ref_path
from larix.repo.repo import Repo


class Pending:
    def __init__(self) -> None:
        self._refs = RefChanges()
        # Commit -> whether it is damaged; None: it is whole.
        self._partial: dict[Checksum, bool | None] = {}

    def set_partial(self, commit: Checksum, partial: bool, damaged: bool) -> None:
        self._partial[commit] = damaged if partial else None

    def set_ref(self, remote: str | None, ref: str, checksum: Checksum | None, expected: Expected) -> None:
        self._refs.set(ref_path(remote, ref), checksum, expected)

    def remove_stray(self, path: str) -> None:
        self._refs.set(path, None, ...)

    def set_mirrored(self, collection: str, ref: str, checksum: Checksum | None, expected: Expected) -> None:
        self._refs.set(mirror_path(collection, ref), checksum, expected)

    def set_alias(self, alias: str, ref: str) -> None:
        self._refs.set_alias(alias, ref)

    @property
    def changes_refs(self) -> bool:
        return bool(self._refs)

    def check(self, repo: Repo) -> None:
        """Raises Invalid, NotFound, Moved, where not all refs can be set."""
        self._refs.check(repo.fd)

    def mark_partial(self, repo: Repo) -> None:
        """Before any object is in its place, so that no commit is taken for whole too early."""
        partial.mark(repo, {commit: mark for commit, mark in self._partial.items() if mark is not None})

    def set_all(self, repo: Repo) -> None:
        self._refs.make(repo.fd, durable=repo.fsync)
        partial.unmark(repo, [commit for commit, mark in self._partial.items() if mark is None])
