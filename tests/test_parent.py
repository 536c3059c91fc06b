"""A repo with core.parent: what it has not itself, it has from there, as in the C tool."""

import os
from pathlib import Path

import pytest

from tests.judge import everything, fails, larix, ostree, picture, run_c, run_larix


@pytest.fixture(params=["bare-user", "archive"])
def repos(request: pytest.FixtureRequest, c_repos: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Two children of one parent, one for each tool. The C tool cannot read files of a parent that is an archive."""
    made = {}
    for tool in "C", "larix":
        made[tool] = tmp_path / tool
        ostree(made[tool], "init", "--mode=bare-user")
        ostree(made[tool], "config", "set", "core.parent", str(c_repos[request.param]))
    return {**made, "parent": c_repos[request.param]}


def objects(repo: Path) -> list[str]:
    return sorted(str(path.relative_to(repo)) for path in everything(repo / "objects") if path.is_file())


def test_reading(repos: dict[str, Path], tmp_path: Path) -> None:
    repo, parent = repos["larix"], repos["parent"]
    for args in [
        "rev-parse os/stable",
        "log os/stable",
        "ls -RC os/stable",
        "show os/stable",
        "cat os/stable /usr/bin/su",
    ]:
        assert larix(repo, *args.split()) == ostree(parent, *args.split())
    tip = ostree(parent, "rev-parse", "os/stable")
    assert larix(repo, "rev-parse", tip[:10]) == tip
    assert larix(repo, "refs") == ostree(repos["C"], "refs") == ""
    larix(repo, "checkout", "-U", "os/stable", tmp_path / "out")
    ostree(parent, "checkout", "-U", "os/stable", tmp_path / "expected")
    assert picture(tmp_path / "out") == picture(tmp_path / "expected")
    assert "fsck of 2 commits" in larix(repo, "fsck", "-q")
    assert objects(repo) == []


def test_links_go_to_the_parent(repos: dict[str, Path], tmp_path: Path) -> None:
    repo, parent = repos["larix"], repos["parent"]
    if "mode=archive" in (parent / "config").read_text():
        assert "cannot hardlink" in fails("checkout", f"--repo={repo}", "-UH", "os/stable", tmp_path / "out")
        return
    larix(repo, "checkout", "-UH", "os/stable", tmp_path / "out")
    checksum = ostree(parent, "ls", "-C", "os/stable", "/large").split()[4]
    assert os.path.samefile(tmp_path / "out/large", parent / f"objects/{checksum[:2]}/{checksum[2:]}.file")


def test_commits_stand_alone_and_pulls_do_not(repos: dict[str, Path], tree: Path) -> None:
    found = {}
    for tool, run in ("C", ostree), ("larix", larix):
        args = ["-b", "new", "--timestamp=@0", "-s", "x", f"--tree=dir={tree}"]
        run(repos[tool], "pull-local", repos["parent"], "os/stable")
        before = objects(repos[tool])
        found[tool] = before, run(repos[tool], "commit", *args), objects(repos[tool]), run(repos[tool], "log", "new")
    assert found["C"] == found["larix"]
    assert found["C"][0] == [] and len(found["C"][2]) > 10
    # Alone it is a whole repo.
    ostree(repos["larix"], "config", "unset", "core.parent")
    ostree(repos["larix"], "refs", "--delete", "os/stable")
    assert run_c(f"--repo={repos['larix']}", "fsck").returncode == 0


def test_deleting_leaves_the_parent(repos: dict[str, Path], tree: Path) -> None:
    before = objects(repos["parent"])
    repo = repos["larix"]
    larix(repo, "commit", "-b", "new", f"--tree=dir={tree}")
    larix(repo, "refs", "--delete", "new")
    larix(repo, "prune", "--refs-only")
    assert objects(repo) == []
    assert objects(repos["parent"]) == before


def test_a_mark_counts_for_what_lies_in_the_parent(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """The commit is the parent's, and the child knows that an object of it is missing."""
    parent, child = tmp_path / "parent", tmp_path / "child"
    ostree(parent, "init", "--mode=bare-user")
    ostree(parent, "pull-local", "--depth=-1", c_repos["bare-user"])
    ostree(child, "init", "--mode=bare-user")
    ostree(child, "config", "set", "core.parent", str(parent))
    tip = ostree(parent, "rev-parse", "os/stable")
    lost = ostree(parent, "ls", "-C", "os/stable", "/large").split()[4]
    (parent / f"objects/{lost[:2]}/{lost[2:]}.file").unlink()
    done = run_larix(f"--repo={child}", "fsck")
    assert (done.status, lost in done.err) == (1, True), done
    assert (child / f"state/{tip}.commitpartial").exists()
    # It is not looked into again, and it is no commit of which all is there.
    assert "fsck-detected" in fails(f"--repo={child}", "fsck")
    larix(child, "pull-local", "--depth=-1", c_repos["bare-user"], tip)
    larix(child, "fsck", "--quiet")
    assert not list((child / "state").iterdir())
    assert [path for path in objects(child) if path.endswith(".file")] == [f"objects/{lost[:2]}/{lost[2:]}.file"]


def test_bad_parents(tmp_path: Path) -> None:
    for name in "a", "b":
        larix(tmp_path / name, "init", "--mode=archive")
    larix(tmp_path / "a", "config", "set", "core.parent", tmp_path / "b")
    larix(tmp_path / "b", "config", "set", "core.parent", tmp_path / "a")
    assert "leads back" in fails(f"--repo={tmp_path / 'a'}", "refs")
    larix_config = tmp_path / "a/config"
    larix_config.write_text(larix_config.read_text().replace(str(tmp_path / "b"), "/nowhere"))
    assert "core.parent" in fails(f"--repo={tmp_path / 'a'}", "refs")
