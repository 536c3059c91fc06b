"""What is taken from commits and changed, given away, brought in part, or waited for: as by the C tool."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from larix.repo.exclusive import Exclusive
from larix.repo.locking import lock_changes, lock_repo
from larix.repo.repo import Repo
from tests.judge import everything, fails, larix, ostree, picture, run_c

COMMON = ["-b", "new", "--timestamp=@0", "-s", "x"]
CHANGES = [
    ["--owner-uid=7"],
    ["--owner-gid=8", "--no-xattrs"],
    ["--canonical-permissions"],
    ["--mode-ro-executables"],
    ["--statoverride=LISTS/override", "--skip-list=LISTS/skip"],
]


@pytest.mark.parametrize("options", CHANGES, ids=" ".join)
def test_changed_trees_of_commits(options: list[str], c_repos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "override").write_text("+2048 /usr/bin/tool\n=448 /usr/share\n")
    (tmp_path / "skip").write_text("/usr/share/none\n/usr/bin/sticky\n")
    given = [option.replace("LISTS", str(tmp_path)) for option in options]
    repo = shutil.copytree(c_repos["archive"], tmp_path / "repo", symlinks=True)
    for trees in ["--tree=ref=os/stable"], ["--base=os/stable", "--tree=ref=os/stable^"]:
        found = larix(repo, "commit", *COMMON, *given, *trees, "--parent=none")
        assert found == ostree(repo, "commit", *COMMON, *given, *trees, "--parent=none")
    assert run_c(f"--repo={repo}", "fsck").returncode == 0


def test_a_commit_that_fails_leaves_times(tmp_path: Path) -> None:
    """Of files that were given away, and stay."""
    ostree(repo := tmp_path / "repo", "init", "--mode=bare")
    ostree(repo, "config", "set", "core.lock-timeout-secs", "0")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    os.utime(tmp_path / "tree/file", (1000, 1000))
    with Repo(str(repo)) as opened, lock_changes(opened):
        assert "locked" in fails(f"--repo={repo}", "commit", "-b", "x", "--consume", f"--tree=dir={tmp_path / 'tree'}")
    assert (tmp_path / "tree/file").stat().st_mtime == 1000


@pytest.mark.parametrize("mode", ["bare", "bare-user", "bare-user-only", "archive"])
def test_consumed_files_become_objects(mode: str, tmp_path: Path) -> None:
    if mode == "bare" and os.geteuid() != 0:
        pytest.skip("a bare repo needs root")
    linked = {}
    for tool, run in ("C", ostree), ("larix", larix):
        top = tmp_path / tool
        tree = top / "tree"
        (tree / "sub").mkdir(parents=True)
        (tree / "sub/file").write_text("content")
        (tree / "sub/other").write_text("other content")
        (tree / "link").symlink_to("sub/file")
        os.link(tree / "sub/file", top / "kept")
        run(top / "repo", "init", f"--mode={mode}")
        options = ["--canonical-permissions"] if mode == "bare-user-only" else []
        run(top / "repo", "commit", *COMMON, *options, "--consume", f"--tree=dir={tree}")
        assert not tree.exists()
        assert run_c(f"--repo={top / 'repo'}", "fsck").returncode == 0
        objects = [path for path in everything(top / "repo/objects") if path.suffix == ".file"]
        inodes = {path.lstat().st_ino: path.lstat().st_mtime for path in objects}
        linked[tool] = inodes.get((top / "kept").stat().st_ino)
    # The C tool leaves the file's own time, which then every checkout has.
    adopts = mode in ("bare", "bare-user-only")
    assert (linked["C"] is not None, linked["larix"]) == (adopts, 0 if adopts else None)
    assert ostree(tmp_path / "C/repo", "rev-parse", "new") == ostree(tmp_path / "larix/repo", "rev-parse", "new")


@pytest.mark.parametrize("paths", [["/usr/bin"], ["/usr/bin/tool", "/usr/share"], ["/nowhere"]], ids=" ".join)
def test_parts_of_a_tree(paths: list[str], c_repos: dict[str, Path], tmp_path: Path) -> None:
    found = {}
    for tool, run in ("C", ostree), ("larix", larix):
        repo = tmp_path / tool
        ostree(repo, "init", "--mode=bare-user")
        ostree(repo, "remote", "add", "--no-gpg-verify", "far", f"file://{c_repos['archive']}")
        run(repo, "pull", "far", "os/stable", *(f"--subpath={path}" for path in paths))
        names = [str(path.relative_to(repo)) for path in everything(repo) if path.suffix in (".file", ".commitpartial")]
        metadata = [str(path.relative_to(repo)) for path in everything(repo) if path.suffix in (".dirtree", ".dirmeta")]
        found[tool] = sorted(names), sorted(metadata), ostree(repo, "fsck", "-q").split("\n")[-1]
        # The rest comes later.
        run(repo, "pull", "far", "os/stable")
        assert "object fsck of 1 commits" in ostree(repo, "fsck", "-q")
    assert found["C"] == found["larix"]


def test_the_whole_tree_is_a_part(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    larix(repo, "init", "--mode=archive")
    larix(repo, "remote", "add", "--no-gpg-verify", "far", f"file://{c_repos['archive']}")
    larix(repo, "pull", "far", "os/stable", "--subpath=/usr", "--subpath=/")
    assert "object fsck of 1 commits" in ostree(repo, "fsck", "-q")


def test_a_part_must_be_a_path_from_the_top(c_repos: dict[str, Path], tmp_path: Path) -> None:
    larix(tmp_path / "repo", "init", "--mode=archive")
    larix(tmp_path / "repo", "remote", "add", "--no-gpg-verify", "far", f"file://{c_repos['archive']}")
    assert "must begin with /" in fails(f"--repo={tmp_path / 'repo'}", "pull", "far", "os/stable", "--subpath=usr")


def test_a_lock_is_waited_for(tmp_path: Path, tree: Path) -> None:
    larix(tmp_path / "repo", "init", "--mode=bare-user")
    larix(tmp_path / "repo", "config", "set", "core.lock-timeout-secs", "-1")
    with Repo(str(tmp_path / "repo")) as repo:
        # Whoever waits is seen to wait, and then to go on.
        for timeout in "-1", "60":
            larix(tmp_path / "repo", "config", "set", "core.lock-timeout-secs", timeout)
            done = threading.Event()

            def commit(done: threading.Event = done) -> None:
                with Repo(str(tmp_path / "repo")) as other:
                    lock_repo(other, exclusive=False).close()
                done.set()

            with Exclusive(repo):
                thread = threading.Thread(target=commit)
                thread.start()
                assert not done.wait(0.2)
            thread.join(60)
            assert done.is_set()
    ostree(tmp_path / "repo", "config", "set", "core.lock-timeout-secs", "soon")
    assert "must be a whole number" in fails(f"--repo={tmp_path / 'repo'}", "commit", "-b", "x", str(tree))


@pytest.mark.parametrize("mode", ["bare", "bare-user-only", "bare-user", "archive"])
def test_equal_files_are_given_away(tmp_path: Path, mode: str) -> None:
    """In one directory and in many, linked to each other and not, and there already: all of them are one object."""
    if mode == "bare" and os.geteuid() != 0:
        pytest.skip("only root may give files to others")
    repo, tree, same = tmp_path / "repo", tmp_path / "tree", tmp_path / "same"
    ostree(repo, "init", f"--mode={mode}")
    for i in range(40):
        (tree / f"d{i}").mkdir(parents=True)
        for j in range(3):
            (tree / f"d{i}/f{j}").write_text(f"content {j}")
        os.link(tree / f"d{i}/f0", tree / f"d{i}/link")
        (tree / f"d{i}/own").write_text(f"own {i}")
    shutil.copytree(tree, same)
    words = ["--owner-uid=0", "--owner-gid=0", "--timestamp=@1", "--no-xattrs", "--parent=none"]
    if mode == "bare-user-only":
        words.append("--canonical-permissions")
    commit = larix(repo, "commit", "-b", "a", "--consume", f"--tree=dir={tree}", *words)
    assert not tree.exists()
    ostree(repo, "fsck")
    other = tmp_path / "other"
    ostree(other, "init", f"--mode={mode}")
    assert ostree(other, "commit", "-b", "a", f"--tree=dir={same}", *words) == commit
    assert larix(repo, "commit", "-b", "a", "--consume", f"--tree=dir={same}", *words) == commit
    ostree(repo, "fsck")


@pytest.mark.parametrize("mode", ["bare", "bare-user-only"])
def test_what_is_given_away_is_as_it_was_where_nothing_is_committed(tmp_path: Path, mode: str) -> None:
    if mode == "bare" and os.geteuid() != 0:
        pytest.skip("only root may give files to others")
    repo, tree = tmp_path / "repo", tmp_path / "tree"
    ostree(repo, "init", f"--mode={mode}")
    for i in range(100):
        (tree / f"d{i}").mkdir(parents=True)
        (tree / f"d{i}/file").write_text(f"content {i % 50}")
        (tree / f"d{i}/file").chmod(0o644)
    (tree / "d50").chmod(0o755)
    (tree / "d99/file").unlink()
    os.mkfifo(tree / "d99/file")
    before, times = picture(tree), [path.stat().st_mtime_ns for path in sorted(tree.rglob("*"))]
    assert "d99/file" in fails(f"--repo={repo}", "commit", "-b", "a", "--consume", f"--tree=dir={tree}")
    assert picture(tree) == before
    assert [path.stat().st_mtime_ns for path in sorted(tree.rglob("*"))] == times
    assert {path.stat().st_nlink for path in tree.rglob("file")} == {1}
