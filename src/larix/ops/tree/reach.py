"""What commits reach: their history, and every object of their trees."""

from collections.abc import Callable, Iterable, Iterator, Set

from larix.errors import Corrupt, Error, Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.ops.tree.walk import deeper
from larix.repo.repo import Repo

# Is told of each object that could not be looked into; it may raise.
Failed = Callable[[ObjectName, Error], None]


def history(repo: Repo, commit: Checksum, depth: int = -1) -> Iterator[Checksum]:
    """Yield the commit and up to `depth` of those before it, all where it is negative; ends where one is not here."""
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
            try:
                # Of the top directory, which a commit names, it is 0.
                inside_depth = depth
                if name.type == ObjectType.DIR_TREE:
                    inside_depth = deeper(depth, f"Directory {name.checksum}")
                inside = list_inside(repo, name)
            except (Corrupt, Invalid, NotFound) as error:
                failed(name, error)
                continue
            for below, _ in inside:
                if below in seen:
                    continue
                if below.type == ObjectType.FILE:
                    seen.add(below)
                    yield below
                else:
                    stack.append((below, inside_depth))


def list_inside(repo: Repo, name: ObjectName) -> list[tuple[ObjectName, str]]:
    """Return what a metadata object names, and as what: entries of a directory, nothing for a commit's own directory.
    It is read and compared, but for file objects.

    Raises Corrupt, NotFound.
    """
    if name.type == ObjectType.COMMIT:
        commit = repo.load_commit(name.checksum)
        return [
            (ObjectName(commit.dirtree, ObjectType.DIR_TREE), ""),
            (ObjectName(commit.dirmeta, ObjectType.DIR_META), ""),
        ]
    if name.type == ObjectType.DIR_TREE:
        tree = repo.load_dirtree(name.checksum)
        inside = [(ObjectName(file, ObjectType.FILE), entry) for entry, file in tree.files.items()]
        for entry, (dirtree, dirmeta) in tree.dirs.items():
            inside.append((ObjectName(dirtree, ObjectType.DIR_TREE), entry))
            inside.append((ObjectName(dirmeta, ObjectType.DIR_META), entry))
        return inside
    if name.type == ObjectType.DIR_META:
        repo.load_dirmeta(name.checksum)
    return []
