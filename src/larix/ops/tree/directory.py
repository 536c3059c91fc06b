"""A tree in the making: commits, directories and archives, laid over each other, become dirtree and dirmeta objects."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from larix.errors import Invalid
from larix.formats.checksum import Checksum
from larix.formats.objects import DirMeta, DirTree, ObjectType
from larix.ops.tree.walk import Descent, descend
from larix.repo.repo import Repo


class Stored(NamedTuple):
    """A directory as it is in a repo: checksums of its dirtree and its dirmeta."""

    dirtree: Checksum
    dirmeta: Checksum


@dataclass(slots=True)
class Directory:
    """One that may still be changed; without `meta` as long as nothing said what its owner and mode are. `repo` has
    what is stored of it."""

    meta: DirMeta | None = None
    files: dict[str, Checksum] = field(default_factory=dict)
    dirs: "dict[str, Directory | Stored]" = field(default_factory=dict)
    repo: Repo | None = None

    def put_file(self, name: str, checksum: Checksum) -> None:
        """Raises Invalid where a directory has this name."""
        if name in self.dirs:
            raise Invalid(f"Can't replace directory with file: {name}")
        self.files[name] = checksum

    def enter(self, name: str) -> "Directory":
        """Return the directory of this name, new or ready to be changed. Raises Invalid where a file has it."""
        if name in self.files:
            raise Invalid(f"Can't replace file with directory: {name}")
        found = self.dirs.get(name)
        if found is None:
            found = self.dirs[name] = Directory(repo=self.repo)
        elif isinstance(found, Stored):
            if self.repo is None:
                raise Invalid(f"Directory {name} is one of a repo, and nothing says of which")
            found = self.dirs[name] = open_stored(self.repo, found)
        return found


class MetadataSink(Protocol):
    def add_metadata(self, kind: ObjectType, data: bytes) -> Checksum: ...


def tree_of(repo: Repo, commit: Checksum) -> Stored:
    """Return the top directory of a commit. Raises NotFound, Corrupt."""
    found = repo.load_commit(commit)
    return Stored(found.dirtree, found.dirmeta)


def open_stored(repo: Repo, stored: Stored) -> Directory:
    """Ready to be changed; what is below it is not looked at. Raises NotFound, Corrupt."""
    tree = repo.load_dirtree(stored.dirtree)
    below: dict[str, Directory | Stored] = {name: Stored(*pair) for name, pair in tree.dirs.items()}
    return Directory(repo.load_dirmeta(stored.dirmeta), dict(tree.files), below, repo)


def lay_over(repo: Repo, under: Directory, over: Stored) -> None:
    """Lay a stored tree over another: its files take the place of those of the same name. Raises Invalid."""
    descend(_lay_over(repo, under, over, "/"))


def _lay_over(repo: Repo, under: Directory, over: Stored, path: str) -> Descent[None]:
    found = open_stored(repo, over)
    under.meta, under.repo = found.meta, repo
    for name, checksum in found.files.items():
        under.put_file(name, checksum)
    for name, below in found.dirs.items():
        assert isinstance(below, Stored)
        if name in under.dirs or name in under.files:
            inside = f"{path}{name}/"
            yield inside, _lay_over(repo, under.enter(name), below, inside)
        else:
            under.dirs[name] = below


def add_tree(sink: MetadataSink, directory: Directory | Stored) -> Stored:
    """Add the objects of a directory and of all below it. Raises Invalid without owner and mode, or too deep."""
    return directory if isinstance(directory, Stored) else descend(_add_tree(sink, directory, "/"))


def _add_tree(sink: MetadataSink, directory: Directory, path: str) -> Descent[Stored]:
    if directory.meta is None and path == "/":
        raise Invalid("Can't commit an empty tree: nothing was given for its top directory")
    if directory.meta is None:
        raise Invalid(f"Can't commit {path}: nothing says what its owner and mode are")
    dirs: dict[str, tuple[Checksum, Checksum]] = {}
    for name, below in directory.dirs.items():
        if isinstance(below, Stored):
            dirs[name] = below
        else:
            inside = f"{path}{name}/"
            dirs[name] = yield inside, _add_tree(sink, below, inside)
    tree = sink.add_metadata(ObjectType.DIR_TREE, DirTree(directory.files, dirs).encode())
    return Stored(tree, sink.add_metadata(ObjectType.DIR_META, directory.meta.encode()))
