from pathlib import Path

import pytest

from tests.judge import make_os_tree, make_tree, ostree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree to commit; tests only read it."""
    return make_tree(tmp_path_factory.mktemp("tree") / "root")


@pytest.fixture(scope="session")
def c_repos(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> dict[str, Path]:
    """Mode -> a repo made by the C tool with two commits of the tree on the branch `os/stable`; tests only read it."""
    made = {}
    for mode in "archive", "bare", "bare-user":
        repo = made[mode] = tmp_path_factory.mktemp("c") / "repo"
        ostree(repo, "init", f"--mode={mode}")
        common = ["commit", "-b", "os/stable", f"--tree=dir={tree}", "--add-metadata-string=version=1"]
        ostree(repo, *common, "-s", "First", "--timestamp=2026-01-02 03:04:05 +0000", "--add-metadata-string=version=2")
        ostree(repo, *common, "-s", "Second", "-m", "With\n\na body ü", "--add-metadata=n=@a{sv} {'x': <uint16 7>}")
    return made


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive repo with the branches os/1, os/2 (the same kernel), os/3 and os/4 (other kernels)."""
    top = tmp_path_factory.mktemp("releases")
    repo = top / "repo"
    ostree(repo, "init", "--mode=archive")
    for version, kernel in ("1", "6.1.0"), ("2", "6.1.0"), ("3", "6.2.0"), ("4", "6.4.0"):
        tree = make_os_tree(top / version, version, kernel)
        for branch in f"os/{version}", *(["os/stable"] if version == "1" else []):
            words = ["-b", branch, f"--tree=dir={tree}", f"--add-metadata-string=version={version}.0"]
            ostree(repo, "commit", *words, "--owner-uid=0", "--owner-gid=0")
    return repo
