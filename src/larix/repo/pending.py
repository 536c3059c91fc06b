"""Refs, aliases and marks of partial commits that a transaction sets when its objects are in their places."""

from larix.formats.checksum import Checksum
from larix.linux import files
from larix.repo import refs
from larix.repo.repo import DAMAGED, Repo, partial_path
from larix.repo.staging import temporary_path
from larix.repo.summary import write_summary


class Pending:
    def __init__(self) -> None:
        # By their paths.
        self._refs: dict[str, Checksum | None] = {}
        self._aliases: dict[str, str] = {}
        # What the file that marks a commit as partial shall hold; None: there shall be none.
        self._partial: dict[Checksum, bytes | None] = {}

    def set_partial(self, commit: Checksum, partial: bool, damaged: bool) -> None:
        self._partial[commit] = (DAMAGED if damaged else b"") if partial else None

    def set_ref(self, remote: str | None, ref: str, checksum: Checksum | None) -> None:
        self._refs[refs.ref_path(remote, ref)] = checksum

    def set_mirrored(self, collection: str, ref: str, checksum: Checksum | None) -> None:
        self._refs[refs.mirror_path(collection, ref)] = checksum

    def set_alias(self, alias: str, ref: str) -> None:
        refs.ref_path(None, alias)
        refs.ref_path(None, ref)
        self._aliases[alias] = ref

    def mark_partial(self, repo: Repo) -> None:
        """Before any object is in its place, so that no commit is taken for whole too early."""
        for commit, mark in self._partial.items():
            if mark is not None:
                files.replace(partial_path(commit), mark, repo.fd, durable=repo.fsync, temporary=temporary_path())

    def set_all(self, repo: Repo) -> None:
        for path, checksum in self._refs.items():
            if checksum is None:
                refs.delete(repo.fd, path)
            else:
                refs.write(repo.fd, path, checksum, durable=repo.fsync)
        for alias, ref in self._aliases.items():
            refs.write_alias(repo.fd, alias, ref)
        for commit, mark in self._partial.items():
            if mark is None and repo.is_partial(commit):
                files.remove(partial_path(commit), repo.fd)
        if (self._refs or self._aliases) and repo.config.find_bool("core", "auto-update-summary", False):
            write_summary(repo)
