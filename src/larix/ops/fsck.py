"""Looking whether a repo is whole: every object that a commit reaches is there and has its checksum."""

from collections.abc import Iterator
from dataclasses import dataclass

from larix.errors import Corrupt, Error, NotFound
from larix.formats.checksum import Checksum
from larix.formats.content import content_checksum
from larix.formats.objects import Commit, DirMeta, DirTree, ObjectName, ObjectType
from larix.ops.walk import MAX_DEPTH
from larix.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and the commits that need it."""

    name: ObjectName
    problem: str
    commits: tuple[Checksum, ...]


def check_refs(repo: Repo) -> int:
    """The number of refs. Raises Error for the first one whose commit is not there."""
    found = repo.refs()
    for (remote, ref), checksum in found.items():
        try:
            repo.load_commit(checksum)
        except Error as error:
            name = ref if remote is None else f"{remote}:{ref}"
            raise type(error)(f"Loading commit for ref {name}: {error}") from None
    return len(found)


def list_commits(repo: Repo) -> list[Checksum]:
    return sorted(name.checksum for name in repo.objects() if name.type == ObjectType.COMMIT)


def reach(repo: Repo, commits: list[Checksum]) -> dict[ObjectName, list[Checksum]]:
    """Every object -> the commits that need it. What cannot be read is named, and not looked into."""
    needed: dict[ObjectName, list[Checksum]] = {}
    inside: dict[ObjectName, list[ObjectName]] = {}
    for commit in commits:
        seen = set()
        stack = [(ObjectName(commit, ObjectType.COMMIT), 0)]
        while stack:
            name, depth = stack.pop()
            if name in seen or depth > MAX_DEPTH:
                continue
            seen.add(name)
            needed.setdefault(name, []).append(commit)
            if name not in inside:
                inside[name] = list(_inside(repo, name))
            stack += [(below, depth + 1) for below in inside[name]]
    return needed


def _inside(repo: Repo, name: ObjectName) -> Iterator[ObjectName]:
    try:
        value = _load(repo, name)
    except (Corrupt, NotFound):
        # It is found again, and reported, when it is checked.
        return
    if isinstance(value, Commit):
        yield ObjectName(value.dirtree, ObjectType.DIR_TREE)
        yield ObjectName(value.dirmeta, ObjectType.DIR_META)
    elif isinstance(value, DirTree):
        for file in value.files.values():
            yield ObjectName(file, ObjectType.FILE)
        for dirtree, dirmeta in value.dirs.values():
            yield ObjectName(dirtree, ObjectType.DIR_TREE)
            yield ObjectName(dirmeta, ObjectType.DIR_META)


def _load(repo: Repo, name: ObjectName) -> Commit | DirTree | DirMeta | None:
    if name.type == ObjectType.COMMIT:
        return repo.load_commit(name.checksum)
    if name.type == ObjectType.DIR_TREE:
        return repo.load_dirtree(name.checksum)
    if name.type == ObjectType.DIR_META:
        return repo.load_dirmeta(name.checksum)
    return None


def check(repo: Repo, needed: dict[ObjectName, list[Checksum]]) -> Iterator[Finding]:
    """What is wrong with these objects."""
    for name, commits in needed.items():
        try:
            if name.type == ObjectType.FILE:
                check_file(repo, name.checksum)
            else:
                _load(repo, name)
        except (Corrupt, NotFound) as error:
            yield Finding(name, str(error), tuple(commits))


def check_file(repo: Repo, checksum: Checksum) -> None:
    """Raises Corrupt, NotFound."""
    with repo.open_file(checksum) as stored:
        actual = content_checksum(stored.header, stored.content)
    if actual != checksum:
        raise Corrupt(f"Corrupted file object; checksum expected='{checksum}' actual='{actual}'")
