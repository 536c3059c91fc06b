"""What differs between two trees, each of which is a commit's or a directory's."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from larix.errors import Error
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, checksum_of
from larix.ops.checksum import Checksums
from larix.ops.commit.scan import ReadOptions, lay_directory
from larix.ops.tree.directory import Directory, Stored, add_tree, tree_of
from larix.ops.tree.modify import Modification, Modifier
from larix.ops.tree.reach import reach
from larix.ops.tree.tree import ObjectTree
from larix.ops.tree.walk import Descent, descend
from larix.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths. What is below a removed directory is not listed, and below a modified one only what has changed itself."""

    modified: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Numbers of objects, and the bytes that the common ones take in the repo."""

    old: int
    new: int
    common: int
    common_size: int


def commit_as_tree(repo: Repo, commit: Checksum) -> ObjectTree:
    """Return the tree of a commit. Raises NotFound, Corrupt."""
    return ObjectTree(repo, tree_of(repo, commit))


def directory_as_tree(path: str, modifier: Modifier | None = None, *, threads: bool = False) -> ObjectTree:
    """Return the tree that the directory at `path` would be. Reads all files below it, by forked processes or
    `threads`; nothing is stored.

    Raises Error for sockets and devices.
    """
    sink, top = Checksums(threads=threads), Directory()
    lay_directory(sink, top, path, ReadOptions(Modification(modifier)))
    return ObjectTree(sink, add_tree(sink, top), start="")


def diff(old: ObjectTree, new: ObjectTree) -> Changes:
    """Return what makes one tree of another. Raises NotFound, Corrupt, Invalid for trees that are nested too deep."""
    changes = Changes()
    descend(_compare(changes, old, new, (old.top, new.top), ""))
    return changes


# Of both trees, what lies at one path.
Pair = tuple[Directory | Stored, Directory | Stored]


def _compare(changes: Changes, old: ObjectTree, new: ObjectTree, pair: Pair, below: str) -> Descent[None]:
    if _is_same(pair):
        return
    before, after = old.open(pair[0]), new.open(pair[1])
    for name, file in before.files.items():
        if name not in after.files and name not in after.dirs:
            changes.removed.append(f"{old.start}{below}{name}")
        elif after.files.get(name) != file:
            changes.modified.append(f"{old.start}{below}{name}")
    for name, directory in before.dirs.items():
        if name in after.dirs:
            other = after.dirs[name]
            if _meta(directory) != _meta(other):
                changes.modified.append(f"{old.start}{below}{name}")
            inside = f"{below}{name}/"
            yield inside, _compare(changes, old, new, (directory, other), inside)
        elif name in after.files:
            changes.modified.append(f"{old.start}{below}{name}")
        else:
            changes.removed.append(f"{old.start}{below}{name}")
    yield from _add(changes, new, after, below, before.files.keys() | before.dirs.keys())


def _is_same(pair: Pair) -> bool:
    """Return whether what is inside is the same, as far as that can be seen without looking inside."""
    one, other = pair
    return isinstance(one, Stored) and isinstance(other, Stored) and one.dirtree == other.dirtree


def _meta(directory: Directory | Stored) -> object:
    if isinstance(directory, Stored):
        return directory.dirmeta
    return checksum_of(directory.meta.encode()) if directory.meta is not None else None


def _add(changes: Changes, new: ObjectTree, tree: Directory, below: str, known: Iterable[str] = ()) -> Descent[None]:
    for name in tree.files:
        if name not in known:
            changes.added.append(f"{new.start}{below}{name}")
    for name, directory in tree.dirs.items():
        if name not in known:
            changes.added.append(f"{new.start}{below}{name}")
            inside = f"{below}{name}/"
            yield inside, _add(changes, new, new.open(directory), inside)


def count_objects(repo: Repo, old: Checksum, new: Checksum) -> Statistics:
    """Count the objects that two commits reach."""

    def stop(name: ObjectName, error: Error) -> None:
        raise error

    before, after = (set(reach(repo, [commit], stop)) for commit in (old, new))
    common = before & after
    return Statistics(len(before), len(after), len(common), sum(map(repo.stored_size, common)))
