"""Looking whether a repo is whole: every object that a commit reaches is there and has its checksum."""

from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from larix.errors import Corrupt, Error, NotFound
from larix.formats import names
from larix.formats.checksum import Checksum
from larix.formats.content import content_checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.ops.reach import reach
from larix.repo.repo import Repo
from larix.repo.workers import Workers

# File objects that one worker is given at once.
BATCH = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    name: ObjectName
    problem: str


def check_refs(repo: Repo) -> int:
    """The number of refs. Raises Error for the first one whose commit is not there."""
    found = repo.refs()
    for (remote, ref), checksum in found.items():
        try:
            repo.load_commit(checksum)
        except Error as error:
            raise type(error)(f"Loading commit for ref {names.refspec(remote, ref)}: {error}") from None
    return len(found)


def list_commits(repo: Repo) -> list[Checksum]:
    return sorted(name.checksum for name in repo.objects() if name.type == ObjectType.COMMIT)


def check(repo: Repo, commits: Iterable[Checksum]) -> Generator[Finding, None, None]:
    """What is wrong with the objects that these commits reach, in the order of finding it. Close it to stop early."""
    found: deque[Finding] = deque()

    def check_batch(batch: list[Checksum]) -> list[Finding]:
        findings = []
        for checksum in batch:
            try:
                check_file(repo, checksum)
            except (Corrupt, NotFound) as error:
                findings.append(Finding(ObjectName(checksum, ObjectType.FILE), str(error)))
        return findings

    batch: list[Checksum] = []
    with Workers(check_batch, found.extend) as workers:
        for name in reach(repo, commits, lambda name, error: found.append(Finding(name, str(error)))):
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
        raise Corrupt(f"Corrupted file object; checksum expected='{checksum}' actual='{actual}'")
