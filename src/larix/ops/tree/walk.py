"""Finding one's way in a tree, as deep as it may be: Python's own stack ends at a thousand levels."""

from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, TypeVar

from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.repo.repo import Repo

# Nobody's tree comes near.
MAX_DEPTH = 10_000
MAX_PATH = 1 << 19
# Depth times length of a path: all the paths on a way down, which may be in memory, have half of it.
MAX_PATHS = 1 << 29

T = TypeVar("T")
# Yields the path of what lies deeper, for messages, with what goes through it; gets back what that returned or raised.
Descent = Generator[tuple[str, "Descent[Any]"], Any, T]


class Entry(NamedTuple):
    """One path in a tree: a file object, or a directory with `dirmeta`. Paths begin with a slash."""

    path: str
    checksum: Checksum
    dirmeta: Checksum | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def find_root(repo: Repo, commit: Checksum) -> Entry:
    """Return the top directory of a commit's tree. Raises NotFound, Corrupt."""
    found = repo.load_commit(commit)
    return Entry("/", found.dirtree, found.dirmeta)


def find_path(repo: Repo, root: Entry, path: str) -> Entry:
    """Return the entry at `path`, from the root; symlinks are not followed.

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
    """Return the entry of this name; None where the directory has none, or is a file."""
    if directory.dirmeta is None:
        return None
    path = f"{directory.path.rstrip('/')}/{name}"
    tree = repo.load_dirtree(directory.checksum)
    if name in tree.files:
        return Entry(path, tree.files[name])
    return Entry(path, *tree.dirs[name]) if name in tree.dirs else None


def children(repo: Repo, directory: Entry) -> Iterator[Entry]:
    """Return files, then directories, each in order of their names."""
    base = directory.path.rstrip("/")
    return (Entry(f"{base}/{name}", *both) for name, both in _inside(repo, directory.checksum))


def _inside(repo: Repo, dirtree: Checksum) -> Iterator[tuple[str, tuple[Checksum, Checksum | None]]]:
    tree = repo.load_dirtree(dirtree)
    for name, file in tree.files.items():
        yield name, (file, None)
    for name, (dirtree, dirmeta) in tree.dirs.items():
        yield name, (dirtree, dirmeta)


def walk(repo: Repo, top: Entry) -> Iterator[Entry]:
    """Yield `top` and everything below it, each directory before what is in it. Raises Invalid for a tree too deep."""
    yield top
    if top.dirmeta is None:
        return
    # Of the directory that was entered last; those above begin as it does.
    path = top.path.rstrip("/")
    stack = [(len(path), _inside(repo, top.checksum))]
    while stack:
        length, inside = stack[-1]
        child = next(inside, None)
        if child is None:
            stack.pop()
            continue
        name, (checksum, dirmeta) = child
        found = Entry(f"{path[:length]}/{name}", checksum, dirmeta)
        yield found
        if dirmeta is not None:
            path = found.path
            deeper(len(stack), path)
            stack.append((len(path), _inside(repo, checksum)))


def deeper(depth: int, path: str) -> int:
    """Return the depth of what is in the directory at `path`, which itself lies at `depth`; the top at 0.

    Raises Invalid where nobody goes: so many levels down, or with a path so long.
    """
    if depth > MAX_DEPTH:
        raise Invalid(f"{path[:80]}…: nested more than {MAX_DEPTH} directories")
    if len(path) > MAX_PATH:
        raise Invalid(f"{path[:80]}…: a path of more than {MAX_PATH} characters")
    if depth * len(path) > MAX_PATHS:
        raise Invalid(f"{path[:80]}…: a path of {len(path)} characters, {depth} directories down; that is too much")
    return depth + 1


def descend(top: Descent[T]) -> T:
    """Run what goes through a tree; what it returns is returned, or raised. Raises Invalid for a tree too deep."""
    stack: list[Descent[Any]] = [top]
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                path, below = stack[-1].send(value) if error is None else stack[-1].throw(error)
            except StopIteration as done:
                stack.pop()
                value, error = done.value, None
                if not stack:
                    found: T = value
                    return found
            except BaseException as raised:
                stack.pop()
                if not stack:
                    raise
                error = raised
            else:
                value = error = None
                try:
                    deeper(len(stack), path)
                    stack.append(below)
                except Invalid as too_deep:
                    error = too_deep
    finally:
        while stack:
            stack.pop().close()
