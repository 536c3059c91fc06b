"""What every layout does, whatever it makes of a file; and one that no repo has, to see that nothing else is needed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import larix
from larix.formats.content import content_checksum
from larix.linux import reading
from larix.ops.checkout.placing import CheckoutOptions
from larix.repo import repo as repo_module
from larix.repo.layout import PIECE, Layout
from larix.repo.repo import LAYOUTS
from tests.fakes import StreamLayout
from tests.judge import picture

ROOT = os.geteuid() == 0
WRITING: list[Layout] = [layout for name, layout in LAYOUTS.items() if layout.writable and name != "archive-z2"]
# Header, content in pieces. The first two every layout can keep.
FILES = [
    (larix.FileHeader(0, 0, stat.S_IFREG | 0o755), [b"#!/bin/sh\n", b"exit 0\n"]),
    (larix.FileHeader(0, 0, stat.S_IFREG | 0o644), []),
    (larix.FileHeader(0, 0, stat.S_IFREG | 0o644), [b"x" * PIECE, b"y" * 5]),
    (larix.FileHeader(0, 0, stat.S_IFLNK | 0o777, "../some/where"), []),
    (larix.FileHeader(7, 8, stat.S_IFREG | 0o4711, "", ((b"user.key", b"value"),)), [b"set uid"]),
]
PLAIN = 4


@pytest.fixture(params=[*WRITING, StreamLayout()], ids=lambda layout: layout.mode)
def layout(request: pytest.FixtureRequest) -> Layout:
    found: Layout = request.param
    if found.mode == "bare" and not ROOT:
        pytest.skip("only root may give files to others")
    return found


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    with reading.closing(reading.open_directory(str(tmp_path))) as found:
        yield found


def kept(layout: Layout) -> list[tuple[larix.FileHeader, list[bytes]]]:
    return FILES[:PLAIN] if layout.user_only else FILES


def test_what_is_written_is_read(layout: Layout, fd: int) -> None:
    for number, (header, content) in enumerate(kept(layout)):
        size = sum(map(len, content))
        layout.write(name := f"{number}", fd, header, size, content)
        for exact in False, True:
            with layout.read(name, fd, exact=exact) as stored:
                assert (stored.header, stored.size) == (header, size)
                assert content_checksum(stored.header, stored.content) == content_checksum(header, content)
        found, found_size = layout.look(name, fd)
        # Attributes may have to be asked for.
        assert found._replace(xattrs=header.xattrs) == header
        assert found_size == size
        mode, found_size = layout.mode_and_size(name, fd)
        assert mode == header.mode
        assert header.is_symlink or found_size == size
        with pytest.raises(FileExistsError):
            layout.write(name, fd, header, size, content)


def test_what_is_not_there(layout: Layout, fd: int) -> None:
    for ask in layout.read, layout.look, layout.mode_and_size:
        with pytest.raises(FileNotFoundError):
            ask("nothing", fd)


def test_files_that_are_shared(layout: Layout, fd: int) -> None:
    """Where one gives its file to another, that reads the same object out of it."""
    others: list[Layout] = [*WRITING, StreamLayout()]
    for number, (header, content) in enumerate(kept(layout)):
        layout.write(name := f"{number}", fd, header, sum(map(len, content)), content)
        for other in others:
            if layout.gives(other, [header].pop):
                with other.read(name, fd) as stored:
                    assert content_checksum(stored.header, stored.content) == content_checksum(header, content)
            else:
                assert layout.mode != other.mode


def test_links_are_the_file_itself(layout: Layout, fd: int) -> None:
    """Where a checkout may link an object, that has the mode and the content of the file; as root, the owner too."""
    for number, (header, content) in enumerate(kept(layout)):
        layout.write(name := f"{number}", fd, header, sum(map(len, content)), content)
        about = os.stat(name, dir_fd=fd, follow_symlinks=False)
        for user_mode in False, True:
            if layout.links(header.mode, user_mode=user_mode):
                plain = stat.S_IMODE(header.mode) & 0o775
                assert stat.S_IMODE(about.st_mode) & 0o775 == plain or header.is_symlink
                assert user_mode or (about.st_uid, about.st_gid, about.st_mode) == (header.uid, header.gid, header.mode)


def test_one_more_layout(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a new one needs is a line in the table: every verb goes by what it can do."""
    monkeypatch.setitem(repo_module.LAYOUTS, "stream", StreamLayout())
    with (
        larix.Repo.init(str(tmp_path / "archive"), "archive") as archive,
        larix.Repo.init(str(tmp_path / "stream"), "stream") as repo,
    ):
        expected = larix.commit_directory(archive, str(tree), "main", larix.CommitOptions(timestamp=0))
        assert larix.commit_directory(repo, str(tree), "main", larix.CommitOptions(timestamp=0)) == expected
        assert larix.fsck(repo).findings == []
        for one in repo, archive:
            larix.checkout(one, expected, f"{one.path}-out", CheckoutOptions(user_mode=not ROOT))
        assert picture(tmp_path / "stream-out") == picture(tmp_path / "archive-out")
        with larix.Repo.init(str(tmp_path / "again"), "stream") as again:
            source = larix.RepoSource(repo.path)
            larix.pull(again, source, {"main": None}, None)
            source.close()
            assert larix.fsck(again).findings == []
        larix.prune(repo, larix.PruneOptions())
