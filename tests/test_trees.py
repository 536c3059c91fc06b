"""What every tree answers, whatever it is made of."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import larix
from larix.linux import reading
from larix.ops.kernel import find_versions
from larix.ops.osrelease import find_os_name
from larix.ops.tree import tree_of
from larix.ops.trees import DiskTree, Kind, ObjectTree, Tree, walk_files

CONTENTS: dict[str, bytes | str | None] = {
    "": None,
    "empty": None,
    "usr": None,
    "usr/lib": None,
    "usr/lib/modules": None,
    "usr/lib/modules/6.1": None,
    "usr/lib/modules/6.1/vmlinuz": b"kernel",
    "usr/lib/modules/6.2": None,
    "usr/lib/modules/6.2/vmlinuz": None,
    "usr/lib/os-release": b'ID=x\nPRETTY_NAME="An  \\"OS\\""\n',
    "usr/lib/link": "../lib",
    "usr/z": b"x" * 100_000,
    "usr/a.b": b"",
}


class FakeTree:
    """Of a table like that above: what tests of other parts may use."""

    def __init__(self, contents: dict[str, bytes | str | None]) -> None:
        self._contents = contents

    def list(self, path: str) -> list[str]:
        inside = [one for one in self._contents if one and os.path.dirname(one) == path and self._is(path)]
        return sorted(map(os.path.basename, inside))

    def _is(self, path: str) -> bool:
        return path in self._contents and self._contents[path] is None

    def kind(self, path: str) -> Kind | None:
        if path not in self._contents:
            return None
        content = self._contents[path]
        return Kind.DIRECTORY if content is None else Kind.SYMLINK if isinstance(content, str) else Kind.FILE

    def size(self, path: str) -> int:
        return len(b"".join(self.pieces(path)))

    def pieces(self, path: str) -> Iterator[bytes]:
        content = self._contents.get(path)
        if not isinstance(content, bytes):
            raise FileNotFoundError(path)
        yield content

    def target(self, path: str) -> str:
        content = self._contents.get(path)
        if not isinstance(content, str):
            raise FileNotFoundError(path)
        return content


def write(top: Path) -> Path:
    for path, content in CONTENTS.items():
        if content is None:
            (top / path).mkdir(parents=True, exist_ok=True)
        elif isinstance(content, str):
            (top / path).symlink_to(content)
        else:
            (top / path).write_bytes(content)
    return top


def on_disk(tmp_path: Path, opened: ExitStack) -> Tree:
    return DiskTree(opened.enter_context(reading.closing(reading.open_directory(str(write(tmp_path / "tree"))))))


def of_a_commit(tmp_path: Path, opened: ExitStack) -> Tree:
    repo = opened.enter_context(larix.Repo.init(str(tmp_path / "repo"), "archive"))
    commit = larix.commit_directory(repo, str(write(tmp_path / "tree")), "main")
    return ObjectTree(repo, tree_of(repo, commit))


def half_made(tmp_path: Path, opened: ExitStack) -> Tree:
    """Of a commit, with a directory laid over it, in a transaction."""
    repo = opened.enter_context(larix.Repo.init(str(tmp_path / "repo"), "bare-user"))
    write(tmp_path / "tree")
    (tmp_path / "tree/usr/z").rename(tmp_path / "z")
    commit = larix.commit_directory(repo, str(tmp_path / "tree"), "main")
    (tmp_path / "over/usr").mkdir(parents=True)
    (tmp_path / "z").rename(tmp_path / "over/usr/z")
    transaction = opened.enter_context(larix.Transaction(repo))
    top = larix.open_stored(repo, tree_of(repo, commit))
    larix.lay_directory(transaction, top, str(tmp_path / "over"))
    return ObjectTree(transaction, top)


def fake(tmp_path: Path, opened: ExitStack) -> Tree:
    return FakeTree(CONTENTS)


@pytest.fixture(params=[on_disk, of_a_commit, half_made, fake], ids=lambda make: make.__name__)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tree]:
    make: Callable[[Path, ExitStack], Tree] = request.param
    with ExitStack() as opened:
        yield make(tmp_path, opened)


def test_names_are_in_order(tree: Tree) -> None:
    assert tree.list("") == ["empty", "usr"]
    assert tree.list("usr") == ["a.b", "lib", "z"]
    for path in "empty", "usr/a.b", "usr/lib/link", "nowhere", "usr/z/below":
        assert tree.list(path) == []


def test_kinds(tree: Tree) -> None:
    for path, content in CONTENTS.items():
        expected = {bytes: Kind.FILE, str: Kind.SYMLINK, type(None): Kind.DIRECTORY}[type(content)]
        assert tree.kind(path) is expected, path
    # Nothing is behind a symlink, or below a file.
    for path in "nowhere", "usr/nowhere", "usr/z/below", "usr/lib/link/modules":
        assert tree.kind(path) is None, path


def test_content(tree: Tree) -> None:
    for path, content in CONTENTS.items():
        if isinstance(content, bytes):
            assert b"".join(tree.pieces(path)) == content
            assert tree.size(path) == len(content)
        elif content is not None:
            assert tree.target(path) == content
    for path in "nowhere", "usr/z/below":
        for ask in tree.size, tree.target, lambda path: [*tree.pieces(path)]:
            with pytest.raises((OSError, larix.NotFound)):
                ask(path)


def test_what_is_found_in_it(tree: Tree) -> None:
    assert find_os_name(tree) == 'An "OS"'
    assert find_versions(tree) == ["6.1", "6.2"]
    assert walk_files(tree, "usr/lib") == ["usr/lib/link", "usr/lib/modules/6.1/vmlinuz", "usr/lib/os-release"]
