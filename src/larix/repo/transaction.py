"""Adding to a repo, all or nothing.

New objects wait in a staging directory, and the repo's lock is held shared meanwhile. `commit` makes everything
durable, moves the objects to their places and then sets the refs: after a power cut at any instant a ref names a
whole commit. Objects are content-addressed, so some of them in place without a ref do no harm.
"""

from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from larix.errors import Invalid, NoSpace
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.objects import ObjectType
from larix.linux import writing
from larix.linux.failures import doing
from larix.repo.incoming import Incoming
from larix.repo.locking import lock_changes, lock_repo
from larix.repo.pending import Pending
from larix.repo.ref_changes import Expected
from larix.repo.repo import Repo
from larix.repo.space import Space
from larix.repo.staging import EXPIRY, Staging
from larix.repo.summary import write_summary


class Transaction(Incoming):
    """Used in a `with`; what was not committed at its end is dropped.

    One that is `resumable` keeps its objects for the next transaction when it fails, as every one does when it is
    killed: what was fetched is not fetched again.

    File objects may be added by several threads, and by forked processes that hand over what they added.
    """

    def __init__(self, repo: Repo, *, resumable: bool = False, plain_files: bool = False) -> None:
        """Begin; with `plain_files` only those are taken that a bare-user-only repo could have.

        Raises Busy where another process deletes from the repo for longer than its config lets us wait.
        """
        with doing(f"Writing to repo {repo.path}"), ExitStack() as held:
            held.enter_context(lock_repo(repo, exclusive=False))
            space = Space(repo.config, repo.fd)
            expiry = repo.config.find_int("core", "tmp-expiry-secs", EXPIRY)
            super().__init__(repo, Staging(repo.path, repo.fd, repo.boot_id, expiry), space, plain_files=plain_files)
            # What was taken, given back in reverse at the end.
            self._held = held.pop_all()
        self._resumable = resumable
        self._pending = Pending()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._held:
            # On a full disk what is kept would stand in everyone's way.
            self._staging.close(keep=self._resumable and error is not None and not isinstance(error, NoSpace))

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
        """Remove at commit what lies among the refs and cannot be one; `path` is one of `Refs.strays`."""
        self._pending.remove_stray(path)

    def set_collection_ref(
        self, collection: str, ref: str, checksum: Checksum | None, *, expected: Expected = ...
    ) -> None:
        """Point the branch of a collection there, as `set_ref`: of this repo, where the collection is its own, else a
        mirror's."""
        if collection == self.repo.collection_id:
            self.set_ref(None, ref, checksum, expected=expected)
        else:
            self._pending.set_mirrored(collection, ref, checksum, expected)

    def set_alias(self, alias: str, ref: str) -> None:
        """Make the branch `alias` mean the branch `ref`, at commit. Raises Invalid for a name that is none."""
        self._pending.set_alias(alias, ref)

    def commit(self) -> None:
        """Called once, at the end. All is durable when it returns, where core.fsync is on.

        Raises Moved, and Invalid where a ref cannot have its name; then nothing is placed, and no ref changed.
        """
        repo = self.repo
        if repo.options.before_commit is not None:
            # What it raises is as good as a kill: what was written is kept.
            resumable, self._resumable = self._resumable, True
            repo.options.before_commit()
            self._resumable = resumable
        with doing(f"Writing to repo {repo.path}"):
            self._pending.check(repo)
            if self.added and repo.fsync:
                with doing(f"Repo {repo.path}: syncfs"):
                    self._wait_for_writing()
                    writing.sync_file_system(self._fd)
            # Shared with nobody who changes refs, and for as short as can be: the syncs above are the long part.
            with lock_changes(repo):
                # Now they stay as they are. What has waited for the disk is more than what follows.
                self._pending.check(repo)
                # Before its commit is there, which without the mark would promise all that it reaches.
                self._pending.mark_partial(repo)
                self._settle()
                self._place()
                # Last, when what they name is there and on the disk.
                self._pending.set_all(repo)
            if self._pending.changes_refs and repo.config.find_bool("core", "auto-update-summary", False):
                # What cannot be read is told by who looks at refs; these are set.
                write_summary(repo, pass_over=lambda error: None)
        self.added.clear()
        self._adopted.clear()
        self._pending = Pending()

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
