"""What commits reach: their history, and every object of their trees."""

from collections.abc import Callable, Iterable, Iterator, Set

from larix.errors import Corrupt, Error, Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.formats.objects import Commit, DirMeta, DirTree, ObjectName, ObjectType
from larix.ops.walk import MAX_DEPTH
from larix.repo.repo import Repo

# Is told of each object that could not be looked into; it may raise.
Failed = Callable[[ObjectName, Error], None]


def history(repo: Repo, commit: Checksum, depth: int = -1) -> Iterator[Checksum]:
    """The commit and up to `depth` of those before it, all where it is negative; ends where one is not here."""
    following: Checksum | None = commit
    while following is not None and repo.has(ObjectName(following, ObjectType.COMMIT)):
        yield following
        if depth == 0:
            return
        depth -= 1
        following = repo.load_commit(following).parent


def reach(
    repo: Repo, commits: Iterable[Checksum], failed: Failed, known: Set[ObjectName] = frozenset()
) -> Iterator[ObjectName]:
    """Every object that the trees of these commits need, once, the commits too; metadata is read and compared.

    Without what is `known` already, and what that needs.
    """
    seen = set(known)
    for commit in commits:
        stack = [(ObjectName(commit, ObjectType.COMMIT), 0)]
        while stack:
            name, depth = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            yield name
            if name.type == ObjectType.FILE:
                continue
            try:
                if depth > MAX_DEPTH:
                    raise Invalid(f"nested more than {MAX_DEPTH} directories")
                stack += [(below, depth + 1) for below in _inside(_load(repo, name))]
            except (Corrupt, Invalid, NotFound) as error:
                failed(name, error)


def _load(repo: Repo, name: ObjectName) -> Commit | DirTree | DirMeta:
    if name.type == ObjectType.COMMIT:
        return repo.load_commit(name.checksum)
    if name.type == ObjectType.DIR_TREE:
        return repo.load_dirtree(name.checksum)
    return repo.load_dirmeta(name.checksum)


def _inside(value: Commit | DirTree | DirMeta) -> Iterator[ObjectName]:
    if isinstance(value, Commit):
        yield ObjectName(value.dirtree, ObjectType.DIR_TREE)
        yield ObjectName(value.dirmeta, ObjectType.DIR_META)
    elif isinstance(value, DirTree):
        for file in value.files.values():
            yield ObjectName(file, ObjectType.FILE)
        for dirtree, dirmeta in value.dirs.values():
            yield ObjectName(dirtree, ObjectType.DIR_TREE)
            yield ObjectName(dirmeta, ObjectType.DIR_META)
