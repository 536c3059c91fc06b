"""What fsck finds, deletes and notes, beside the C tool."""

import json
import os
import shutil
from pathlib import Path

import pytest

import larix as api
from tests.judge import fails, larix, ostree, run_c, run_larix

ROOT = os.geteuid() == 0


def damaged(repo: Path, source: Path, pattern: str) -> Path:
    """A copy of the repo, and the largest object of this kind in it."""
    shutil.rmtree(repo, ignore_errors=True)
    shutil.copytree(source, repo, symlinks=True)
    return max(repo.glob(f"objects/??/*.{pattern}"), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("kind", ["commit", "dirtree", "dirmeta", "filez"])
def test_fsck_finds_what_is_damaged_or_missing(c_repos: dict[str, Path], tmp_path: Path, kind: str) -> None:
    repo = tmp_path / "repo"
    for damage in ("flip", "cut", "append", "empty", "missing"):
        path = damaged(repo, c_repos["archive"], kind)
        data = path.read_bytes()
        changed = {
            "flip": data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
            "cut": data[:-1],
            "append": data + b"\0",
            "empty": b"",
        }
        path.unlink()
        if damage != "missing":
            path.write_bytes(changed[damage])
        done = run_larix(f"--repo={repo}", "fsck")
        assert done.status == 1
        assert path.parent.name + path.name.partition(".")[0] in done.err
        # What is missing is noted, as the C tool does, so that a pull brings it.
        noted = [mark.read_bytes() for mark in (repo / "state").iterdir()]
        assert noted == ([b"f", b"f"] if damage == "missing" and kind != "commit" else [])
        done = run_larix(f"--repo={repo}", "fsck", "--all", "-q")
        assert done.status == 1
        # The C tool does not look behind the end of compressed content.
        seen = (kind, damage) != ("filez", "append")
        assert (run_c(f"--repo={repo}", "fsck", check=False).returncode != 0) == seen


@pytest.mark.skipif(not ROOT, reason="a bare repo needs root")
def test_fsck_finds_a_changed_mode_or_attribute_in_a_bare_repo(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    larix(tmp_path / "repo", "init")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content")
    larix(repo, "commit", "-b", "main", tmp_path / "tree")
    path = next(repo.glob("objects/??/*.file"))
    larix(repo, "fsck")
    path.chmod(0o600)
    assert "checksum expected" in fails(f"--repo={repo}", "fsck")
    path.chmod(0o644)
    larix(repo, "fsck")
    os.setxattr(path, "user.x", b"y")
    assert "checksum expected" in fails(f"--repo={repo}", "fsck")


def copies(source: Path, tmp_path: Path) -> list[Path]:
    """The same repo for larix and for the C tool."""
    return [Path(shutil.copytree(source, tmp_path / name, symlinks=True)) for name in ("ours", "theirs")]


def fsck_both(repos: list[Path], *options: str) -> int:
    """Both come to the same end, and leave the same objects, marks and config; their exit code."""
    ours = run_larix(f"--repo={repos[0]}", "fsck", *options)
    theirs = run_c(f"--repo={repos[1]}", "fsck", *options, check=False)
    assert ours.status == theirs.returncode, (ours, theirs)
    left = []
    for repo in repos:
        found = {str(path.relative_to(repo)): path.read_bytes() for path in repo.glob("objects/??/*")}
        marks = {path.name: path.read_bytes() for path in repo.glob("state/*")}
        left.append((found, marks, (repo / "config").read_text().split()))
    for mine, other in zip(*left, strict=True):
        assert mine == other
    return ours.status


@pytest.mark.parametrize("kind", ["dirtree", "dirmeta", "filez"])
def test_delete_and_pull_again(c_repos: dict[str, Path], tmp_path: Path, kind: str) -> None:
    repos = copies(c_repos["archive"], tmp_path)
    for repo in repos:
        found = max(repo.glob(f"objects/??/*.{kind}"), key=lambda path: path.stat().st_size)
        # Some damage to a directory ends the C tool before it deletes anything.
        found.write_bytes(found.read_bytes()[:10])
    assert fsck_both(repos, "--delete") == 1
    # Without the object, and then as what is known to be damaged.
    for _ in range(2):
        assert fsck_both(repos) == 1
    for repo, tool in zip(repos, (larix, ostree), strict=True):
        tool(repo, "pull-local", "--depth=-1", c_repos["archive"])
    assert fsck_both(repos) == 0


def test_missing_objects_of_several_commits(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repos = copies(c_repos["archive"], tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/own").write_text("of the third alone")
    for repo in repos:
        ostree(repo, "commit", "-b", "third", "--timestamp=@0", f"--tree=dir={tmp_path / 'tree'}")
    own = ostree(repos[0], "ls", "-C", "third", "/own").split()[4]
    for repo in repos:
        (repo / f"objects/{own[:2]}/{own[2:]}.filez").unlink()
    assert fsck_both(repos, "--all") == 1
    marks = list((repos[0] / "state").iterdir())
    assert [mark.stem for mark in marks] == [ostree(repos[0], "rev-parse", "third")]


def test_tombstones_for_parents_that_are_gone(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repos = copies(c_repos["archive"], tmp_path)
    parent = ostree(repos[0], "rev-parse", "os/stable^")
    for repo in repos:
        (repo / f"objects/{parent[:2]}/{parent[2:]}.commit").unlink()
    assert fsck_both(repos) == 0
    # That of 2022.7 gives it to the child; what it is like is seen where a commit is deleted.
    assert parent in larix(repos[0], "fsck", "--add-tombstones")
    ostree(repos[0], "fsck")
    tombstone = f"objects/{parent[:2]}/{parent[2:]}.tombstone-commit"
    theirs = Path(shutil.copytree(c_repos["archive"], tmp_path / "deleting"))
    ostree(theirs, "prune", f"--delete-commit={parent}")
    assert (repos[0] / tombstone).read_bytes() == (theirs / tombstone).read_bytes()
    assert (repos[0] / "config").read_text().split() == (theirs / "config").read_text().split()
    assert "tombstone" not in larix(repos[0], "fsck", "--add-tombstones")


@pytest.mark.parametrize("option", ["--verify-bindings", "--verify-back-refs"])
def test_refs_and_what_commits_were_made_for(c_repos: dict[str, Path], tmp_path: Path, option: str) -> None:
    repos = copies(c_repos["archive"], tmp_path)
    # The first commit was made for the branch, which has gone on.
    assert fsck_both(repos, option) == (0 if option == "--verify-bindings" else 1)
    for repo in repos:
        ostree(repo, "prune", "--refs-only", "--depth=0")
    assert fsck_both(repos, option) == 0
    for repo in repos:
        ostree(repo, "refs", "--create=other", "os/stable")
    assert fsck_both(repos, option) == (1 if option == "--verify-bindings" else 0)
    for repo in repos:
        ostree(repo, "refs", "--delete", "os")
    assert fsck_both(repos, option) == 1


def test_partial_commits_and_those_without_a_ref_are_named(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    larix(repo, "pull-local", "--commit-metadata-only", "--depth=-1", c_repos["archive"], "os/stable")
    tip, before = (ostree(repo, "rev-parse", rev) for rev in ("os/stable", "os/stable^"))
    lines = larix(repo, "fsck").splitlines()
    assert [line for line in lines if line.startswith("  ")] == sorted(
        [f"  {tip} (os/stable)", f"  {before} (no ref names it)"]
    )
    assert "2 partial commits not verified" in lines
    assert larix(repo, "refs", "--unreferenced") == ""
    larix(repo, "refs", "--delete", "os/stable")
    found = [line.split()[0] for line in larix(repo, "refs", "--unreferenced").splitlines()]
    assert found == [tip, before]
    assert [one["checksum"] for one in json.loads(larix(repo, "refs", "--unreferenced", "--json"))] == found
    larix(repo, "refs", "--create=saved", before)
    assert larix(repo, "refs", "--unreferenced").startswith(tip)


def test_what_was_found_is_told_also_where_it_cannot_be_noted(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = Path(shutil.copytree(c_repos["archive"], tmp_path / "repo"))
    next((repo / "objects").rglob("*.filez")).unlink()
    with api.Repo(str(repo)) as opened, api.Exclusive(opened):
        done = run_larix(f"--repo={repo}", "fsck", "--all", "--lock-timeout=0")
        assert (done.status, "Object missing in commits" in done.err, "is locked" in done.err) == (1, True, True)
        told = json.loads(run_larix(f"--repo={repo}", "fsck", "--json", "--lock-timeout=0").out)
        assert len(told["problems"]) == 1


def test_tombstones_are_told_where_there_is_damage_too(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = Path(shutil.copytree(c_repos["archive"], tmp_path / "repo"))
    parent = ostree(repo, "rev-parse", "os/stable^")
    (repo / f"objects/{parent[:2]}/{parent[2:]}.commit").unlink()
    next((repo / "objects").rglob("*.filez")).write_bytes(b"x")
    done = run_larix(f"--repo={repo}", "fsck", "--add-tombstones")
    assert done.status == 1
    assert f"Adding tombstone for commit {parent}" in done.out


def test_corrupt_objects_are_deleted_however_it_goes_on(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = Path(shutil.copytree(c_repos["archive"], tmp_path / "repo"))
    damaged = next((repo / "objects").rglob("*.filez"))
    damaged.write_bytes(b"x")
    with api.Repo(str(repo)) as opened:
        report = api.fsck(opened, api.FsckOptions(delete=True, go_on=False))
    assert len(report.findings) == 1 and report.marked
    assert not damaged.exists()


def test_what_is_behind_a_corrupt_commit_of_a_ref(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = Path(shutil.copytree(c_repos["archive"], tmp_path / "repo"))
    commit = ostree(repo, "rev-parse", "os/stable")
    path = repo / f"objects/{commit[:2]}/{commit[2:]}.commit"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    next((repo / "objects").rglob("*.filez")).write_bytes(b"x")
    done = run_larix(f"--repo={repo}", "fsck", "-a")
    assert done.status == 1
    assert f"{commit}.commit" in done.err and ".file" in done.err


def test_tombstones_where_no_parent_is_missing(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = Path(shutil.copytree(c_repos["archive"], tmp_path / "repo"))
    before = (repo / "config").read_bytes()
    larix(repo, "fsck", "--add-tombstones")
    assert (repo / "config").read_bytes() == before
