"""What the config of a repo has for those who write to it: space to leave free, locks. The C tool does the same."""

import os
from pathlib import Path

import pytest

from larix.repo.exclusive import Exclusive
from larix.repo.repo import Repo
from tests.judge import fails, larix, ostree, picture, run_c, run_larix
from tests.servers import serve

COMMIT = ["commit", "-b", "main", "--timestamp=@1767323045"]
SIZES = ["500TB", "10mb", "10", "MB", "10 MB", "-1MB", "99999999999999999999TB"]
PERCENTS = ["99", "100", "-1"]


def free_percent(path: Path) -> int:
    found = os.statvfs(path)
    free = found.f_bavail if os.geteuid() else found.f_bfree
    return free * 100 // found.f_blocks


def make(path: Path, mode: str, *lines: str) -> Path:
    larix(path, "init", f"--mode={mode}")
    with (path / "config").open("a") as config:
        config.writelines(f"{line}\n" for line in lines)
    return path


@pytest.mark.parametrize(
    "line", [f"min-free-space-size={size}" for size in SIZES] + [f"min-free-space-percent={n}" for n in PERCENTS]
)
def test_no_space_or_no_number(tmp_path: Path, tree: Path, line: str) -> None:
    path = make(tmp_path / "repo", "bare-user", line)
    before = picture(path / "objects")
    refused = run_c(f"--repo={path}", *COMMIT, f"--tree=dir={tree}", check=False)
    assert refused.returncode == 1
    message = fails(f"--repo={path}", *COMMIT, f"--tree=dir={tree}")
    # But for the size of the file that was too much, their words.
    words = refused.stderr.partition("min-free-space")[2].partition(":")[0].partition(", at least")[0].strip()
    assert f"min-free-space{words}" in message
    assert picture(path / "objects") == before
    assert larix(path, "refs") == ""


@pytest.mark.parametrize("line", ["size=1MB", "size=0MB", "percent=0", "size=1MB\nmin-free-space-percent=99", "below"])
def test_enough_space(tmp_path: Path, tree: Path, line: str) -> None:
    line = line.replace("below", f"percent={max(free_percent(tmp_path) - 2, 0)}")
    path = make(tmp_path / "repo", "bare-user", f"min-free-space-{line}")
    assert larix(path, *COMMIT, f"--tree=dir={tree}") == ostree(path, "rev-parse", "main")
    ostree(path, *COMMIT, f"--tree=dir={tree}")


@pytest.mark.parametrize("mode", ["archive", "bare-user"])
def test_a_pull_leaves_space(tmp_path: Path, c_repos: dict[str, Path], mode: str) -> None:
    limit = f"min-free-space-percent={min(free_percent(tmp_path) + 2, 99)}"
    path = make(tmp_path / "repo", mode, limit)
    # From HTTP: what is linked takes no space.
    with serve(c_repos["archive"]) as url:
        larix(path, "remote", "add", "--no-gpg-verify", "far", url)
        assert "min-free-space-percent" in fails(f"--repo={path}", "pull", "far", "os/stable")
        assert larix(path, "refs") == ""
        # Metadata is not counted.
        larix(path, "pull", "--commit-metadata-only", "far", "os/stable")


def test_locking_is_left_to_others(tmp_path: Path, tree: Path) -> None:
    path = make(tmp_path / "repo", "bare-user", "lock-timeout-secs=0")
    commit = [f"--repo={path}", *COMMIT, f"--tree=dir={tree}"]
    with Repo(str(path)) as repo, Exclusive(repo):
        assert "locked" in fails(*commit)
        assert run_c(*commit, check=False).returncode == 1
        larix(path, "config", "set", "core.locking", "false")
        assert run_c(*commit).returncode == run_larix(*commit).status == 0


def test_what_is_linked_takes_no_space(tmp_path: Path, c_repos: dict[str, Path]) -> None:
    limit = f"min-free-space-percent={min(free_percent(tmp_path) + 2, 99)}"
    path = make(tmp_path / "repo", "archive", limit)
    larix(path, "pull-local", c_repos["archive"])
    ostree(path, "fsck", "--quiet")
