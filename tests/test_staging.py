"""What a transaction that did not come to its end leaves, and who goes on with it."""

import os
import shutil
import time
from pathlib import Path

import pytest

from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction
from tests.judge import fails, larix, ostree

BAD = "ab/" + "ab" * 31


def left_by_a_failed_commit(path: Path, tree: Path) -> Path:
    larix(path, "init", "--mode=archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSTREE_REPO_TEST_ERROR", "pre-commit")
        message = fails(f"--repo={path}", "commit", "-b", "x", tree)
    assert "OSTREE_REPO_TEST_ERROR_PRE_COMMIT" in message
    assert not list(path.glob("objects/*"))
    (staging,) = path.glob("tmp/staging-*[!k]")
    assert list(staging.glob("objects/??/*.filez"))
    return staging


def test_the_next_transaction_takes_it_over(tree: Path, tmp_path: Path) -> None:
    staging = left_by_a_failed_commit(tmp_path / "repo", tree)
    inode = max(staging.glob("objects/*/*.filez"), key=lambda path: path.stat().st_size).stat().st_ino
    larix(tmp_path / "repo", "commit", "-b", "x", tree)
    assert inode in [path.stat().st_ino for path in tmp_path.glob("repo/objects/*/*.filez")]
    assert os.listdir(tmp_path / "repo/tmp") == ["cache"]
    ostree(tmp_path / "repo", "fsck")


def test_nothing_in_it_is_trusted(tree: Path, tmp_path: Path) -> None:
    staging = left_by_a_failed_commit(tmp_path / "repo", tree)
    for path in staging.glob("objects/??/*"):
        path.write_bytes(path.read_bytes()[:-1])
    larix(tmp_path / "repo", "commit", "-b", "x", tree)
    ostree(tmp_path / "repo", "fsck")


def test_what_is_not_wanted_goes(tree: Path, tmp_path: Path) -> None:
    left_by_a_failed_commit(tmp_path / "repo", tree)
    (tmp_path / "other").mkdir()
    larix(tmp_path / "repo", "commit", "-b", "x", "--owner-uid=0", "--owner-gid=0", tmp_path / "other")
    assert os.listdir(tmp_path / "repo/tmp") == ["cache"]
    assert not list(tmp_path.glob("repo/objects/*/*.filez"))


def test_the_c_tool_takes_nothing_unfinished_for_whole(tree: Path, tmp_path: Path) -> None:
    staging = left_by_a_failed_commit(tmp_path / "repo", tree)
    for path in staging.glob("objects/??/*"):
        path.write_bytes(path.read_bytes()[:-1])
    ostree(tmp_path / "repo", "commit", "-b", "x", f"--tree=dir={tree}")
    ostree(tmp_path / "repo", "fsck")
    assert not staging.exists()


def test_what_the_c_tool_left_is_taken_over(c_repos: dict[str, Path], tree: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    larix(repo, "init", "--mode=archive")
    staging = repo / f"tmp/staging-{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}-ABCDEF"
    shutil.copytree(c_repos["archive"] / "objects", staging)
    inodes = {path.stat().st_ino for path in staging.glob("*/*.filez")}
    larix(repo, "pull-local", c_repos["archive"], "os/stable")
    ostree(repo, "fsck")
    placed = {path.stat().st_ino for path in repo.glob("objects/*/*.filez")}
    assert placed and placed <= inodes


def test_one_in_use_is_left_alone(tree: Path, tmp_path: Path) -> None:
    larix(tmp_path / "repo", "init", "--mode=archive")
    with Repo(str(tmp_path / "repo")) as repo, Transaction(repo) as transaction:
        checksum = transaction.add_metadata(ObjectType.DIR_TREE, bytes(8))
        larix(tmp_path / "repo", "commit", "-b", "x", tree)
        assert not repo.has(ObjectName(Checksum("0" * 64), ObjectType.DIR_TREE))
        transaction.commit()
        assert repo.has(ObjectName(checksum, ObjectType.DIR_TREE))
    assert os.listdir(tmp_path / "repo/tmp") == ["cache"]


def test_litter_is_cleaned_away(tree: Path, tmp_path: Path) -> None:
    tmp = tmp_path / "repo/tmp"
    larix(tmp_path / "repo", "init", "--mode=archive")
    (tmp / "staging-3072029c-8b10-60d1-d31b-8422eeff9b42-ABCDEF/ab").mkdir(parents=True)
    (tmp / "new").touch()
    (tmp / "old/below").mkdir(parents=True)
    os.utime(tmp / "old", (0, time.time() - 25 * 60 * 60))
    larix(tmp_path / "repo", "commit", "-b", "x", tree)
    assert sorted(os.listdir(tmp)) == ["cache", "new"]
    larix(tmp_path / "repo", "config", "set", "core.tmp-expiry-secs", "-1")
    larix(tmp_path / "repo", "commit", "-b", "x", tree)
    assert os.listdir(tmp) == ["cache"]
