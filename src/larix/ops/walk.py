"""Finding one's way in a commit's tree."""

from collections.abc import Iterator
from typing import NamedTuple

from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.repo.repo import Repo

# As in the C tool: a tree that nests deeper is refused, before Python's own limit is met.
MAX_DEPTH = 500


class Entry(NamedTuple):
    """One path in a tree: a file object, or a directory with `dirmeta`. Paths begin with a slash."""

    path: str
    checksum: Checksum
    dirmeta: Checksum | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def find_root(repo: Repo, commit: Checksum) -> Entry:
    """The top directory of a commit's tree. Raises NotFound, Corrupt."""
    found = repo.load_commit(commit)
    return Entry("/", found.dirtree, found.dirmeta)


def find_path(repo: Repo, root: Entry, path: str) -> Entry:
    """The entry at `path`, from the root; symlinks are not followed.

    Raises NotFound; Invalid where the path leads through a file.
    """
    entry = root
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if entry.dirmeta is None:
            raise Invalid(f"Not a directory: {entry.path}")
        found = find_child(repo, entry, part)
        if found is None:
            raise NotFound(f"No such file or directory: {entry.path.rstrip('/')}/{part}")
        entry = found
    return entry


def find_child(repo: Repo, directory: Entry, name: str) -> Entry | None:
    """None where the directory has no such name, or is a file."""
    if directory.dirmeta is None:
        return None
    path = f"{directory.path.rstrip('/')}/{name}"
    tree = repo.load_dirtree(directory.checksum)
    if name in tree.files:
        return Entry(path, tree.files[name])
    return Entry(path, *tree.dirs[name]) if name in tree.dirs else None


def children(repo: Repo, directory: Entry) -> Iterator[Entry]:
    """Files, then directories, each in order of their names."""
    tree = repo.load_dirtree(directory.checksum)
    base = directory.path.rstrip("/")
    for name, file in tree.files.items():
        yield Entry(f"{base}/{name}", file)
    for name, (dirtree, dirmeta) in tree.dirs.items():
        yield Entry(f"{base}/{name}", dirtree, dirmeta)


def walk(repo: Repo, top: Entry) -> Iterator[Entry]:
    """`top` and everything below it, each directory before what is in it. Raises Invalid for a tree too deep."""
    stack = [iter([top])]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry
        if entry.dirmeta is not None:
            if len(stack) > MAX_DEPTH:
                raise Invalid(f"{entry.path[:80]}…: nested more than {MAX_DEPTH} directories")
            stack.append(children(repo, entry))
