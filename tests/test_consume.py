"""Trees that are given away: what was committed goes, when it is committed; nothing else ever."""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import larix
from larix.errors import Busy
from larix.linux import reading
from larix.ops.commit.consume import Given, holds
from larix.repo.sources import Inode
from tests.judge import Done, everything, fails, ostree, run_larix
from tests.judge import larix as on_repo
from tests.namespaces import in_namespace
from tests.sysroots import as_root
from tests.test_nasty import run_as

MODES = pytest.mark.parametrize("mode", ["bare", "bare-user", "archive"])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in "a/f", "a/b/g", "c/h":
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "tree/link").symlink_to("a")
    (tmp_path / "tree/dangling").symlink_to("/nowhere")
    return tmp_path / "tree"


def make(path: Path, mode: str = "bare") -> Path:
    ostree(path, "init", f"--mode={mode}")
    return path


def consume(repo: Path, *trees: str | Path) -> Done:
    return run_larix(f"--repo={repo}", "commit", "-b", "x", "--consume", *(f"--tree=dir={tree}" for tree in trees))


def during(monkeypatch: pytest.MonkeyPatch, interfere: Callable[[], object]) -> None:
    """When all is committed, and nothing is removed yet."""

    def remove(self: Given, committed_at: int) -> None:
        # As coarse as the clock of file systems.
        while time.time_ns() < committed_at + 20_000_000:
            pass
        interfere()
        real(self, committed_at)

    real = Given.remove
    monkeypatch.setattr(Given, "remove", remove)


@MODES
def test_all_of_it_goes(mode: str, tmp_path: Path, tree: Path) -> None:
    repo = make(tmp_path / "repo", mode)
    commit = ostree(repo, "commit", "-b", "kept", f"--tree=dir={tree}", "--timestamp=@0")
    done = consume(repo, tree)
    assert (done.status, done.err) == (0, "")
    assert not tree.exists()
    assert ostree(repo, "diff", commit, done.out.strip()) == ""


@MODES
def test_what_came_or_was_changed_meanwhile_stays(
    mode: str, tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = make(tmp_path / "repo", mode)

    def interfere() -> None:
        (tree / "a/late").write_text("late")
        (tree / "new/deep").mkdir(parents=True)
        (tree / "c").rename(tmp_path / "moved")
        (tree / "c").mkdir()
        (tree / "c/h").write_text("another")
        (tree / "a/f").unlink()
        (tree / "a/f").write_text("rewritten")

    during(monkeypatch, interfere)
    done = consume(repo, tree)
    assert done.status == 1
    assert ostree(repo, "rev-parse", "x") == done.out.strip()
    for name in "a/f", "a/late", "c":
        assert f"{tree}/{name}" in done.err
    assert "and 1 more" in done.err
    left = {str(path.relative_to(tree)) for path in everything(tree)}
    assert left == {"a", "a/f", "a/late", "c", "c/h", "new", "new/deep"}
    assert (tree / "a/f").read_text() == "rewritten"
    assert (tmp_path / "moved/h").exists()


@MODES
@pytest.mark.parametrize("change", ["mode", "attribute", "time of an object"])
def test_what_was_changed_otherwise_stays(
    mode: str, change: str, tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is an object by now, that is damaged, and told."""
    repo = make(tmp_path / "repo", mode)
    file = tree / "a/f"
    file.chmod(0o644)

    def interfere() -> None:
        if change == "mode":
            file.chmod(0o600)
        elif change == "attribute":
            os.setxattr(file, "user.key", b"value")
        else:
            file.write_text("A/F")
            os.utime(file, (0, 0))

    during(monkeypatch, interfere)
    done = consume(repo, tree)
    assert done.status == 1
    assert f"{file}" in done.err
    assert ("so was its object" in done.err) == (mode == "bare")
    assert file.exists()


def test_a_mode_that_is_changed_before_it_is_an_object(tmp_path: Path, tree: Path) -> None:
    repo = make(tmp_path / "repo")
    with larix.Repo(str(repo)) as opened, larix.Transaction(opened) as transaction:
        with Given(str(tree), opened, transaction.adopt_file) as given:
            larix.lay_directory(transaction, larix.Directory(), str(tree), larix.ReadOptions(given=given))
        (tree / "a/f").chmod(0o600)
        with pytest.raises(Busy, match="changed after it was read"):
            transaction.commit()


def test_a_deep_tree(tmp_path: Path) -> None:
    repo = make(tmp_path / "repo")
    (tmp_path / "tree" / "/".join("d" * 495)).mkdir(parents=True)
    done = consume(repo, tmp_path / "tree")
    assert (done.status, done.err) == (0, "")
    assert not (tmp_path / "tree").exists()


def test_large_equal_files_of_which_one_is_copied(tmp_path: Path) -> None:
    """What is staged may be either."""
    repo = make(tmp_path / "repo", "bare-user-only")
    ostree(repo, "config", "set", "core.min-free-space-percent", "0")
    for name in "one", "two":
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "file").touch(0o644)
        os.truncate(tmp_path / "tree" / name / "file", 65 << 20)
    os.setxattr(tmp_path / "tree/one/file", "user.key", b"value")
    done = consume(repo, tmp_path / "tree")
    assert (done.status, done.err) == (0, "")
    ostree(repo, "fsck")


@as_root
def test_below_a_directory_that_may_not_be_read() -> None:
    scratch = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        for name in "tree", "repo":
            (scratch / "closed" / name).mkdir(parents=True)
        (scratch / "closed").chmod(0o711)

        def work() -> None:
            below = (reading.open_directory(str(scratch / "closed" / name)) for name in ("tree", "repo"))
            tree, repo = below
            assert not holds(tree, repo)
            assert not holds(repo, tree)
            assert holds(tree, tree)

        run_as("nobody", scratch, work)
    finally:
        shutil.rmtree(scratch)


def test_trees_that_lie_in_each_other(tmp_path: Path, tree: Path) -> None:
    for words in [tree, tree / "a"], [tree / "c", tree], [tree / "a", tree / "a"]:
        other = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        subprocess.run(["cp", "-a", tree, other], check=True)
        trees = [other / word.relative_to(tree) for word in words]
        done = consume(make(tmp_path / f"{other.name}-repo"), *trees)
        assert (done.status, done.err) == (0, "")
        assert not any(one.exists() for one in trees)


def test_the_repo_is_not_given_away(tmp_path: Path, tree: Path) -> None:
    """Nor a part of it."""
    repo = make(tree / "a/repo")
    before = {path.name for path in everything(tree)}
    assert "lie in one another" in fails(f"--repo={repo}", "commit", "-b", "x", "--consume", tree)
    assert "lie in one another" in fails(f"--repo={repo}", "commit", "-b", "x", "--consume", repo / "refs")
    assert "lie in one another" in fails(f"--repo={repo}", "commit", "-b", "x", "--consume", repo)
    assert {path.name for path in everything(tree)} - {".lock"} == before


@pytest.mark.parametrize(
    ("given", "kept"),
    [(".", "tree"), ("a/..", "tree"), ("link/..", "tree"), ("../linked", "tree"), ("../linked/", "tree"), ("a/", "")],
)
def test_only_what_was_opened_goes(
    given: str, kept: str, tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name goes with it where that is the name of nothing else."""
    (tmp_path / "linked").symlink_to("tree")
    (tree / "link").unlink()
    (tmp_path / "far/sub").mkdir(parents=True)
    (tmp_path / "far/f").write_text("f")
    (tree / "link").symlink_to("../far/sub")
    monkeypatch.chdir(tree)
    repo = make(tmp_path / "repo")
    done = consume(repo, given)
    assert (done.status, done.err) == (0, "")
    committed = {name.strip("/") for name in ostree(repo, "ls", "-R", "--nul-filenames-only", "x").split("\0")} - {""}
    if given == "link/..":
        assert committed == {"f", "sub"}
        assert sorted(os.listdir(tmp_path / "far")) == []
        assert (tree / "a/f").exists()
    elif given == "a/":
        assert committed == {"f", "b", "b/g"}
        assert not (tree / "a").exists()
    else:
        assert "a/b/g" in committed
        assert os.listdir(tmp_path / kept) == []
        assert (tmp_path / "linked").is_symlink()


@as_root
def test_what_cannot_be_removed(tmp_path: Path, tree: Path) -> None:
    """The commit is told, and so is what stays."""
    repo = make(tmp_path / "repo")

    def work() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", tree / "a"], check=True)
        (tree / "a/on it").write_text("x")
        done = consume(repo, tree)
        assert done.status == 1, done
        assert ostree(repo, "rev-parse", "x") == done.out.strip()
        assert f"{tree}/a" in done.err

    in_namespace(work)


def test_a_file_that_is_written_to_while_it_is_read(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be an object with another content than its name says."""
    repo = make(tmp_path / "repo")

    def write(self: Inode, *args: object) -> None:
        real(self, *args)  # type: ignore[arg-type]
        with (tree / "a/f").open("a") as file:
            file.write("more")

    real = Inode.write
    monkeypatch.setattr(Inode, "write", write)
    assert "changed while it was read" in fails(f"--repo={repo}", "commit", "-b", "x", "--consume", tree)
    assert (tree / "c/h").exists()
    assert on_repo(repo, "refs") == ""


def test_a_file_that_is_written_to_before_it_is_an_object(tmp_path: Path, tree: Path) -> None:
    repo = make(tmp_path / "repo")
    with larix.Repo(str(repo)) as opened, larix.Transaction(opened) as transaction:
        with Given(str(tree), opened, transaction.adopt_file) as given:
            larix.lay_directory(transaction, larix.Directory(), str(tree), larix.ReadOptions(given=given))
        with (tree / "a/f").open("a") as file:
            file.write("more")
        with pytest.raises(Busy, match="changed after it was read"):
            transaction.commit()
    assert (tree / "a/f").read_text() == "a/fmore"
    assert not [path for path in everything(repo / "objects") if path.is_file()]


def test_a_directory_is_not_two(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is exchanged for another while it is read."""
    repo = make(tmp_path / "repo", "archive")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/h").write_text("other")

    def exchange(fd: int, below: str) -> int:
        if below == "c":
            assert not ctypes.CDLL(None).renameat2(-100, bytes(tree / "c"), -100, bytes(tmp_path / "other"), 2)
        return real(fd, below)

    real = reading.open_below
    monkeypatch.setattr(reading, "open_below", exchange)
    assert "changed while it was read" in fails(f"--repo={repo}", "commit", "-b", "x", tree)
