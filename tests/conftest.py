import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.judge import make_os_tree, make_tree, ostree
from tests.servers import nginx


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


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    """An archive repo that the C tool made: two branches, three commits of one, a large file, a summary."""
    repo = tmp_path_factory.mktemp("origin") / "repo"
    ostree(repo, "init", "--mode=archive")
    common = ["commit", f"--tree=dir={tree}", "--timestamp=2026-01-02 03:04:05 +0000"]
    for version in "1", "2":
        ostree(repo, *common, "-b", "os/stable", "-s", version, f"--add-metadata-string=version={version}")
    extra = tmp_path_factory.mktemp("extra")
    (extra / "random").write_bytes(os.urandom(3 << 20))
    (extra / "changed").write_text("changed")
    ostree(repo, *common, f"--tree=dir={extra}", "-b", "os/stable", "-s", "3")
    ostree(repo, "commit", f"--tree=dir={extra}", "-b", "other", "-s", "other")
    ostree(repo, "summary", "-u")
    return repo


@pytest.fixture(scope="module")
def behind_nginx(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx(origin, tmp_path_factory.mktemp("nginx") / "work") as url:
        yield url


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trees `a` and `b` and lists for them, which becomes the current one."""
    top = tmp_path_factory.mktemp("trees")
    for name in "a/sub/deep", "b/sub", "a/bin":
        (top / name).mkdir(parents=True)
    for name in "a/one", "a/sub/two", "a/sub/deep/three", "b/sub/two", "b/four":
        (top / name).write_text(f"content of {name}")
    (top / "a/bin/tool").write_text("run")
    (top / "a/bin/tool").chmod(0o775)
    (top / "a/link").symlink_to("sub/two")
    os.setxattr(top / "a/one", "user.note", b"kept")
    kernel = top / "os/usr/lib/modules/6.1"
    kernel.mkdir(parents=True)
    (kernel / "vmlinuz").write_text("kernel")
    (top / "overrides").write_text("2048 /bin/tool\n+2 /sub/two\n\n=420 /one\n=448 /sub\n=1 /not-there\n")
    (top / "skipped").write_text("/sub/deep\n/one\n")
    (top / "skipped-file").write_text("/sub/deep/three\n")
    (top / "body").write_text("line one\n\nline two\n")
    return top


@pytest.fixture(params=["archive", "bare", "bare-user", "bare-user-only"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """An empty repo for each tool."""
    if request.param == "bare" and os.geteuid() != 0:
        pytest.skip("only root may give files to others")
    repos = [tmp_path / "c", tmp_path / "larix"]
    for repo in repos:
        ostree(repo, "init", f"--mode={request.param}")
    monkeypatch.chdir(trees)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    return repos
