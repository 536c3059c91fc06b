"""What fsck --repair moves aside and brings anew; the C tool says whether the repo is whole."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from larix.ops import fsck
from larix.remote import repair
from tests.faults import KILL, run_until
from tests.judge import fails, larix, ostree, run_c, run_larix
from tests.servers import serve

DAMAGES = "flip", "cut", "append", "empty", "missing", "directory"
KINDS = "commit", "dirtree", "dirmeta", "file"
MODES = "archive", "bare", "bare-user"


@pytest.fixture(scope="module")
def url(c_repos: dict[str, Path]) -> Iterator[str]:
    with serve(c_repos["archive"]) as found:
        yield found


def make_repo(path: Path, mode: str, c_repos: dict[str, Path], url: str) -> Path:
    made = path.with_name("made")
    ostree(made, "init", f"--mode={mode}")
    ostree(made, "config", "set", "core.min-free-space-percent", "0")
    ostree(made, "pull-local", "--depth=-1", c_repos["archive"])
    # So that it shares nothing with what it came from.
    subprocess.run(["cp", "-a", made, path], check=True)
    ostree(path, "remote", "add", "--no-gpg-verify", "origin", url)
    return path


def objects(repo: Path, kind: str) -> list[Path]:
    """Objects of this kind that are files, the largest first."""
    found = [path for path in repo.glob(f"objects/??/*.{kind}*") if kind != "commit" or path.suffix == ".commit"]
    return sorted((path for path in found if not path.is_symlink()), key=lambda path: (-path.stat().st_size, path))


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "flip":
        data = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    data = {"cut": data[:-1], "append": data + b"\0", "empty": b""}.get(how, data)
    if how in ("missing", "directory"):
        path.unlink()
        if how == "directory":
            path.mkdir()
    else:
        # In place, as a disk does it: with the mode and the attributes that it has.
        path.write_bytes(data)


def names(repo: Path) -> set[str]:
    return {str(path.relative_to(repo)) for path in repo.glob("objects/??/*")}


def check_whole(repo: Path, before: set[str]) -> None:
    ostree(repo, "fsck")
    assert larix(repo, "fsck", "-q").startswith("object fsck")
    assert names(repo) == before
    assert not [*repo.glob("state/*.commitpartial")]
    # A file that a killed process made there goes after a day.
    assert not [path for path in repo.glob("tmp/*") if path.name != "cache" and not path.name.startswith("new-")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_object(c_repos: dict[str, Path], tmp_path: Path, url: str, mode: str, kind: str) -> None:
    if mode == "bare" and os.geteuid() != 0:
        pytest.skip("a bare repo needs root")
    repo = make_repo(tmp_path / "repo", mode, c_repos, url)
    refs, before = ostree(repo, "refs", "--list"), names(repo)
    for how in DAMAGES:
        path = objects(repo, kind)[0]
        damage(path, how)
        bad = path.read_bytes() if path.is_file() else None
        done = run_larix(f"--repo={repo}", "fsck", "--repair")
        assert done.status == 0, (how, done)
        name = path.parent.name + path.name
        assert f"Mended {name.removesuffix('z')}" in done.out, how
        aside = repo / f"extensions/larix/damaged/{name.removesuffix('z')}"
        assert aside.exists() == (how != "missing"), how
        if bad is not None:
            assert aside.read_bytes() == bad
        check_whole(repo, before)
        shutil.rmtree(repo / "extensions/larix", ignore_errors=True)
    assert ostree(repo, "refs", "--list") == refs


@pytest.mark.parametrize("mode", MODES)
def test_everything(c_repos: dict[str, Path], tmp_path: Path, url: str, mode: str) -> None:
    """All of it is corrupt or missing, so what is missing shows only once what names it is back."""
    if mode == "bare" and os.geteuid() != 0:
        pytest.skip("a bare repo needs root")
    repo = make_repo(tmp_path / "repo", mode, c_repos, url)
    before = names(repo)
    for kind in KINDS:
        for i, path in enumerate(objects(repo, kind)):
            # That a commit before another is missing is nothing wrong.
            damage(path, "cut" if kind == "commit" else ("cut", "missing", "append")[i % 3])
    done = run_larix(f"--repo={repo}", "fsck", "--repair", "--remote=origin")
    assert done.status == 0, done
    check_whole(repo, before)


def test_where_an_object_is_used(c_repos: dict[str, Path], tmp_path: Path, url: str) -> None:
    repo = make_repo(tmp_path / "repo", "archive", c_repos, url)
    tree = tmp_path / "tree"
    for name in "a/b", "c":
        (tree / name).mkdir(parents=True)
        (tree / name / "same").write_text("one content in two places\n")
    ostree(repo, "commit", "-b", "own", f"--tree=dir={tree}", "--timestamp=@0")
    ostree(repo, "commit", "-b", "own", f"--tree=dir={tree}", "--timestamp=@1")
    checksum = ostree(repo, "ls", "-C", "own", "/c/same").split()[4]
    (repo / f"objects/{checksum[:2]}/{checksum[2:]}.filez").write_bytes(b"bad")
    done = run_larix(f"--repo={repo}", "fsck", "--all")
    assert done.status == 1
    assert "(/a/b/same, /c/same)" in done.err
    for commit in ostree(repo, "rev-parse", "own"), ostree(repo, "rev-parse", "own^"):
        assert commit.strip() in done.err
    # No remote has it: it is aside, the commits are marked, and whoever makes the file again can mend it.
    error = run_larix(f"--repo={repo}", "fsck", "--repair").err
    assert "1 of 1 damaged objects could not be mended" in error
    assert f"Not mended: {checksum}.file (/a/b/same, /c/same)" in error
    assert "Remote origin: " in error
    assert len([*repo.glob("state/*.commitpartial")]) == 2
    run_c(f"--repo={repo}", "refs", "--delete", "own")
    other = tmp_path / "other"
    ostree(other, "init", "--mode=archive")
    for i in 0, 1:
        ostree(other, "commit", "-b", "own", f"--tree=dir={tree}", f"--timestamp=@{i}")
    larix(repo, "remote", "add", "--no-gpg-verify", "other", f"file://{other}")
    out = larix(repo, "fsck", "--repair")
    assert "no errors found" in out
    ostree(repo, "fsck")


def test_the_remote_has_it_corrupt_too(c_repos: dict[str, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(c_repos["archive"], tmp_path / "other", symlinks=True))
    repo = make_repo(tmp_path / "repo", "archive", c_repos, f"file://{other}")
    before = names(repo)
    name = objects(repo, "file")[0].relative_to(repo)
    damage(repo / name, "cut")
    damage(other / name, "flip")
    assert f"Remote origin: {other}" in run_larix(f"--repo={repo}", "fsck", "--repair").err
    assert not (repo / name).exists()
    larix(repo, "remote", "add", "--no-gpg-verify", "second", f"file://{c_repos['archive']}")
    larix(repo, "fsck", "--repair")
    check_whole(repo, before)


def test_checkouts_that_share_the_damage(c_repos: dict[str, Path], tmp_path: Path, url: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("a bare repo needs root")
    repo = make_repo(tmp_path / "repo", "bare", c_repos, url)
    before = names(repo)
    ostree(repo, "checkout", "-H", "os/stable", tmp_path / "tree")
    path = objects(repo, "file")[0]
    # As someone does who writes to a checkout.
    damage(path, "append")
    out = larix(repo, "fsck", "--repair")
    assert "1 files of checkouts or deployments share its content" in out
    check_whole(repo, before)


def test_without_a_remote(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = Path(shutil.copytree(c_repos["archive"], tmp_path / "repo", symlinks=True))
    assert "--repair" in fails(f"--repo={repo}", "fsck", "--remote=origin")
    assert 'Remote "origin" not found' in fails(f"--repo={repo}", "fsck", "--repair", "--remote=origin")
    assert "no errors found" in larix(repo, "fsck", "--repair")
    damage(objects(repo, "dirtree")[0], "flip")
    assert "no remote is known" in run_larix(f"--repo={repo}", "fsck", "--repair").err


@pytest.mark.parametrize("mode", MODES)
def test_killed(c_repos: dict[str, Path], tmp_path: Path, url: str, mode: str) -> None:
    if mode == "bare" and os.geteuid() != 0:
        pytest.skip("a bare repo needs root")
    repo = make_repo(tmp_path / "repo", mode, c_repos, url)
    before = names(repo)
    for kind in KINDS:
        damage(objects(repo, kind)[0], "cut")
    subprocess.run(["cp", "-a", repo, tmp_path / "bad"], check=True)
    changes = run_until(0, 0, f"--repo={repo}", "fsck", "--repair").changes
    check_whole(repo, before)
    for at in range(1, changes + 1, 20):
        shutil.rmtree(repo)
        subprocess.run(["cp", "-a", tmp_path / "bad", repo], check=True)
        run_until(KILL, at, f"--repo={repo}", "fsck", "--repair")
        larix(repo, "fsck", "--repair")
        # Where nothing was left to do, whoever adds to the repo next clears what the killed one was at.
        larix(repo, "pull-local", c_repos["archive"])
        check_whole(repo, before)
        assert len([*(repo / "extensions/larix/damaged").iterdir()]) == len(KINDS)


@pytest.mark.parametrize("how", ["--delete", "--repair"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_commit_claims_what_was_taken(c_repos: dict[str, Path], tmp_path: Path, kind: str, how: str) -> None:
    """Killed at any change: what is not there any more, its commits do not promise."""
    repo = make_repo(tmp_path / "repo", "archive", c_repos, "http://localhost:9")
    damage(victim := objects(repo, kind)[0], "cut")
    subprocess.run(["cp", "-a", repo, tmp_path / "bad"], check=True)
    changes = run_until(0, 0, f"--repo={repo}", "fsck", how).changes
    assert not victim.exists()
    seen = set()
    # Of a repair some moments, as it makes many changes; the last one is not killed.
    for at in sorted({*range(1, changes + 1, 1 if how == "--delete" else 4), changes + 1}):
        shutil.rmtree(repo)
        subprocess.run(["cp", "-a", tmp_path / "bad", repo], check=True)
        run_until(KILL, at, f"--repo={repo}", "fsck", how)
        seen.add(victim.exists())
        if victim.exists():
            continue
        if kind == "commit":
            assert (repo / f"state/{victim.parent.name}{victim.stem}.commitpartial").exists(), at
        else:
            # By the C tool: it passes over partial commits, and counts them.
            done = run_c(f"--repo={repo}", "fsck", "--all", check=False)
            assert "missing" not in done.stderr, at
            assert "partial commits" in done.stdout, at
    assert seen == {True, False}


@pytest.fixture
def broken_sector(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes objects whose path ends so be opened, and then not read."""
    broken: list[str] = []
    fds: set[int] = set()
    real_open, real_read, real_close = os.open, os.read, os.close

    def open_object(path: Any, *args: Any, **words: Any) -> int:
        fd = real_open(path, *args, **words)
        if isinstance(path, str) and any(path.endswith(end) for end in broken):
            fds.add(fd)
        return fd

    def read(fd: int, size: int) -> bytes:
        if fd in fds:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real_read(fd, size)

    def close(fd: int) -> None:
        fds.discard(fd)
        real_close(fd)

    monkeypatch.setattr(os, "open", open_object)
    monkeypatch.setattr(os, "read", read)
    monkeypatch.setattr(os, "close", close)
    return broken.append


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_disk_that_cannot_be_read(
    c_repos: dict[str, Path], url: str, tmp_path: Path, kind: str, mode: str, broken_sector: Callable[[str], None]
) -> None:
    repo = make_repo(tmp_path / "repo", mode, c_repos, url)
    (ref,) = ostree(repo, "refs").split()
    victim = objects(repo, kind)[-1 if kind == "commit" else 0]
    if kind == "commit":
        victim = repo / "objects" / (head := ostree(repo, "rev-parse", ref))[:2] / f"{head[2:]}.commit"
    checksum = victim.parent.name + victim.name.partition(".")[0]
    other = "bare-user" if mode == "archive" else "archive"
    larix(tmp_path / "other", "init", f"--mode={other}")
    broken_sector(f"{checksum[:2]}/{checksum[2:]}{victim.suffix}")
    commands: list[list[str | Path]] = [
        ["fsck", f"--repo={repo}"],
        ["checkout", "-U", "-C", f"--repo={repo}", ref, tmp_path / "out"],
        ["pull-local", f"--repo={tmp_path}/other", repo],
    ]
    for words in commands:
        done = run_larix(*words)
        assert done.status == 1, (words, done)
        assert checksum in done.err + done.out, (words, done)
        assert "Traceback" not in done.err
    assert ostree(tmp_path / "other", "refs") == ""
    ostree(repo, "fsck", "--quiet")


@pytest.mark.parametrize("how", ["--delete", "--repair"])
def test_a_commit_that_came_while_fsck_looked(
    c_repos: dict[str, Path], tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts on the object that is taken away, and says so."""
    repo = make_repo(tmp_path / "repo", "archive", c_repos, "http://localhost:9")
    damage(victim := objects(repo, "file")[0], "cut")
    real = fsck.find_uses

    def find_uses(*args: Any) -> Any:
        if not (repo / "refs/heads/late").exists():
            ostree(repo, "commit", "-b", "late", "--tree=ref=os/stable")
        return real(*args)

    monkeypatch.setattr(fsck, "find_uses", find_uses)
    monkeypatch.setattr(repair, "find_uses", find_uses)
    done = run_larix(f"--repo={repo}", "fsck", how)
    assert done.status == 1
    assert not victim.exists()
    late = ostree(repo, "rev-parse", "late")
    assert (repo / f"state/{late}.commitpartial").read_text() == "f"


@pytest.mark.parametrize("how", ["--delete", "--repair"])
def test_an_object_that_came_anew_while_fsck_looked(
    c_repos: dict[str, Path], tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = make_repo(tmp_path / "repo", "archive", c_repos, "http://localhost:9")
    victim = objects(repo, "file")[0]
    whole = victim.read_bytes()
    damage(victim, "cut")

    def find_uses(*args: Any) -> Any:
        victim.write_bytes(whole)
        return real(*args)

    real = fsck.find_uses
    monkeypatch.setattr(fsck, "find_uses", find_uses)
    monkeypatch.setattr(repair, "find_uses", find_uses)
    run_larix(f"--repo={repo}", "fsck", how)
    assert victim.read_bytes() == whole


def test_fsck_deletes_what_is_no_file(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "archive", c_repos, "http://localhost:9")
    damage(victim := objects(repo, "file")[0], "directory")
    (victim / "inside").write_text("x")
    assert run_larix(f"--repo={repo}", "fsck", "--delete").status == 1
    assert not victim.exists()
    larix(repo, "pull-local", "--depth=-1", c_repos["archive"])
    ostree(repo, "fsck", "--quiet")


def test_fsck_deletes_nothing_of_a_parent(c_repos: dict[str, Path], tmp_path: Path) -> None:
    parent = make_repo(tmp_path / "repo", "archive", c_repos, "http://localhost:9")
    child = tmp_path / "child"
    ostree(child, "init", "--mode=archive")
    ostree(child, "config", "set", "core.parent", str(parent))
    ostree(child, "commit", "-b", "mine", "--tree=ref=os/stable")
    damage(victim := objects(parent, "file")[0], "cut")
    done = run_larix(f"--repo={child}", "fsck", "--delete")
    assert (done.status, "Repository corruption" in done.err) == (1, True), done
    assert victim.exists()


def test_fsck_deletes_what_damage_hides(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """Else a pull brings the directory back, and the commit would be taken for whole."""
    repo = make_repo(tmp_path / "repo", "bare-user", c_repos, "http://localhost:9")
    damage(file := objects(repo, "file")[0], "cut")
    for dirtree in objects(repo, "dirtree"):
        damage(dirtree, "cut")
    assert run_larix(f"--repo={repo}", "fsck", "--delete").status == 1
    assert not file.exists()
    larix(repo, "pull-local", "--depth=-1", c_repos["archive"])
    ostree(repo, "fsck", "--quiet")
