"""Pulls between repos whose branches are known by a collection, beside the C tool."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.judge import fails, larix, ostree, run_c, run_larix
from tests.servers import nginx

CLIENTS = {"ours": larix, "theirs": ostree}


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repos below it: `named` of the collection org.named; `mirror` with its branches and one of its own; `plain`."""
    top = tmp_path_factory.mktemp("origins")
    (top / "tree").mkdir()
    (top / "tree/file").write_text("content")
    for name in "named", "mirror", "plain":
        options = ["--collection-id=org.named"] if name == "named" else []
        ostree(top / name, "init", "--mode=archive", *options)
        if name == "mirror":
            ostree(top / name, "remote", "add", "--no-gpg-verify", "far", f"file://{top}/named")
            ostree(top / name, "pull", "--mirror", "far")
        for branch in ("dev", "main") if name != "mirror" else ("own",):
            ostree(top / name, "commit", "-b", branch, f"--tree=dir={top}/tree", "--timestamp=@1767323045")
        ostree(top / name, "summary", "-u")
    return top


@pytest.fixture(scope="module")
def url(origins: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx(origins, tmp_path_factory.mktemp("nginx") / "work") as url:
        yield url


def make_client(path: Path, url: str, collection: str, *options: str) -> Path:
    larix(path, "init", "--mode=archive", *options)
    chosen = [f"--collection-id={collection}"] if collection else []
    larix(path, "remote", "add", "--no-gpg-verify", *chosen, "far", url)
    return path


def refs_of(repo: Path) -> dict[str, str]:
    return {str(path.relative_to(repo)): path.read_text() for path in repo.glob("refs/**/*") if path.is_file()}


@pytest.mark.parametrize("how", [["--mirror", "far"], ["--mirror", "far", "main"], ["far", "main"]], ids=" ".join)
@pytest.mark.parametrize("origin", ["named", "mirror", "plain"])
@pytest.mark.parametrize("over", ["http", "file"])
def test_the_same_refs(tmp_path: Path, origins: Path, url: str, over: str, origin: str, how: list[str]) -> None:
    where = f"{url}/{origin}" if over == "http" else f"file://{origins}/{origin}"
    if origin == "mirror":
        how = ["own" if word == "main" else word for word in how]
    found = []
    for name, tool in CLIENTS.items():
        repo = make_client(tmp_path / name, where, "org.named" if origin == "named" else "")
        tool(repo, "pull", *how)
        found.append((refs_of(repo), sorted(tool(repo, "refs", "-c").splitlines())))
        ostree(repo, "fsck", "--verify-bindings")
    assert found[0] == found[1]
    assert found[0][0]


def test_what_is_ones_own_collection(tmp_path: Path, url: str) -> None:
    found = []
    for name, tool in CLIENTS.items():
        repo = make_client(tmp_path / name, f"{url}/named", "", "--collection-id=org.named")
        tool(repo, "pull", "--mirror", "far")
        found.append(refs_of(repo))
    assert found[0] == found[1]
    assert "refs/heads/main" in found[0]


@pytest.mark.parametrize(
    ("origin", "collection", "what"),
    [("named", "org.other", "has collection ID ‘org.named’"), ("plain", "org.named", "collection")],
)
@pytest.mark.parametrize("mirror", [[], ["--mirror"]])
def test_commits_of_another_collection(
    tmp_path: Path, url: str, origin: str, collection: str, what: str, mirror: list[str]
) -> None:
    for name in CLIENTS:
        make_client(tmp_path / name, f"{url}/{origin}", collection)
    assert what in fails(f"--repo={tmp_path}/ours", "pull", *mirror, "far", "main")
    assert run_c(f"--repo={tmp_path}/theirs", "pull", *mirror, "far", "main", check=False).returncode == 1
    assert refs_of(tmp_path / "ours") == {}
    for name, tool in CLIENTS.items():
        tool(tmp_path / name, "pull", "--disable-verify-bindings", *mirror, "far", "main")
    assert refs_of(tmp_path / "ours") == refs_of(tmp_path / "theirs") != {}


def test_many_summaries_at_once(tmp_path: Path) -> None:
    """Each adds a commit to the branch with what is said of the repo, after those of the others."""
    ostree(repo := tmp_path / "repo", "init", "--mode=archive", "--collection-id=org.example.One")
    (tmp_path / "tree").mkdir()
    ostree(repo, "commit", "-b", "main", f"--tree=dir={tmp_path / 'tree'}")
    command = [sys.executable, "-m", "larix", f"--repo={repo}", "summary", "-u"]
    running = [subprocess.Popen([*command, f"--add-metadata=org.example.Number={n}"]) for n in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    assert ostree(repo, "log", "ostree-metadata").count("commit ") == 8


def test_a_mirrored_branch_has_a_name(tmp_path: Path) -> None:
    """The C tool mirrors it, and then finds it under no name but that of its commit."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (repo := tmp_path / "mirror").mkdir()
    ostree(repo, "init", "--mode=archive", "--collection-id=org.Mirror")
    for collection, text in ("org.A", "a"), ("org.B", "b"):
        (tree / "file").write_text(text)
        origin = tmp_path / collection
        ostree(origin, "init", "--mode=archive", f"--collection-id={collection}")
        for branch in "main", f"only/{text}":
            ostree(origin, "commit", "-b", branch, tree)
        ostree(origin, "summary", "-u")
        remote = "--no-gpg-verify", f"--collection-id={collection}", text, f"file://{origin}"
        ostree(repo, "remote", "add", *remote)
        larix(repo, "pull", "--mirror", text)
    main = {name: ostree(tmp_path / f"org.{name}", "rev-parse", "main") for name in "AB"}
    done = run_larix(f"--repo={repo}", "refs")
    assert done.out == "" and "of org.A, org.B; `larix refs -c` lists them" in done.err
    only = ostree(tmp_path / "org.A", "rev-parse", "only/a")
    for rev in "only/a", "org.A:only/a", "org.A/only/a":
        assert larix(repo, "rev-parse", rev) == only
        assert only in larix(repo, "log", rev)
        assert larix(repo, "cat", rev, "/file") == "a"
    said = fails(f"--repo={repo}", "rev-parse", "main")
    assert "several collections" in said and "org.A:main, org.B:main" in said
    for name in "AB":
        assert larix(repo, "rev-parse", f"org.{name}:main") == main[name]
    assert "not found" in fails(f"--repo={repo}", "rev-parse", "org.C:main")
    # A branch of the repo itself, and of a remote, goes before.
    larix(repo, "pull", "b", "main")
    assert larix(repo, "rev-parse", "main") == main["B"]
    larix(repo, "refs", "--create=main", "org.A:main")
    assert larix(repo, "rev-parse", "main") == main["A"]
    assert larix(repo, "rev-parse", "b:main") == main["B"]


def test_a_branch_that_only_a_remote_has_is_pulled_from_a_directory(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    origin, near, repo = (tmp_path / name for name in ("origin", "near", "repo"))
    for path in origin, near, repo:
        ostree(path, "init", "--mode=archive")
    for branch in "main", "other":
        ostree(origin, "commit", "-b", branch, tmp_path / "tree")
    ostree(near, "remote", "add", "--no-gpg-verify", "up", f"file://{origin}")
    ostree(near, "pull", "up", "main", "other")
    ostree(near, "commit", "-b", "own", tmp_path / "tree")
    commit = ostree(origin, "rev-parse", "main")
    larix(repo, "pull-local", near, "main")
    assert larix(repo, "refs", "-r") == f"main\t{commit}"
    larix(repo, "pull-local", near, "up:main", "own")
    assert sorted(ostree(repo, "refs").split()) == ["main", "own", "up:main"]
    larix(repo, "pull-local", "--remote=here", near, "up:main", "other@" + ostree(origin, "rev-parse", "other"))
    assert ostree(repo, "rev-parse", "here:main") == commit
    assert ostree(repo, "rev-parse", "here:other") == ostree(origin, "rev-parse", "other")
    larix(repo, "pull-local", "--disable-verify-bindings", near, f"new/name@{commit}")
    assert ostree(repo, "rev-parse", "new/name") == commit
    ostree(repo, "fsck")
    before = larix(repo, "refs", "-r")
    for word in "up:nothing", "down:main", "nothing":
        assert f"'{word}' not found" in fails(f"--repo={repo}", "pull-local", str(near), word)
    assert larix(repo, "refs", "-r") == before


@pytest.mark.parametrize("more", ["", "--add-metadata=a=1"])
def test_the_commit_of_a_summary_is_that_of_the_c_tool(
    more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several more keys the C tool has them in the order of a hash table."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")
    (tmp_path / "tree").mkdir()
    found = []
    for tool in larix, ostree:
        ostree(repo := tmp_path / tool.__name__, "init", "--mode=archive", "--collection-id=org.A")
        ostree(repo, "commit", "-b", "main", tmp_path / "tree")
        for _ in range(2):
            tool(repo, "summary", "-u", *more.split())
        found.append(ostree(repo, "rev-parse", "ostree-metadata"))
    assert found[0] == found[1]
