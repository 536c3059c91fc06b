"""What differs between two trees, each of which is a commit's or a directory's."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from larix.errors import Error
from larix.formats.checksum import Checksum
from larix.formats.objects import DirTree, ObjectName
from larix.ops.checksum import Checksums
from larix.ops.commit.scan import ReadOptions, lay_directory
from larix.ops.tree.directory import Directory, add_tree
from larix.ops.tree.modify import Modification, Modifier
from larix.ops.tree.reach import reach
from larix.ops.tree.walk import Descent, descend
from larix.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class ComparedTree:
    """`top` is the checksum of the root's dirtree, `load` reads any; shown paths begin with `start`."""

    top: Checksum
    load: Callable[[Checksum], DirTree]
    start: str


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


def commit_as_tree(repo: Repo, commit: Checksum) -> ComparedTree:
    """Return the tree of a commit, for `diff`. Raises NotFound, Corrupt."""
    return ComparedTree(repo.load_commit(commit).dirtree, repo.load_dirtree, "/")


def directory_as_tree(path: str, modifier: Modifier | None = None, *, threads: bool = False) -> ComparedTree:
    """Reads all files below `path`, by forked processes or `threads`; nothing is stored.

    Raises Error for sockets and devices.
    """
    sink, top = Checksums(threads=threads), Directory()
    lay_directory(sink, top, path, ReadOptions(Modification(modifier)))
    return ComparedTree(add_tree(sink, top).dirtree, sink.load_dirtree, "")


def diff(old: ComparedTree, new: ComparedTree) -> Changes:
    """Raises NotFound, Corrupt, Invalid for trees that are nested too deep."""
    changes = Changes()
    descend(_compare(changes, old, new, (old.top, new.top), ""))
    return changes


def _compare(
    changes: Changes, old: ComparedTree, new: ComparedTree, tops: tuple[Checksum, Checksum], below: str
) -> Descent[None]:
    if tops[0] == tops[1]:
        return
    before, after = old.load(tops[0]), new.load(tops[1])
    for name, file in before.files.items():
        if name not in after.files and name not in after.dirs:
            changes.removed.append(f"{old.start}{below}{name}")
        elif after.files.get(name) != file:
            changes.modified.append(f"{old.start}{below}{name}")
    for name, (dirtree, dirmeta) in before.dirs.items():
        if name in after.dirs:
            new_dirtree, new_dirmeta = after.dirs[name]
            if dirmeta != new_dirmeta:
                changes.modified.append(f"{old.start}{below}{name}")
            inside = f"{below}{name}/"
            yield inside, _compare(changes, old, new, (dirtree, new_dirtree), inside)
        elif name in after.files:
            changes.modified.append(f"{old.start}{below}{name}")
        else:
            changes.removed.append(f"{old.start}{below}{name}")
    yield from _add(changes, new, after, below, before.files.keys() | before.dirs.keys())


def _add(changes: Changes, new: ComparedTree, tree: DirTree, below: str, known: Iterable[str] = ()) -> Descent[None]:
    for name in tree.files:
        if name not in known:
            changes.added.append(f"{new.start}{below}{name}")
    for name, (dirtree, _) in tree.dirs.items():
        if name not in known:
            changes.added.append(f"{new.start}{below}{name}")
            inside = f"{below}{name}/"
            yield inside, _add(changes, new, new.load(dirtree), inside)


def count_objects(repo: Repo, old: Checksum, new: Checksum) -> Statistics:
    """Count the objects that two commits reach."""

    def stop(name: ObjectName, error: Error) -> None:
        raise error

    before, after = (set(reach(repo, [commit], stop)) for commit in (old, new))
    common = before & after
    return Statistics(len(before), len(after), len(common), sum(map(repo.stored_size, common)))
