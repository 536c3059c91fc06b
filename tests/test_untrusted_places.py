"""Directories that belong to others: what must not be opened is not, and no symlink put in the way is followed."""

import ctypes
import errno
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import larix
from larix.linux import reading, syscalls, trees, writing
from larix.sysroot.copying import copy_tree
from larix.sysroot.etcmerge import merge
from larix.sysroot.etcplan import EtcPlan
from tests.judge import everything, fails, ostree, picture
from tests.judge import larix as run_larix
from tests.test_nasty import NOBODY, ROOT, run_as

IN_OPEN = 0x20
libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def opened(path: Path) -> Iterator[Callable[[], bool]]:
    """Tells whether anyone has opened it, by inotify: also a FIFO or a device."""
    fd = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(fd, os.fsencode(path), IN_OPEN) >= 0

    def ask() -> bool:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return False
        return bool(struct.unpack_from("iIII", data)[1] & IN_OPEN)

    try:
        yield ask
    finally:
        os.close(fd)


def make_special(path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        # Its path may be longer than the kernel takes for one.
        fd = os.open(path.parent, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{fd}/{path.name}")
        os.close(fd)
    elif not ROOT:
        pytest.skip("only root makes devices")
    else:
        # The null device, which does no harm to the test.
        os.mknod(path, (0o020000 if kind == "character" else 0o060000) | 0o666, os.makedev(1, 3))


@pytest.mark.parametrize("kind", ["fifo", "socket", "character", "block"])
@pytest.mark.parametrize(
    "words",
    [
        ["commit", "--repo={top}/repo", "-b", "x", "{top}/tree"],
        ["commit", "--repo={top}/repo", "-b", "x", "--consume", "{top}/tree"],
        ["diff", "--repo={top}/repo", "{top}/tree", "main"],
        ["checksum", "{top}/tree/special"],
        ["checkout", "--repo={top}/repo", "-U", "-H", "--union-identical", "main", "{top}/tree"],
    ],
    ids=" ".join,
)
def test_devices_are_not_opened(words: list[str], kind: str, tmp_path: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/special").write_text("x")
    ostree(repo, "commit", "-b", "main", f"--tree=dir={tmp_path / 'other'}")
    (tmp_path / "tree").mkdir()
    make_special(special := tmp_path / "tree/special", kind)
    with opened(special) as ask:
        said = fails(*(word.format(top=tmp_path) for word in words))
        assert not ask()
    assert "special" in said


def test_the_watch_sees(tmp_path: Path) -> None:
    make_special(path := tmp_path / "fifo", "fifo")
    with opened(path) as ask:
        assert not ask()
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        assert ask()


@pytest.mark.parametrize("options", [["-C"], ["--union"], ["-H"]], ids=" ".join)
def test_a_symlink_put_in_the_way_of_a_checkout(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    (tmp_path / "tree/one/two/three").mkdir(parents=True)
    (tmp_path / "tree/one/two/three/file").write_text("x")
    ostree(repo, "commit", "-b", "main", f"--tree=dir={tmp_path / 'tree'}")
    (tmp_path / "outside/two/three").mkdir(parents=True)
    real = writing.make_directory

    def swap(name: str, dir_fd: int | None = None, mode: int = 0o777) -> bool:
        made = real(name, dir_fd, mode)
        if name == "two":
            os.rename(tmp_path / "out/one", tmp_path / "out/away")
            os.symlink(tmp_path / "outside", tmp_path / "out/one")
        return made

    monkeypatch.setattr(writing, "make_directory", swap)
    said = fails("checkout", f"--repo={repo}", "-U", *options, "main", tmp_path / "out")
    assert "one" in said
    assert [path.name for path in everything(tmp_path / "outside")] == ["two", "three"]


@pytest.mark.parametrize("side", ["etc", "target"])
@pytest.mark.parametrize("what", ["file", "directory", "removal"])
def test_a_symlink_put_in_the_way_of_etc(side: str, what: str, tmp_path: Path) -> None:
    for name in "etc", "target":
        (tmp_path / name / "own/inside").mkdir(parents=True)
        (tmp_path / name / "own/file").write_text(name)
    (tmp_path / "outside/inside").mkdir(parents=True)
    (tmp_path / "outside/inside").chmod(0o700)
    (tmp_path / "outside/file").write_text("secret")
    # As it is when all was planned.
    shutil.rmtree(tmp_path / side / "own")
    (tmp_path / side / "own").symlink_to(tmp_path / "outside")
    path = "own/inside" if what == "directory" else "own/file"
    plan = EtcPlan(removals=(path,)) if what == "removal" else EtcPlan(placed={path: path})
    with (
        reading.closing(reading.open_directory(str(tmp_path / "etc"))) as etc,
        reading.closing(reading.open_directory(str(tmp_path / "target"))) as target,
    ):
        if what == "removal" and side == "etc":
            merge(plan, etc, target)
            return
        with pytest.raises(OSError) as caught:
            merge(plan, etc, target)
    assert caught.value.errno in (errno.ENOTDIR, errno.ELOOP)
    assert (tmp_path / "outside/file").read_text() == "secret"
    assert (tmp_path / "outside/inside").stat().st_mode & 0o777 == 0o700
    if side == "etc":
        assert (tmp_path / "target/own/file").read_text() == "target"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory that an ordinary user can reach."""
    path = Path(tempfile.mkdtemp(prefix="larix-places-", dir="/var/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(not ROOT, reason="root becomes an ordinary user")
@pytest.mark.parametrize("mode", [0o000, 0o111, 0o300, 0o444, 0o500])
def test_a_tree_that_its_owner_may_not_read(mode: int, scratch: Path) -> None:
    def remove() -> None:
        assert os.geteuid() == NOBODY
        (scratch / "tree/sub/deep").mkdir(parents=True)
        (scratch / "tree/sub/deep/file").write_text("x")
        for name in "tree/sub/deep", "tree/sub", "tree":
            (scratch / name).chmod(mode)
        with reading.closing(reading.open_directory(str(scratch))) as fd:
            trees.remove_tree("tree", fd)
        assert not (scratch / "tree").exists()

    run_as("nobody", scratch, remove)


@pytest.mark.skipif(not ROOT, reason="root becomes an ordinary user")
def test_a_deep_tree_that_its_owner_may_not_write(scratch: Path) -> None:
    """Directories far down are moved up first."""

    def remove() -> None:
        path = scratch / "tree"
        (path / "/".join("d" * 250)).mkdir(parents=True)
        for directory in [*path.rglob("*"), path]:
            directory.chmod(0o500)
        with reading.closing(reading.open_directory(str(scratch))) as fd:
            trees.remove_tree("tree", fd)
        assert not path.exists()

    run_as("nobody", scratch, remove)


def test_a_tree_of_any_depth(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    with reading.closing(reading.open_directory(str(tmp_path))) as top:
        trees.remove_tree("d", top)
    assert os.listdir(tmp_path) == ["file"]


def test_names_of_etc_are_anyones(tmp_path: Path) -> None:
    """Also those that a temporary file could have."""
    for name in "foo", ".foo.new", "bar", ".bar.new":
        path = tmp_path / "defaults" / name
        path.parent.mkdir(exist_ok=True)
        if name == ".bar.new":
            path.mkdir()
        else:
            path.write_text(name)
    (tmp_path / "etc").mkdir()
    with (
        reading.closing(reading.open_directory(str(tmp_path / "defaults"))) as defaults,
        reading.closing(reading.open_directory(str(tmp_path / "etc"))) as etc,
    ):
        copy_tree(defaults, etc)
    assert picture(tmp_path / "etc") == picture(tmp_path / "defaults")


def test_a_file_system_that_takes_no_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some in user space, and gVisor's."""

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(syscalls, "start_writing", refuse)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/large").write_bytes(os.urandom(3 << 20))
    run_larix(repo := tmp_path / "repo", "init", "--mode=archive")
    run_larix(repo, "commit", "-b", "x", tmp_path / "tree")
    ostree(repo, "fsck")


def test_every_error_is_of_a_kind() -> None:
    bare = [
        f"{path}: {line.strip()}"
        for path in Path(larix.__file__).parent.rglob("*.py")
        for line in path.read_text().splitlines()
        if "raise Error(" in line
    ]
    assert not bare
