"""What every tree answers, whatever it is made of."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import larix
from larix.formats.sizes import Size
from larix.linux import reading
from larix.ops.tree.directory import tree_of
from larix.ops.tree.kernel import find_kernel, find_versions
from larix.ops.tree.osrelease import find_os_name
from larix.ops.tree.tree import DiskTree, Kind, ObjectTree, Tree, walk_files
from larix.remote.measure import measuring
from tests.fakes import FakeSource, FakeTree

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


def not_brought(tmp_path: Path, opened: ExitStack) -> Tree:
    """Of a commit that another repo has; for each file one asks there once."""
    with larix.Repo.init(str(tmp_path / "repo"), "archive") as repo:
        commit = larix.commit_directory(repo, str(write(tmp_path / "tree")), "main")
    target = opened.enter_context(larix.Repo.init(str(tmp_path / "target"), "archive"))
    source = Counted(tmp_path / "repo")
    how = larix.PullOptions()
    measured = opened.enter_context(measuring(target, source, "origin", "main", commit, how))
    source.asked.clear()
    opened.callback(lambda: pytest.fail("asked twice") if len(source.asked) > len({*source.asked}) else None)
    said = measured.load_commit()
    return ObjectTree(measured, larix.Stored(said.dirtree, said.dirmeta))


class Counted(FakeSource):
    def __init__(self, archive: Path) -> None:
        super().__init__(archive)
        self.asked: list[larix.Checksum] = []

    def measure(self, checksums: list[larix.Checksum]) -> list[Size]:
        self.asked += checksums
        return super().measure(checksums)


def fake(tmp_path: Path, opened: ExitStack) -> Tree:
    return FakeTree(CONTENTS)


@pytest.fixture(params=[on_disk, of_a_commit, half_made, not_brought, fake], ids=lambda make: make.__name__)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tree]:
    make: Callable[[Path, ExitStack], Tree] = request.param
    with ExitStack() as opened:
        yield make(tmp_path, opened)


def test_names_are_in_order(tree: Tree) -> None:
    assert tree.list("") == ["empty", "usr"]
    assert tree.list("usr") == ["a.b", "lib", "z"]
    for path in "empty", "usr/a.b", "usr/lib/link", "nowhere", "usr/z/below":
        assert tree.list(path) == []


def test_kinds(tree: Tree, request: pytest.FixtureRequest) -> None:
    for path, content in CONTENTS.items():
        if isinstance(content, str) and "not_brought" in request.node.name:
            # What is a symlink would have to come to be told.
            continue
        expected = {bytes: Kind.FILE, str: Kind.SYMLINK, type(None): Kind.DIRECTORY}[type(content)]
        assert tree.kind(path) is expected, path
    # Nothing is behind a symlink, or below a file.
    for path in "nowhere", "usr/nowhere", "usr/z/below", "usr/lib/link/modules":
        assert tree.kind(path) is None, path


def test_content(tree: Tree, request: pytest.FixtureRequest) -> None:
    for path, content in CONTENTS.items():
        if isinstance(content, bytes):
            assert tree.size(path) == len(content)
            if "not_brought" not in request.node.name:
                assert b"".join(tree.pieces(path)) == content
    for path in "nowhere", "usr/z/below":
        for ask in tree.size, lambda path: [*tree.pieces(path)]:
            with pytest.raises((OSError, larix.NotFound)):
                ask(path)


def test_what_is_found_in_it(tree: Tree, request: pytest.FixtureRequest) -> None:
    if "not_brought" not in request.node.name:
        assert find_os_name(tree) == 'An "OS"'
    assert find_versions(tree) == ["6.1", "6.2"]
    assert walk_files(tree, "usr/lib") == ["usr/lib/link", "usr/lib/modules/6.1/vmlinuz", "usr/lib/os-release"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("An OS", "An OS"),
        ("'a $x'", "a $x"),
        ('"A \\$5 \\"b\\""', 'A $5 "b"'),
        ("An\\ OS", "An OS"),
        ("", None),
        ('"x', "x"),
    ],
)
def test_what_a_system_calls_itself(value: str, expected: str | None) -> None:
    assert find_os_name(FakeTree({"etc": None, "etc/os-release": f"PRETTY_NAME={value}\n".encode()})) == expected


MODULES = "usr/lib/modules"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({}, "has no kernel"),
        ({f"{MODULES}/1/vmlinuz": b"", f"{MODULES}/2/vmlinuz": b""}, "has 2 kernels"),
        ({f"{MODULES}/1/vmlinuz": "x"}, "is a symlink or a directory"),
        ({f"{MODULES}/1/vmlinuz": b"", f"{MODULES}/1/dtb/x": "y"}, "is a symlink or a directory"),
        ({f"{MODULES}/a b/vmlinuz": b""}, "the name of its kernel"),
    ],
)
def test_kernels_that_cannot_boot(contents: dict[str, bytes | str | None], said: str) -> None:
    above = {"/".join(path.split("/")[:count]): None for path in contents for count in range(1, path.count("/") + 1)}
    with pytest.raises(larix.Invalid, match=said):
        find_kernel(FakeTree({**above, **contents}), "tree")
