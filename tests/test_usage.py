"""`larix df`, held against what the C tool's prune frees."""

import json
from pathlib import Path

import pytest

from tests.judge import fails, larix, ostree


def stored(repo: Path) -> tuple[int, int]:
    """How many objects, and their bytes."""
    found = [path for path in repo.glob("objects/??/*") if path.suffix != ".tombstone-commit"]
    return len(found), sum(path.lstat().st_size for path in found)


def amount(of: dict[str, int]) -> tuple[int, int]:
    return of["objects"], of["bytes"]


@pytest.fixture
def repo(tmp_path: Path, tree: Path, releases: Path) -> Path:
    """Branches that share some, and a history whose first commit has a file that the second has not."""
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    ostree(repo, "pull-local", releases, "os/1", "os/2", "os/stable")
    ostree(repo, "refs", "--create=os/same", "os/stable")
    ostree(repo, "pull-local", releases, "os/3", "--remote=origin")
    only = tmp_path / "only"
    only.mkdir()
    (only / "old").write_text("old" * 1000)
    ostree(repo, "commit", "-b", "history", f"--tree=dir={only}")
    (only / "old").unlink()
    ostree(repo, "commit", "-b", "history", f"--tree=dir={only}", "--add-detached-metadata-string=a=b")
    ostree(repo, "commit", "--orphan", f"--tree=dir={tree}")
    return repo


def test_what_dropping_a_ref_frees(repo: Path) -> None:
    usage = json.loads(larix(repo, "df", "--json"))
    assert amount(usage["total"]) == stored(repo)
    before = stored(repo)
    ostree(repo, "prune", "--refs-only")
    after = stored(repo)
    dangling = tuple(a - b for a, b in zip(before, after, strict=True))
    assert amount(usage["dangling"]) == dangling
    assert dangling[0] > 5
    assert {one["ref"] for one in usage["refs"]} == set(ostree(repo, "refs").split())
    # Each dropped alone is measured anew by those that are left.
    for dropped in "history", "os/2", "os/same", "os/1", "os/stable":
        told = json.loads(larix(repo, "df", "--json", dropped))
        (one,) = told["refs"]
        assert one["ref"] == dropped
        for name in "objects", "bytes":
            assert one["used"][name] == one["shared"][name] + one["exclusive"][name]
        before = stored(repo)
        ostree(repo, "refs", "--delete", dropped)
        ostree(repo, "prune", "--refs-only")
        after = stored(repo)
        assert amount(one["exclusive"]) == tuple(a - b for a, b in zip(before, after, strict=True)), dropped
        assert (one["exclusive"]["objects"] == 0) == (dropped == "os/same")
    (left,) = json.loads(larix(repo, "df", "--json"))["refs"]
    assert left["ref"] == "origin:os/3"
    assert amount(left["used"]) == amount(left["exclusive"]) == stored(repo)


def test_as_text(repo: Path) -> None:
    lines = larix(repo, "df").splitlines()
    assert lines[0].split() == ["REF", "USED", "SHARED", "EXCLUSIVE"]
    assert {line.split()[0] for line in lines[1:7]} == {
        "os/1",
        "os/2",
        "os/same",
        "os/stable",
        "origin:os/3",
        "history",
    }
    assert lines[-1].startswith("No ref leads to ")
    ostree(repo, "prune", "--refs-only")
    assert not larix(repo, "df", "history").splitlines()[-1].startswith("No ref")
    assert fails(f"--repo={repo}", "df", "os/9").startswith(f"error: Refspec 'os/9' not found in {repo};")


def test_a_partial_commit(tmp_path: Path, c_repos: dict[str, Path]) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    larix(repo, "pull-local", "--commit-metadata-only", c_repos["archive"], "os/stable")
    usage = json.loads(larix(repo, "df", "--json"))
    assert amount(usage["total"]) == amount(usage["refs"][0]["exclusive"]) == stored(repo) == (1, stored(repo)[1])
