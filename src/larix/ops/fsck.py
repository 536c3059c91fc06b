"""Looking whether a repo is whole: every object that a commit reaches is there and has its checksum."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from larix.errors import Corrupt, Error, NotFound
from larix.formats import names
from larix.formats.checksum import Checksum
from larix.formats.content import content_checksum
from larix.formats.objects import Commit, ObjectName, ObjectType
from larix.ops.bindings import check_bindings
from larix.ops.reach import reach
from larix.repo.config import set_option
from larix.repo.exclusive import Exclusive
from larix.repo.repo import Repo, differing
from larix.repo.transaction import Transaction
from larix.repo.workers import Workers

# File objects that one worker is given at once.
BATCH = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: an object is missing, or is there and is not what its name promises."""

    name: ObjectName
    problem: str
    missing: bool


def check_refs(repo: Repo, *, bindings: bool = False) -> None:
    """Raises Error for the first ref whose commit is not there, or, with `bindings`, was made for another."""
    for (remote, ref), checksum in repo.refs().items():
        commit = _load(repo, names.refspec(remote, ref), checksum)
        if bindings:
            check_bindings(checksum, commit.metadata, ref, repo.collection_id if remote is None else None)


def check_collection_refs(repo: Repo, *, bindings: bool = False) -> None:
    """The same for refs that are known by a collection."""
    for (collection, ref), checksum in repo.mirrors().items():
        commit = _load(repo, f"({collection}, {ref})", checksum)
        if bindings:
            check_bindings(checksum, commit.metadata, ref, collection)


def _load(repo: Repo, ref: str, checksum: Checksum) -> Commit:
    try:
        return repo.load_commit(checksum)
    except Error as error:
        raise type(error)(f"Loading commit for ref {ref}: {error}") from None


def list_commits(repo: Repo) -> tuple[list[Checksum], list[Checksum]]:
    """Those of which all must be there, and the partial ones, also of the repo's parents."""
    whole: set[Checksum] = set()
    partial: set[Checksum] = set()
    among: Repo | None = repo
    while among is not None:
        for name in among.objects():
            if name.type == ObjectType.COMMIT:
                (partial if among.is_partial(name.checksum) else whole).add(name.checksum)
        among = among.parent
    return sorted(whole), sorted(partial - whole)


def add_tombstones(repo: Repo, commits: Iterable[Checksum]) -> Iterator[Checksum]:
    """Add one for each parent of these commits that is not here, and from now on for each commit that is deleted."""
    wanted = {repo.load_commit(commit).parent for commit in commits} - {None}
    with Exclusive(repo) as exclusive:
        set_option(repo, "core", "tombstone-commits", "true")
        for parent in sorted(filter(None, wanted)):
            gone = not repo.has(ObjectName(parent, ObjectType.COMMIT))
            if gone and not repo.has(ObjectName(parent, ObjectType.TOMBSTONE_COMMIT)):
                exclusive.add_tombstone(parent)
                yield parent


def mark_damaged(repo: Repo, commits: Iterable[Checksum]) -> None:
    """Note that objects of these commits are missing: then no command counts on them, and a pull brings them again."""
    with Transaction(repo) as transaction:
        for commit in commits:
            transaction.set_partial(commit, True, damaged=True)
        transaction.commit()


def check(repo: Repo, commits: Iterable[Checksum]) -> Generator[Finding, None, None]:
    """What is wrong with the objects that these commits reach, in the order of finding it. Close it to stop early."""
    found: deque[Finding] = deque()

    def check_batch(batch: list[Checksum]) -> list[Finding]:
        findings = []
        for checksum in batch:
            try:
                check_file(repo, checksum)
            except (Corrupt, NotFound) as error:
                findings.append(_finding(ObjectName(checksum, ObjectType.FILE), error))
        return findings

    batch: list[Checksum] = []
    with Workers(check_batch, found.extend) as workers:
        for name in reach(repo, commits, lambda name, error: found.append(_finding(name, error))):
            if name.type == ObjectType.FILE:
                batch.append(name.checksum)
            if len(batch) == BATCH:
                workers.submit(batch)
                batch = []
            while found:
                yield found.popleft()
        if batch:
            workers.submit(batch)
    yield from found


def _finding(name: ObjectName, error: Error) -> Finding:
    return Finding(name, str(error), isinstance(error, NotFound))


def commits_with(repo: Repo, commits: Iterable[Checksum], names: set[ObjectName]) -> dict[ObjectName, list[Checksum]]:
    """Which of the commits need each of these objects."""
    needed: dict[ObjectName, list[Checksum]] = {name: [] for name in names}
    for commit in commits:
        for name in reach(repo, [commit], lambda name, error: None):
            if name in needed:
                needed[name].append(commit)
    return needed


def check_file(repo: Repo, checksum: Checksum) -> None:
    """Raises Corrupt, NotFound."""
    with repo.open_file(checksum) as stored:
        actual = content_checksum(stored.header, stored.content)
    if actual != checksum:
        raise differing(ObjectName(checksum, ObjectType.FILE), actual)
