"""Checkout over what is there already, of parts, and with whiteouts: the C tool makes the same directory."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.judge import NEWEST, everything, fails, larix, ostree, release, run_c, run_larix

ROOT = os.geteuid() == 0


def write(top: Path, name: str, text: str = "", mode: int = 0o644) -> None:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def base(top: Path) -> None:
    write(top, "d/a", "a\n")
    write(top, "b", "b\n")
    write(top, "empty")
    write(top, "e/x", "x\n", 0o4755)
    write(top, "p/q/1", "1")
    (top / "l").symlink_to("b")
    (top / "d").chmod(0o700)
    top.chmod(0o711)


def over(top: Path) -> None:
    write(top, "d/a", "A\n")
    write(top, "d/c", "c\n")
    write(top, "b", "b\n")
    write(top, "empty")
    (top / "l").symlink_to("zzz")
    (top / "d").chmod(0o755)


def same(top: Path) -> None:
    write(top, "d/a", "a\n")
    write(top, "d/new", "new\n")
    write(top, "empty")
    (top / "l").symlink_to("b")
    top.chmod(0o777)


def file_for_directory(top: Path) -> None:
    write(top, "d", "x")


def directory_for_file(top: Path) -> None:
    write(top, "b/y", "y")


def whiteouts(top: Path) -> None:
    for name in ".wh.e", ".wh.b", ".wh.not-there", "d/.wh.a", "p/.wh..wh..opq":
        write(top, name)
    write(top, "b", "new")
    write(top, "d/n", "n")
    write(top, "p/2", "2")
    write(top, ".wh.directory/f", "q")


def bad_whiteout(top: Path) -> None:
    write(top, ".wh.")


def passed(top: Path) -> None:
    write(top, ".ostree-wh.foo", mode=0o600)
    write(top, "s/.ostree-wh.bar", "z")
    (top / ".ostree-wh.link").symlink_to("x")


def open_to_all(top: Path) -> None:
    for name, mode in ("tmp", 0o1777), ("sg", 0o2755), ("pr", 0o700):
        (top / name).mkdir()
        (top / name).chmod(mode)
    write(top, "sg/a", "a")


TREES: list[Callable[[Path], None]] = [
    base,
    over,
    same,
    file_for_directory,
    directory_for_file,
    whiteouts,
    bad_whiteout,
    passed,
    open_to_all,
]
newest = pytest.mark.skipif(release() < NEWEST, reason="older C tools refuse a directory where a file is")
# Options and commits; those that are laid over a checkout of `base`.
OVER = [
    "over",
    "--union over",
    "--union-add over",
    "--union -C over",
    "-H --union-identical over",
    "-H --union-identical same",
    "-H --union-identical base",
    "--union base",
    "--union file_for_directory",
    "--union directory_for_file",
    "--union-add file_for_directory",
    "--union-add directory_for_file",
    "-H --union-identical file_for_directory",
    "--union --whiteouts file_for_directory",
    pytest.param("--union --whiteouts directory_for_file", marks=newest),
    "--union --whiteouts whiteouts",
    "--union-add --whiteouts whiteouts",
    "--union whiteouts",
    "--union --whiteouts bad_whiteout",
    "--union --subpath=/b over",
    "--union-add --subpath=/l over",
    "--subpath=/b base",
    "--subpath=/d/c over",
    "--union --union-add over",
    "--union --union-identical -H over",
    "--union-identical over",
    "-C -H over",
]
# Those that stand alone.
ALONE = [
    "base",
    "--whiteouts whiteouts",
    "--process-passthrough-whiteouts passed",
    "passed",
    "-M open_to_all",
    "-M --union open_to_all",
    "--skip-list=lists/files base",
    "--skip-list=lists/directories base",
    "--skip-list=lists/below --subpath=/p base",
    "--skip-list=lists/top base",
    "--subpath=/b base",
    "--subpath=/not-there base",
    "--subpath=/not-there --allow-noent base",
    "--allow-noent not-there",
    "--subpath=/b/x base",
    "--subpath=/b/x --allow-noent base",
    "--union --from-file=lists/many",
    "--from-file=lists/many",
    "--union --from-file=lists/half",
    "--union --from-file=lists/line",
    "--from-file=lists/nothing",
    "--from-file=lists/not-there",
    "-z base",
    "--fsync=true base",
    "--fsync=perhaps base",
    "--disable-cache base",
]
LISTS = {
    "files": "/d\n/p/q/1\n",
    "directories": "d\n/e/\n/d/\n",
    "below": "/q/\n",
    "top": "/\n",
    "many": "base\0/d\0over\0/d\0base\0/p/q",
    "half": "base\0",
    "line": "base\n",
    "nothing": "",
}


@pytest.fixture(scope="module", params=["archive", "bare", "bare-user", "bare-user-only"])
def repo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with each of the trees as a branch, beside the lists."""
    if request.param == "bare" and not ROOT:
        pytest.skip("only root may give files to others")
    top = tmp_path_factory.mktemp(request.param)
    ostree(top / "repo", "init", f"--mode={request.param}")
    for make in TREES:
        tree = top / "trees" / make.__name__
        tree.mkdir(parents=True)
        make(tree)
        ostree(top / "repo", "commit", "-b", make.__name__, f"--tree=dir={tree}")
    for name, text in LISTS.items():
        write(top / "lists", name, text)
    return top / "repo"


def looks(root: Path) -> dict[str, object]:
    """Type, mode, owner, links, target, size, and whether the time is 0 of all that is there."""
    found: dict[str, object] = {}
    for path in [root, *everything(root)] if root.exists() else []:
        status = path.lstat()
        target = os.readlink(path) if path.is_symlink() else ""
        owner = status.st_uid, status.st_gid
        # A symlink has the time of its making, and the object of one tool is that of the other.
        old = status.st_mtime == 0 and not path.is_symlink()
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        found[str(path.relative_to(root))] = (oct(status.st_mode), owner, status.st_nlink > 1, target, size, old)
    return found


def both(repo: Path, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, *, over: bool) -> None:
    """Run the command with each tool and compare what came of it."""
    monkeypatch.chdir(repo.parent)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    if over:
        user = [] if ROOT else ["-U"]
        for out in theirs, ours:
            ostree(repo, "checkout", *user, "base", out)
            write(out, "d/mine", "mine")
            # To be seen to be left alone.
            (out / "e").chmod(0o770)
    done = run_c(f"--repo={repo}", "checkout", *words, theirs, check=False)
    mine = run_larix(f"--repo={repo}", "checkout", *words, ours)
    assert done.returncode in (0, 1)
    assert mine.status == done.returncode, (mine.err, done.stderr)
    if done.returncode == 0:
        assert looks(ours) == looks(theirs)
    else:
        # How far one came before an error differs; what was there is not lost with either.
        assert mine.err.startswith("error: ")
        assert "Traceback" not in mine.err


def ways(repo: Path) -> list[list[str]]:
    """In which modes to check out: as root, as a user, or both, where the files then differ most."""
    mode = (repo / "config").read_text().partition("mode=")[2].strip()
    if mode == "bare" and ROOT:
        return [[], ["-U"]]
    return [[]] if mode == "bare-user-only" and ROOT else [["-U"]]


@pytest.mark.parametrize("line", OVER)
def test_over_a_checkout(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    for i, user in enumerate(ways(repo)):
        (tmp_path / str(i)).mkdir()
        both(repo, tmp_path / str(i), [*user, *line.split()], monkeypatch, over=True)


@pytest.mark.parametrize("line", ALONE)
def test_alone(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    if "passthrough" in line and not ROOT:
        pytest.skip("only root may make devices")
    for i, user in enumerate(ways(repo)):
        (tmp_path / str(i)).mkdir()
        both(repo, tmp_path / str(i), [*user, *line.split()], monkeypatch, over=False)


def test_a_symlink_is_not_followed_out_of_the_destination(repo: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "d").symlink_to(outside)
    for option in "--union", "--union-add":
        done = run_larix(f"--repo={repo}", "checkout", "-U", option, "base", out)
        assert done.status == 1
        assert not list(outside.iterdir())


def test_into_the_directory_where_one_is(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    larix(repo, "checkout", "-U", "--subpath=/b", "base", ".")
    assert (tmp_path / "b").read_text() == "b\n"
    larix(repo, "checkout", "-U", "--union", "base", ".")
    assert (tmp_path / "d/a").read_text() == "a\n"


def test_the_cache_of_an_archive(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    base(tree_made(tree))
    caches = []
    for tool in ostree, larix:
        repo = tmp_path / tool.__name__
        ostree(repo, "init", "--mode=archive")
        ostree(repo, "commit", "-b", "base", f"--tree=dir={tree}", "--timestamp=@0")
        tool(repo, "checkout", "-U", "--disable-cache", "base", tmp_path / "plain")
        assert not (repo / "uncompressed-objects-cache").exists()
        tool(repo, "checkout", "-U", "base", tmp_path / "out")
        assert (tmp_path / "out/b").stat().st_nlink == 2
        caches.append(looks(repo / "uncompressed-objects-cache"))
        for name in "plain", "out":
            (tmp_path / name).rename(tmp_path / f"{name}-{tool.__name__}")
        ostree(repo, "config", "set", "core.enable-uncompressed-cache", "false")
        tool(repo, "checkout", "-U", "base", tmp_path / "uncached")
        assert (tmp_path / "uncached/b").stat().st_nlink == 1
        (tmp_path / "uncached").rename(tmp_path / f"uncached-{tool.__name__}")
    assert caches[0] == caches[1]
    assert sum("0o1" in str(found) for found in caches[0].values()) == 4


def tree_made(path: Path) -> Path:
    path.mkdir()
    return path


def test_what_differs_is_told_with_its_path(tmp_path: Path) -> None:
    repo, tree, out = tmp_path / "repo", tmp_path / "tree", tmp_path / "out"
    ostree(repo, "init", "--mode=bare-user")
    (tree / "d/e").mkdir(parents=True)
    (tree / "d/e/file").write_text("content")
    (tree / "d/e/file").chmod(0o644)
    (tree / "d/e/link").symlink_to("a")
    ostree(repo, "commit", "-b", "main", f"--tree=dir={tree}")
    command = ["checkout", f"--repo={repo}", "-UH", "--union-identical", "main", str(out)]

    def differing(change: Callable[[], object]) -> str:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(tree, out, symlinks=True)
        change()
        assert run_c(*command, check=False).returncode == 1
        return fails(*command)

    file, link = out / "d/e/file", out / "d/e/link"
    assert "d/e/file: File exists, with another content than object " in differing(lambda: file.write_text("changed"))
    assert "another size (9 bytes, not 7)" in differing(lambda: file.write_text("different"))
    assert "another type or mode (100600, not 100644)" in differing(lambda: file.chmod(0o600))

    def lead_elsewhere() -> None:
        link.unlink()
        link.symlink_to("b")

    assert "d/e/link: File exists, with another target" in differing(lead_elsewhere)
    shutil.rmtree(out)
    shutil.copytree(tree, out, symlinks=True)
    larix(repo, "checkout", "-UH", "--union-identical", "main", out)


@pytest.mark.parametrize("kind", ["file", "link to a file", "link to a directory", "link to nothing", "fifo"])
def test_a_directory_in_the_place_of_something_else(kind: str, tmp_path: Path) -> None:
    """As an upper layer of a container, in the C tool 2026.4."""
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    write(tmp_path / "tree", "d/f", "new")
    ostree(repo, "commit", "-b", "main", tmp_path / "tree")
    for tool in larix, ostree if release() >= NEWEST else larix:
        top = tmp_path / tool.__name__
        (top / "real").mkdir(parents=True, exist_ok=True)
        shutil.rmtree(top / "d", ignore_errors=True)
        if kind == "file":
            write(top, "d", "old")
        elif kind == "fifo":
            os.mkfifo(top / "d")
        else:
            write(top, "other", "old")
            (top / "d").symlink_to({"link to a file": "other", "link to a directory": "real"}.get(kind, "nothing"))
        for options in ["--union"], ["--union-add", "--whiteouts"]:
            fails(f"--repo={repo}", "checkout", "-U", *options, "main", str(top))
            assert not (top / "d").is_dir() or (top / "d").is_symlink()
        tool(repo, "checkout", "-U", "--union", "--whiteouts", "main", top)
        assert (top / "d/f").read_text() == "new"
        assert not (top / "d").is_symlink() and not [*(top / "real").iterdir()]


@pytest.mark.parametrize("words", ["-U", "-U -C", "-UH", "-U --union", "-U --subpath=/d", "-U --fsync=true"])
def test_what_fails_leaves_nothing(words: str, tmp_path: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    for name in "d/a", "d/b", "d/deep/c":
        write(tmp_path / "tree", name, f"{name}\n")
    (tmp_path / "tree/d/deep").chmod(0o500)
    ostree(repo, "commit", "-b", "main", tmp_path / "tree")
    missing = ostree(repo, "ls", "-C", "main", "/d/deep/c").split()[4]
    (repo / f"objects/{missing[:2]}/{missing[2:]}.file").unlink()
    said = fails(f"--repo={repo}", "checkout", *words.split(), "main", str(tmp_path / "out"))
    assert "Couldn't find file object" in said
    assert not (tmp_path / "out").exists()
    # What was there before stays.
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "own", "mine")
    fails(f"--repo={repo}", "checkout", "-U", "--union", "main", str(tmp_path / "out"))
    assert (tmp_path / "out/own").read_text() == "mine"
