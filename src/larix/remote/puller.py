"""What a pull does: commits, and all that they reach, come from a source into a transaction.

Metadata is fetched and taken apart here, which says what is needed next; file objects are fetched, checked and written
by workers.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import larix.gvariant as gvariant
from larix.errors import Corrupt, Invalid, NotFound
from larix.formats import objects
from larix.formats.checksum import Checksum
from larix.formats.objects import Commit, ObjectName, ObjectType
from larix.linux.workers import start_workers
from larix.ops.commit.bindings import check_bindings
from larix.ops.tree.walk import deeper
from larix.progress import Progress
from larix.remote.source import Pulled, Source
from larix.repo.incoming import Handed
from larix.repo.object_errors import differing
from larix.repo.partial import has_whole, is_partial
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction

# File objects that one worker is given at once.
BATCH = 128

Paths = frozenset[tuple[str, ...]]
WHOLE_TREE: Paths = frozenset({()})


@dataclass(frozen=True, slots=True)
class PullOptions:
    """`depth` is how many parents of each commit come too, -1 for all. `check_bindings` compares the refs that a
    commit says it was made for, and its collection with `collection`, where one is given; `check_timestamps` refuses a
    commit older than what its ref has here, and `newer_than` one older than a commit that is here. `plain_files`
    refuses files that a bare-user-only repo cannot have. `subpaths` are the parts of each tree to bring, as the names
    on the way there; where they are not the whole tree, the commits stay partial."""

    depth: int = 0
    commits_only: bool = False
    check_bindings: bool = True
    check_timestamps: bool = False
    plain_files: bool = False
    subpaths: Paths = WHOLE_TREE
    newer_than: Checksum | None = None
    collection: str | None = None


def check_age(repo: Repo, commit: Checksum, oldest: Checksum) -> None:
    """Raises TooOld where a commit has an older timestamp than another; both are here."""
    ages = [repo.load_commit(checksum).timestamp for checksum in (commit, oldest)]
    if ages[0] < ages[1]:
        raise _too_old(commit, ages[0], str(oldest), ages[1])


class TooOld(Invalid):
    """A commit is older than it may be."""


def _too_old(commit: Checksum, timestamp: int, other: str, oldest: int) -> TooOld:
    return TooOld(f"Upgrade target {commit} (timestamp {timestamp}) is chronologically older than {other} ({oldest})")


class Asked(NamedTuple):
    """For what a commit is wanted: a ref, the collection that it must be made for, how old it may be."""

    ref: str
    collection: str | None
    oldest: int


class Puller:
    """Brings what commits reach into a transaction; whoever has begun that ends it."""

    def __init__(self, source: Source, transaction: Transaction, options: PullOptions, progress: Progress) -> None:
        self._source = source
        self._transaction = transaction
        self._repo = transaction.repo
        self._options = options
        self._progress = progress
        self._oldest: int | None = None
        if options.newer_than is not None:
            self._oldest = transaction.repo.load_commit(options.newer_than).timestamp
        self._pulled = Pulled()
        self._asked: dict[Checksum, list[Asked]] = {}
        # Commit -> how many of its parents are wanted.
        self._depths: dict[Checksum, int] = {}
        self._parents: dict[Checksum, Checksum | None] = {}
        self._wanted: set[ObjectName] = set()
        # Directory -> how deep it lies.
        self._levels: dict[Checksum, int] = {}
        # Directory -> what is wanted below it; and those that were looked into.
        self._paths: dict[Checksum, Paths] = {}
        self._entered: set[Checksum] = set()
        # Objects that are here already and were not looked into yet.
        self._here: deque[ObjectName] = deque()
        self._files: deque[Checksum] = deque()
        self._workers = start_workers(self._bring, self._take_over, threads=self._repo.options.threads)

    def run(self, commits: Mapping[Checksum, list[Asked]]) -> Pulled:
        self._asked = dict(commits)
        self._progress.start("Fetching" if self._source.remote else "Importing")
        with self._workers:
            for commit in commits:
                self._want_commit(commit, self._options.depth)
            self._look_here()
            for name, data in self._source.arrivals():
                if data is None:
                    self._missing(name)
                else:
                    self._take_metadata(name, data)
                self._look_here()
                # Not to wait for a worker, while what was requested here arrives.
                while len(self._files) >= BATCH and self._workers.is_free():
                    self._workers.submit(self._next_batch())
            self._progress.all_known()
            while self._files:
                self._workers.submit(self._next_batch())
        self._pulled.transferred += self._source.transferred
        self._pulled.metadata_near += self._source.near
        self._pulled.over_network = self._source.remote
        return self._pulled

    def _next_batch(self) -> list[Checksum]:
        return [self._files.popleft() for _ in range(min(BATCH, len(self._files)))]

    def _bring(self, checksums: list[Checksum]) -> tuple[Pulled, Handed]:
        """Bring files, in a worker."""
        return self._source.bring(checksums, self._transaction), self._transaction.hand_over()

    def _take_over(self, brought: tuple[Pulled, Handed]) -> None:
        pulled, handed = brought
        self._pulled.add(pulled)
        self._progress.advance(pulled.content, pulled.content_size)
        self._transaction.take_over(handed)

    def _missing(self, name: ObjectName) -> None:
        # History may end anywhere, and most commits have no detached metadata.
        is_parent = name.type == ObjectType.COMMIT and name.checksum not in self._asked
        if name.type != ObjectType.COMMIT_META and not is_parent:
            raise NotFound(f"Object {name} is missing: no {self._source.locate(name)}")
        if is_parent:
            self._progress.advance(1)

    def _want(self, name: ObjectName) -> None:
        if name in self._wanted:
            return
        self._wanted.add(name)
        if not self._transaction.has(name):
            self._progress.expect(1)
            if name.type == ObjectType.FILE:
                self._files.append(name.checksum)
            else:
                self._source.request(name)
        elif name.type != ObjectType.FILE:
            self._here.append(name)

    def _want_commit(self, commit: Checksum | None, depth: int) -> None:
        while commit is not None:
            before = self._depths.get(commit)
            if before is not None and (before == -1 or 0 <= depth <= before):
                return
            self._depths[commit] = depth
            if before is None:
                # It may be new also where the commit is not.
                self._source.request(ObjectName(commit, ObjectType.COMMIT_META))
                self._want(ObjectName(commit, ObjectType.COMMIT))
                return
            # Another way here leaves more to go: on along those that came already.
            commit, depth = self._parents.get(commit) if depth else None, max(depth - 1, -1)

    def _look_here(self) -> None:
        while self._here:
            name = self._here.popleft()
            self._look_into(name, self._transaction.load(name))

    def _take_metadata(self, name: ObjectName, data: bytes) -> None:
        if name.type == ObjectType.COMMIT_META:
            try:
                gvariant.decode(objects.DETACHED_TYPE, data)
            except Corrupt as error:
                raise Corrupt(f"Corrupted object {name}: {error}") from None
            self._transaction.set_detached_metadata(name.checksum, data)
        else:
            if (found := objects.checksum_of(data)) != name.checksum:
                raise differing(name, found)
            self._look_into(name, data)
            if not self._source.link(name, self._transaction):
                self._transaction.add_metadata(name.type, data)
            self._progress.advance(1)
        self._pulled.metadata += 1

    def _look_into(self, name: ObjectName, data: bytes) -> None:
        """Want what this object names."""
        try:
            if name.type == ObjectType.COMMIT:
                self._look_into_commit(name.checksum, objects.decode_commit(data))
            elif name.type == ObjectType.DIR_TREE:
                self._look_into_dirtree(name.checksum, objects.decode_dirtree(data))
            else:
                objects.decode_dirmeta(data)
        except Corrupt as error:
            raise Corrupt(f"Corrupted object {name}: {error}") from None

    def _look_into_commit(self, checksum: Checksum, commit: Commit) -> None:
        for asked in self._asked.get(checksum, []):
            self._check_commit(checksum, commit, asked)
        if self._options.commits_only or self._options.subpaths != WHOLE_TREE:
            if is_partial(self._repo, checksum) or not self._repo.has(ObjectName(checksum, ObjectType.COMMIT)):
                self._transaction.set_partial(checksum, True)
        else:
            self._transaction.set_partial(checksum, False)
        if not self._options.commits_only and not has_whole(self._repo, checksum):
            self._want_directory(commit.dirtree, commit.dirmeta, 0, self._options.subpaths)
        self._parents[checksum] = commit.parent
        if depth := self._depths[checksum]:
            self._want_commit(commit.parent, max(depth - 1, -1))

    def _check_commit(self, checksum: Checksum, commit: Commit, asked: Asked) -> None:
        if self._options.check_bindings:
            check_bindings(checksum, commit.metadata, asked.ref, asked.collection)
        if self._options.check_timestamps and commit.timestamp < asked.oldest:
            raise _too_old(checksum, commit.timestamp, f"what {asked.ref!r} has here", asked.oldest)
        if self._oldest is not None and commit.timestamp < self._oldest:
            raise _too_old(checksum, commit.timestamp, str(self._options.newer_than), self._oldest)

    def _want_directory(self, dirtree: Checksum, dirmeta: Checksum, level: int, paths: Paths) -> None:
        self._levels.setdefault(dirtree, level)
        self._want(ObjectName(dirmeta, ObjectType.DIR_META))
        known = self._paths.get(dirtree, frozenset())
        if not paths <= known:
            self._paths[dirtree] = WHOLE_TREE if () in paths else paths | known
            if dirtree in self._entered:
                # For less than what is wanted now.
                self._look_into_dirtree(dirtree, self._transaction.load_dirtree(dirtree))
        self._want(ObjectName(dirtree, ObjectType.DIR_TREE))

    def _look_into_dirtree(self, checksum: Checksum, tree: objects.DirTree) -> None:
        self._entered.add(checksum)
        paths = self._paths[checksum]
        level = deeper(self._levels[checksum], f"Directory {checksum}")
        for name, file in tree.files.items():
            if below(paths, name):
                self._want(ObjectName(file, ObjectType.FILE))
        for name, (dirtree, dirmeta) in tree.dirs.items():
            if wanted := below(paths, name):
                self._want_directory(dirtree, dirmeta, level, wanted)


def below(paths: Paths, name: str) -> Paths:
    """Return what of these paths lies at or below the entry `name`."""
    if paths == WHOLE_TREE:
        return WHOLE_TREE
    found = frozenset(path[1:] for path in paths if path[0] == name)
    return WHOLE_TREE if () in found else found
